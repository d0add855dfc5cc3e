"""One pass over the pictures: decode once, run every backbone that lacks the shard, write shard by shard.

A backbone that lacks only the patterns of a shard runs for these alone; features that are there stay untouched.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .._check import positive_int
from ..errors import InvalidInput
from ..store import StoreWriter
from .backbones import Backbone, as_backbones, pick_compute, pick_device, running
from .job import PictureJob
from .loading import Batch, Task, batches, cut_tasks, dead_worker, default_workers, load_batch
from .pattern_filter import cluster_patches
from .pattern_reader import PatternReader
from .pictures import BadPictureError, MemoryPictures, Pictures
from .progress import Callback, Meter
from .vectors import finite_rows

_PROBES = 64  # pictures tried in search of one that can be decoded, before anything is written


class _Shard:
    """Features, and patterns of the backbones in `readers`, of one shard while its batches come in."""

    def __init__(self, rows: tuple[int, int], widths: Mapping[str, int], readers: Mapping[str, PatternReader]) -> None:
        self.rows = rows
        self._readers = readers
        self.patterns: dict[str, list[npt.NDArray[np.float32]]] = {
            name: [np.empty((0, reader.n_dims), dtype=np.float32)] * (rows[1] - rows[0])
            for name, reader in readers.items()
        }
        self.features: dict[str, npt.NDArray[np.float32]] = {
            name: np.full((rows[1] - rows[0], width), np.nan, dtype=np.float32) for name, width in widths.items()
        }
        self._unusable: dict[str, dict[int, str]] = {name: {} for name in widths}
        self._pictures = hashlib.blake2b(digest_size=32)

    def add(
        self,
        batch: Batch,
        backbones: Mapping[str, Backbone],
        computes: Mapping[str, str],
        device: torch.device,
    ) -> None:
        self._pictures.update(batch.pictures)
        for name, groups in batch.tensors.items():
            self._unusable[name].update(batch.bad)
            self._unusable[name].update(batch.failed[name])
            for rows, tensor in groups:
                if name in self._readers:
                    features, patches = self._readers[name].read(tensor.to(device), computes[name])
                    for row, found in zip(rows, cluster_patches(patches, rows, self._readers[name].spec), strict=True):
                        self.patterns[name][row - self.rows[0]] = found
                else:
                    features = backbones[name].features(tensor.to(device), computes[name])
                self.features[name][np.asarray(rows) - self.rows[0]] = features.numpy()

    def pictures(self) -> str:
        return self._pictures.hexdigest()

    def bad(self, name: str) -> dict[int, str]:
        """A row without a picture is NaN as well; the earlier reason wins."""
        return {**finite_rows(self.features[name], self.rows[0], name), **self._unusable[name]}

    def bad_patterns(self, name: str) -> dict[int, str]:
        """Rows without patterns, or with one that is all zero; the writer adds those that have no features."""
        bad = {}
        for row, found in enumerate(self.patterns[name], self.rows[0]):
            if len(found) == 0:
                bad[row] = f'backbone "{name}": patches are not finite'
            elif not found.any(axis=1).all():
                bad[row] = f'backbone "{name}": a pattern is all zero'
        return bad


def probe(
    pictures: Pictures,
    backbones: Sequence[Backbone],
    computes: Mapping[str, str],
    device: torch.device,
    readers: Mapping[str, PatternReader] | None = None,
) -> bool:
    """Runs every backbone on the first usable picture, to learn n_dims, prepare its reader and fail early.

    Where none of the first 64 pictures can be used, a made-up one serves. Modules must be running() already.
    Returns True if the pictures are float arrays, which skip preprocessing. Raises InvalidInput.
    """
    names = tuple(backbone.name for backbone in backbones)
    preprocesses = {backbone.name: backbone.preprocess for backbone in backbones}
    batch = Batch(Task(0, 0, 1, names))
    for row in range(min(_PROBES, len(pictures))):
        batch = load_batch(pictures, preprocesses, Task(0, row, row + 1, names))
        if not batch.bad and not any(batch.failed.values()):
            break
    else:
        ramp = np.arange(224 * 224 * 3, dtype=np.int64).reshape(224, 224, 3) * 97 % 251
        batch = load_batch(MemoryPictures([ramp.astype(np.uint8)]), preprocesses, Task(0, 0, 1, names))
        for reasons in batch.failed.values():
            for reason in reasons.values():
                raise InvalidInput(f"{reason}. Pass another preprocess= to this Backbone.")
    for backbone in backbones:
        ((_, tensor),) = batch.tensors[backbone.name]
        backbone.n_dims = None
        backbone.features(tensor.to(device), computes[backbone.name])
        if readers:
            readers[backbone.name].prepare(tensor.to(device), computes[backbone.name])
    row = batch.task.first
    try:
        return isinstance(pictures.load(row)[0], np.ndarray)
    except BadPictureError:
        return False


def extract_store(
    writer: StoreWriter,
    job: PictureJob,
    *,
    batch_size: int,
    workers: int | None,
    callback: Callback | None,
) -> None:
    """Computes and writes what the store lacks. Modules must be running() already.

    Raises what the writer and the backbones raise; finished shards stay.
    """
    pictures, device = job.pictures, job.device
    by_name = {backbone.name: backbone for backbone in job.backbones}
    preprocesses = {name: backbone.preprocess for name, backbone in by_name.items()}
    while missing := writer.missing():
        todo = sum(writer.ranges[shard][1] - writer.ranges[shard][0] for shard, _ in missing)
        meter = Meter("embed", len(pictures) - todo, len(pictures), callback)
        tasks = cut_tasks(missing, writer.ranges, batch_size)
        n_workers = default_workers(device, len(tasks)) if workers is None else workers
        incoming = batches(pictures, preprocesses, tasks, n_workers)
        try:
            # Closed here and now: an error's traceback would keep the workers alive for as long as it is kept.
            with contextlib.closing(incoming):
                _one_round(writer, by_name, job, incoming, meter)
        except RuntimeError as error:  # torch's signal handler may raise it anywhere in this process
            if "DataLoader worker" not in str(error):
                raise
            raise dead_worker(error, n_workers) from error


def _one_round(
    writer: StoreWriter,
    backbones: Mapping[str, Backbone],
    job: PictureJob,
    incoming: Iterator[Batch],
    meter: Meter,
) -> None:
    """Until all is done, or a backbone had to be widened to float32 and must be planned anew."""
    shard: _Shard | None = None
    for batch in incoming:
        task: Task = batch.task
        rows = writer.ranges[task.shard]
        if task.first == rows[0]:
            readers = {name: job.readers[name] for name in task.names if writer.lacks_patterns(task.shard, name)}
            shard = _Shard(rows, {name: backbones[name].n_dims or 0 for name in task.names}, readers)
        if shard is None or shard.rows != rows:
            raise RuntimeError(f"batches came out of order at row {task.first}")
        shard.add(batch, backbones, job.computes, job.device)
        if task.stop == rows[1]:
            written = [_write(writer, task.shard, name, shard) for name in task.names]
            writer.check_bad_fraction()
            if not all(written):
                return
        meter.advance(task.stop - task.first, writer.n_bad)


def _write(writer: StoreWriter, number: int, name: str, shard: _Shard) -> bool:
    """What the store lacks of one backbone's shard; False if it had to be widened instead."""
    pictures = shard.pictures()
    if writer.lacks_features(number, name) and not writer.write(
        number, name, shard.features[name], shard.bad(name), pictures
    ):
        return False
    if name not in shard.patterns:
        return True
    return writer.write_patterns(number, name, shard.patterns[name], shard.bad_patterns(name), pictures)


