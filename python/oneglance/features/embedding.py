"""embed(): a pool in, a feature store out. Torch is loaded only where there are pictures."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from .._check import positive_int
from ..errors import InvalidInput
from ..store import FeatureStore, StoreWriter, open_store
from .job import Job, PictureJob, picture_job, vector_job
from .listfile import Columns
from .pattern_spec import PatternSpec, as_pattern_spec
from .pictures import MAX_PIXELS
from .progress import Callback, as_callback
from .source import Source, open_source
from .vectors import write_vectors

SHARD_ROWS_PICTURES, SHARD_ROWS_VECTORS = 4096, 65536


def embed(
    source: Any,
    backbones: Any,
    out: str | os.PathLike[str],
    *,
    batch_size: int = 32,
    workers: int | None = None,
    device: Any = "auto",
    compute: str = "auto",
    dtype: str = "auto",
    patterns: Any = None,
    shard_rows: int | None = None,
    max_bad_fraction: float = 0.1,
    max_pixels: int = MAX_PIXELS,
    path_column: str | None = None,
    id_column: str | None = None,
    label_column: str | None = None,
    stratum_column: str | None = None,
    group_column: str | None = None,
    vector_columns: str | tuple[str, ...] | list[str] = (),
    fresh: bool = False,
    verify: bool = False,
    progress: bool | Callback = False,
) -> FeatureStore:
    """Runs frozen backbones over a pool once and keeps their features in a store on disk.

    source      image folder, list file, ready vectors, arrays, pictures in memory: see source.open_source
    backbones   strings ("torchvision:resnet18=FILE", "timm:...", "transformers:FOLDER", "torchscript:FILE"), torch
                modules, Backbone objects, a list of these, or a dict name -> one of these; None for ready vectors
    out         folder of the store. A store of the same source is continued: what is there is kept, what is missing
                (a killed run, a further backbone) is computed.
    batch_size  pictures per forward pass             workers     decoding processes; None: by cores and device
    device      "auto", "cpu", "cuda", ...            compute     "auto": bfloat16 autocast on CUDA, else float32
    dtype       "auto": float16, or float32 for a backbone with a row that float16 would change by more than 0.1 % of
                its norm; ready vectors keep float16 / float32
    patterns    local features of every picture beside the ordinary ones, for selection by parts of pictures: None,
                True, how many per picture, a PatternSpec, or a dict of its fields. From the same forward pass; a store
                that has the features gets the patterns added. Read with FeatureStore.patterns()
    shard_rows  rows per shard, the unit of resumption; None: 4096 pictures, 65536 vectors
    max_bad_fraction  share of items that may be unusable (undecodable, not finite, all zero); they are marked
                invalid with a reason and stored as NaN
    *_column    columns of a list file (arrays of an .npz) with paths, ids, labels, ...; vector_columns: those to take
    fresh       begin anew, removing a store that is there
    verify      hash the finished shards instead of checking their size and header
    progress    True: a plain line every 10 s on stderr; or a callable that gets Progress objects

    Promise: same source, backbones, arguments, build and device give the same bytes, however often it was killed.
    Cost: one decoding per picture and one forward pass per picture and backbone; memory O(shard + batch).
    Raises InvalidInput, BadData, StoreError, MissingDependency.
    """
    columns = Columns(path_column, id_column, label_column, stratum_column, group_column, _names(vector_columns))
    callback = as_callback(progress)
    check_arguments(batch_size, workers, max_pixels, max_bad_fraction)
    spec = as_pattern_spec(patterns)
    opened = open_source(source, columns, max_pixels=max_pixels, for_backbones=backbones is not None)
    with prepare(opened, backbones, device, compute, dtype, spec) as job:
        writer = StoreWriter(
            Path(out),
            opened.items,
            opened.info,
            job.infos,
            shard_rows=shard_rows,
            default_shard_rows=SHARD_ROWS_PICTURES if opened.pictures is not None else SHARD_ROWS_VECTORS,
            max_bad_fraction=max_bad_fraction,
            fresh=fresh,
            verify=verify,
        )
        with writer:
            if opened.vectors is not None:
                write_vectors(writer, opened.vectors, callback)
            elif isinstance(job, PictureJob):
                from .extraction import extract_store

                extract_store(
                    writer,
                    job,
                    batch_size=batch_size,
                    workers=workers,
                    callback=callback,
                )
            writer.finish()
    return open_store(out)


def prepare(
    opened: Source, backbones: Any, device: Any, compute: str, dtype: str, patterns: PatternSpec | None = None
) -> contextlib.AbstractContextManager[Job]:
    """The job for a source; inside the context the backbones are on the device and in eval mode."""
    if opened.vectors is not None:
        if backbones is not None:
            raise InvalidInput(
                "backbones cannot run on ready vectors. Leave backbones= / --backbone out; to embed pictures, give "
                "their folder or a list of their paths as source."
            )
        if patterns is not None:
            raise InvalidInput(
                "patterns are taken out of pictures, and the source holds ready vectors. Leave patterns= / --patterns "
                "out, or give the pictures and a backbone."
            )
        return contextlib.nullcontext(vector_job(opened.vectors, dtype))
    if opened.pictures is None or backbones is None:
        raise InvalidInput(
            "backbones: pictures need at least one backbone, e.g. 'torchvision:resnet18=weights.pth', "
            "'timm:vit_small_patch16_224=random', 'torchscript:net.pt?size=128' (--backbone), or a torch module."
        )
    return picture_job(opened.pictures, backbones, device, compute, dtype, patterns)


def _names(given: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def check_arguments(batch_size: int, workers: int | None, max_pixels: int, max_bad_fraction: float = 0.0) -> None:
    """Raises InvalidInput."""
    positive_int(batch_size, "batch_size")
    positive_int(max_pixels, "max_pixels")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 0):
        raise InvalidInput(f"workers must be an integer >= 0 or None, got {workers!r}.")
    if not 0 <= max_bad_fraction <= 1:
        raise InvalidInput(f"max_bad_fraction must lie in 0..1, got {max_bad_fraction!r}.")
