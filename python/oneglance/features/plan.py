"""What an embed run would do, without doing it."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..store import BackboneInfo, PatternInfo
from ..store.files import human_bytes
from ..store.folder import check_shard_rows
from ..store.manifest import MANIFEST, UNFINISHED
from .job import PictureJob
from .listfile import Columns
from .pattern_spec import as_pattern_spec
from .pictures import MAX_PIXELS
from .progress import clock
from .source import open_source

_TIMED_BATCHES, _TIMED_PICTURES = 2, 16  # the first batch warms up


@dataclass(frozen=True)
class PlannedPatterns:
    """how: in words; disk_bytes: at most, with n_patterns for every item."""

    how: str
    n_dims: int
    n_patterns: int
    dtype: str
    disk_bytes: int


@dataclass(frozen=True)
class PlannedBackbone:
    name: str
    spec: str
    n_dims: int
    dtype: str
    compute: str
    preprocessing: str
    pooling: str
    disk_bytes: int
    patterns: PlannedPatterns | None = None


@dataclass(frozen=True)
class EmbedPlan:
    """items, disk, RAM and time of an embed run.

    disk_bytes      of features and patterns (float16 where that is the default; widened ones take twice as much)
    ram_bytes       features and patterns of one shard, decoded batches, patches and weights; without the
                    interpreter and torch (~0.5 GB)
    items_per_s     from a timed probe of a few pictures; None: unknown (too few pictures, or ready vectors)
    continues       True if `out` holds a store already, whose finished shards will be kept
    """

    source: str
    n_items: int
    out: str
    shard_rows: int
    backbones: tuple[PlannedBackbone, ...]
    disk_bytes: int
    ram_bytes: int
    items_per_s: float | None
    continues: bool

    @property
    def time_s(self) -> float | None:
        """Estimated seconds for the whole pool."""
        return None if self.items_per_s is None else self.n_items / self.items_per_s

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "time_s": self.time_s}

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{self.n_items} items from {self.source}"]
        for entry in self.backbones:
            lines.append(
                f'backbone "{entry.name}": {entry.spec}; {entry.n_dims} features ({entry.pooling}), '
                f"{entry.compute} arithmetic, kept as {entry.dtype}, {human_bytes(entry.disk_bytes)}"
            )
            if entry.patterns is not None:
                own = entry.patterns
                lines.append(
                    f'patterns of "{entry.name}": {own.how}; {own.n_dims} features each, kept as {own.dtype}, at most '
                    f"{human_bytes(own.disk_bytes)}"
                )
        if self.time_s is None or self.items_per_s is None:
            time_line = "time: unknown"
        else:
            time_line = f"time: about {clock(self.time_s)} ({self.items_per_s:.1f} items/s in a short probe)"
        lines += [
            f"disk: {human_bytes(self.disk_bytes)} in {self.out}, shards of {self.shard_rows} rows",
            f"RAM: about {human_bytes(self.ram_bytes)} beside Python and torch",
            time_line,
        ]
        if self.continues:
            lines.append("there is a store already: its finished shards are kept")
        return lines


def plan_embed(
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
    max_pixels: int = MAX_PIXELS,
    columns: Columns | None = None,
    fresh: bool = False,
) -> EmbedPlan:
    """The plan of embed() with the same arguments. Loads the backbones, runs up to 32 pictures, writes nothing."""
    from .embedding import SHARD_ROWS_PICTURES, SHARD_ROWS_VECTORS, check_arguments, prepare

    check_arguments(batch_size, workers, max_pixels)
    check_shard_rows(shard_rows)
    spec = as_pattern_spec(patterns)
    opened = open_source(source, columns, max_pixels=max_pixels, for_backbones=backbones is not None)
    n_items = len(opened.items)
    rows = shard_rows or (SHARD_ROWS_PICTURES if opened.pictures is not None else SHARD_ROWS_VECTORS)
    with prepare(opened, backbones, device, compute, dtype, spec) as job:
        items_per_s, more_bytes = _timed(job, batch_size, workers) if isinstance(job, PictureJob) else (None, 0)
        planned = tuple(_planned(info, n_items) for info in job.infos)
    widths = [entry.n_dims for entry in planned]
    widths += [own.n_patterns * own.n_dims for entry in planned if (own := entry.patterns) is not None]
    ram = sum(widths) * min(rows, n_items) * 4 + more_bytes
    return EmbedPlan(
        source=opened.info.description,
        n_items=n_items,
        out=str(out),
        shard_rows=rows,
        backbones=planned,
        disk_bytes=sum(
            entry.disk_bytes + (entry.patterns.disk_bytes if entry.patterns is not None else 0) for entry in planned
        ),
        ram_bytes=ram,
        items_per_s=items_per_s,
        continues=not fresh and any((Path(out) / name).exists() for name in (MANIFEST, UNFINISHED)),
    )


def _planned(info: BackboneInfo, n_items: int) -> PlannedBackbone:
    dtype = str(info.entry()["dtype"])
    return PlannedBackbone(
        name=info.name,
        spec=info.spec,
        n_dims=info.n_dims,
        dtype=dtype,
        compute=info.compute,
        preprocessing=info.preprocessing,
        pooling=info.pooling,
        disk_bytes=n_items * info.n_dims * np.dtype(dtype).itemsize,
        patterns=_planned_patterns(info.patterns, n_items),
    )


def _planned_patterns(info: PatternInfo | None, n_items: int) -> PlannedPatterns | None:
    if info is None:
        return None
    dtype = str(info.entry()["dtype"])
    most = n_items * info.n_patterns * info.n_dims * np.dtype(dtype).itemsize
    return PlannedPatterns(info.how, info.n_dims, info.n_patterns, dtype, most + n_items * 8)


def _timed(job: PictureJob, batch_size: int, workers: int | None) -> tuple[float | None, int]:
    """(items per second or None, bytes of weights and of decoded batches)."""
    from .loading import Task, default_workers, load_batch
    from .pattern_filter import cluster_patches

    names = tuple(backbone.name for backbone in job.backbones)
    preprocesses = {backbone.name: backbone.preprocess for backbone in job.backbones}
    size = min(batch_size, _TIMED_PICTURES)
    n_tasks = -(-len(job.pictures) // batch_size)
    n_workers = default_workers(job.device, n_tasks) if workers is None else workers
    weights = sum(value.nbytes for b in job.backbones for value in b.module.state_dict().values())
    rate, picture_bytes = None, 0
    for number in range(min(_TIMED_BATCHES, len(job.pictures) // size)):
        start = time.perf_counter()
        batch = load_batch(job.pictures, preprocesses, Task(0, number * size, (number + 1) * size, names))
        decoded = time.perf_counter()
        groups = [(name, tensor) for name in names for _, tensor in batch.tensors[name]]
        for name, tensor in groups:
            backbone = job.backbones[names.index(name)]
            if name in job.readers:
                _, patches = job.readers[name].read(tensor.to(job.device), job.computes[name])
                cluster_patches(patches, range(len(tensor)), job.readers[name].spec)
            else:
                backbone.features(tensor.to(job.device), job.computes[name])
        done = time.perf_counter()
        picture_bytes = sum(tensor.nbytes for _, tensor in groups) // size
        decode_s, forward_s = decoded - start, done - decoded
        seconds = decode_s + forward_s if n_workers == 0 else max(decode_s / n_workers, forward_s)
        if number > 0:
            rate = size / max(seconds, 1e-9)
    batches_held = 1 + 2 * n_workers
    patches_bytes = sum(reader.n_patches * reader.n_dims * 4 for reader in job.readers.values()) * batch_size
    return rate, weights + picture_bytes * batch_size * batches_held + patches_bytes