def extract(
    backbone: Any,
    images: Any,
    *,
    batch_size: int = 64,
    device: Any = "cpu",
    compute: str = "float32",
) -> npt.NDArray[np.float32]:
    """Features of pictures in memory, without a store.

    backbone  an nn.Module (with ImageNet preprocessing), a Backbone, or a backbone string
    images    PIL images, uint8 arrays (H, W) or (H, W, 3), or float arrays / tensors (C, H, W), which are taken as
              preprocessed: a list, an array (n, ...), or anything else that can be iterated once
    Returns (n, d) float32 in the order of the images. Cost: one forward pass, memory O(batch + n d).

    Raises InvalidInput: no images, a picture that cannot be used, features that are not finite.
    """
    positive_int(batch_size, "batch_size")
    (chosen,) = as_backbones([backbone])
    where = pick_device(device)
    arithmetic = pick_compute(compute, where, chosen)
    pictures = MemoryPictures(images if hasattr(images, "__len__") and hasattr(images, "__getitem__") else list(images))
    if len(pictures) == 0:
        raise InvalidInput("images is empty; at least one picture is needed.")
    chosen.n_dims = None
    blocks: list[npt.NDArray[np.float32]] = []
    with running([chosen], where):
        for first in range(0, len(pictures), batch_size):
            task = Task(0, first, min(first + batch_size, len(pictures)), (chosen.name,))
            batch = load_batch(pictures, {chosen.name: chosen.preprocess}, task)
            for row, reason in [*batch.bad.items(), *batch.failed[chosen.name].items()]:
                raise InvalidInput(f"images[{row}] cannot be used: {reason}.")
            block: npt.NDArray[np.float32] | None = None
            for rows, tensor in batch.tensors[chosen.name]:
                features = chosen.features(tensor.to(where), arithmetic).numpy()
                if block is None:
                    block = np.empty((task.stop - task.first, features.shape[1]), dtype=np.float32)
                block[np.asarray(rows) - first] = features
            if block is not None:
                blocks.append(block)
    result = np.concatenate(blocks)
    wrong = np.flatnonzero(~np.isfinite(result).all(axis=1))
    if wrong.size:
        raise InvalidInput(
            f'backbone "{chosen.name}": features of images {wrong[:5].tolist()} ({wrong.size} in all) are not finite. '
            "Check the module's weights and preprocessing."
        )
    return result
