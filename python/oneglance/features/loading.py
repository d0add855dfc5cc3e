"""Decoding and preprocessing in worker processes, one batch per task."""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..errors import OneglanceError
from .pictures import BadPictureError, Pictures, plain_reason

Preprocesses = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Task:
    """Rows first..stop of one shard for some backbones; a batch never straddles shards, so that a resumed run
    forms the same batches."""

    shard: int
    first: int
    stop: int
    names: tuple[str, ...]


@dataclass
class Batch:
    """tensors[name]: pairs (rows, stacked pictures), one pair per picture shape; pictures: 16 bytes per row.

    bad: row -> reason, for every backbone; failed[name]: row -> reason, for one backbone's preprocessing
    """

    task: Task
    tensors: dict[str, list[tuple[list[int], torch.Tensor]]] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)
    failed: dict[str, dict[int, str]] = field(default_factory=dict)
    pictures: bytes = b""


class Tasks(Dataset[Any]):
    """Task number -> decoded batch, or the error to raise; runs in the workers."""

    def __init__(self, pictures: Pictures, preprocesses: Preprocesses, tasks: Sequence[Task]) -> None:
        self._pictures, self._preprocesses, self._tasks = pictures, preprocesses, tasks

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, index: int) -> Batch | OneglanceError:
        try:
            return load_batch(self._pictures, self._preprocesses, self._tasks[index])
        except OneglanceError as error:  # raised in a worker, its traceback would become part of the message
            return error


def load_batch(pictures: Pictures, preprocesses: Preprocesses, task: Task) -> Batch:
    """Decodes each picture once and preprocesses it for every backbone of the task."""
    batch = Batch(task, failed={name: {} for name in task.names})
    marks: list[bytes] = []
    ready: dict[str, dict[tuple[int, ...], list[tuple[int, torch.Tensor]]]] = {name: {} for name in task.names}
    for row in range(task.first, task.stop):
        try:
            picture, mark = pictures.load(row)
        except BadPictureError as error:
            batch.bad[row] = str(error)
            marks.append(hashlib.blake2b(str(error).encode(), digest_size=16).digest())
            continue
        marks.append(mark)
        for name in task.names:
            try:
                tensor = preprocessed(preprocesses[name], picture)
            except BadPictureError as error:
                batch.failed[name][row] = f'backbone "{name}": {error}'
                continue
            ready[name].setdefault(tuple(tensor.shape), []).append((row, tensor))
    for name, by_shape in ready.items():
        batch.tensors[name] = [
            ([row for row, _ in group], torch.stack([tensor for _, tensor in group])) for group in by_shape.values()
        ]
    batch.pictures = b"".join(marks)
    return batch


def preprocessed(preprocess: Callable[..., Any], picture: Any) -> torch.Tensor:
    """The tensor of one picture; float arrays come preprocessed. Raises BadPictureError."""
    if isinstance(picture, np.ndarray):
        return torch.from_numpy(picture)
    try:
        tensor = preprocess(picture)
    except (BadPictureError, MemoryError, OneglanceError):
        raise
    except Exception as error:
        raise BadPictureError(f"preprocessing failed: {plain_reason(error)}") from None
    if not isinstance(tensor, torch.Tensor):
        raise BadPictureError(f"preprocessing returned {type(tensor).__name__}, a tensor is needed")
    return tensor


def cut_tasks(
    missing: Sequence[tuple[int, Sequence[str]]], ranges: Sequence[tuple[int, int]], batch_size: int
) -> list[Task]:
    """Batches of the missing shards, in order."""
    return [
        Task(shard, row, min(row + batch_size, ranges[shard][1]), tuple(names))
        for shard, names in missing
        for row in range(*ranges[shard], batch_size)
    ]


def default_workers(device: torch.device, n_tasks: int) -> int:
    """None for few batches or away from Linux; on a CPU, whose cores the network needs itself, one per four cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    if n_tasks <= 2 or sys.platform != "linux":
        return 0
    return max(1, cores // 4) if device.type == "cpu" else max(1, min(16, cores - 1))


def _identity(batch: Any) -> Any:
    return batch


def _quiet_worker(_: int) -> None:
    torch.set_num_threads(1)
    # Its errors travel through the queue; what a helper thread prints when the other end is gone tells nobody anything.
    sys.excepthook = lambda *_: None


@contextmanager
def _calm_fork() -> Iterator[None]:
    # Python 3.12 warns of every fork in a process with threads; torch's workers run no code that needs them.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        yield


def batches(
    pictures: Pictures, preprocesses: Preprocesses, tasks: Sequence[Task], workers: int
) -> Generator[Batch, None, None]:
    """The tasks' batches in order, decoded `workers` processes ahead (0: in this process).

    Raises OneglanceError if a worker dies.
    """
    loader = DataLoader(
        Tasks(pictures, preprocesses, tasks),
        batch_size=None,
        num_workers=workers,
        collate_fn=_identity,
        worker_init_fn=_quiet_worker if workers else None,
        prefetch_factor=2 if workers else None,
        # Forked, as torch always did on Linux: preprocessing may be any function, also one that cannot be pickled.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
    )
    try:
        with _calm_fork():
            ahead = iter(loader)
        for batch in ahead:
            if isinstance(batch, OneglanceError):
                raise batch
            yield batch
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise dead_worker(error, workers) from error


def dead_worker(error: BaseException, workers: int) -> OneglanceError:
    """What to do when the operating system ended a decoding process."""
    last = str(error).strip().split("\n")[-1]
    return OneglanceError(
        f"a decoding worker died ({last}): mostly for want of memory or of shared memory (/dev/shm; in Docker "
        f"--shm-size). Finished shards are kept: run the same command again with fewer than workers={workers}, "
        "or with workers=0 / --workers 0."
    )
