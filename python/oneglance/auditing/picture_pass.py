"""One pass over the pictures: every file is decoded once, by worker processes, and leaves a row of numbers."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .._types import BoolArray, Float64Array
from ..errors import InvalidInput, OneglanceError
from ..features.pictures import STORED_MODE, BadPictureError, Pictures
from ..features.progress import Callback, Meter
from .picture_scores import NO_SCORES, PictureScores, picture_scores, pixel_digest

_TASK_ROWS = 64
_SCORES = PictureScores._fields[:-1]


@dataclass(eq=False)
class PictureTable:
    """One entry per picture; what an unreadable one would have is 0 or NaN.

    reasons              str objects: why it cannot be used, None where it can
    width, height        pixels          modes  str objects: how the file keeps its pixels, "" where nobody knows
    low ... colour       the scores of picture_scores
    hashes               uint64, perceptual      digests  (n,) 16 bytes of the pixels, of 16-bit
                         files of all their bytes
    decode_s, score_s    seconds spent in reading and decoding, and in scoring, over all workers
    """

    reasons: npt.NDArray[np.object_]
    width: npt.NDArray[np.int64]
    height: npt.NDArray[np.int64]
    modes: npt.NDArray[np.object_]
    low: Float64Array
    high: Float64Array
    entropy: Float64Array
    edges: Float64Array
    colour: Float64Array
    hashes: npt.NDArray[np.uint64]
    digests: npt.NDArray[np.void]
    decode_s: float
    score_s: float

    def __len__(self) -> int:
        return int(self.reasons.size)

    @property
    def good(self) -> BoolArray:
        """Which pictures can be used."""
        return np.array([reason is None for reason in self.reasons], dtype=np.bool_)


class Kept(Protocol):
    """Where tables of a pass are kept (see picture_file)."""

    def read(self) -> PictureTable | None: ...
    def due(self) -> bool: ...
    def write(self, table: PictureTable) -> None: ...


def read_pictures(
    pictures: Pictures, *, workers: int | None = None, callback: Callback | None = None, kept: Kept | None = None
) -> PictureTable:
    """Decodes and scores every picture once. A bad one becomes a reason, never an error.

    workers  processes; 0: this one (also where processes cannot fork); None: one per core on Linux where the pool is
             worth it
    kept     what it holds is not decoded again; what is found is kept there, also where the pass is broken off

    The answer does not depend on workers. Cost: the decoding, and up to some 30 % of it for small pictures, less for
    large ones. Memory: O(a picture) per worker, about 150 bytes per picture. Raises InvalidInput (pictures
    that are float arrays), OneglanceError (a worker died).
    """
    n = len(pictures)
    there = None if kept is None else kept.read()
    parts: list[PictureTable] = [] if there is None else [there]
    done = sum(map(len, parts))
    tasks = [(start, min(start + _TASK_ROWS, n)) for start in range(done, n, _TASK_ROWS)]
    n_workers = default_workers(len(tasks)) if workers is None else workers
    if "fork" not in multiprocessing.get_all_start_methods():
        n_workers = 0
    meter = Meter("audit", done, n, callback)
    bad = sum(int(np.count_nonzero(~part.good)) for part in parts)
    try:
        with contextlib.closing(_parts(pictures, tasks, n_workers)) as incoming:
            for part in incoming:
                parts.append(part)
                bad += int(np.count_nonzero(~part.good))
                meter.advance(len(part), bad)
                if kept is not None and kept.due():
                    parts = [_joined(parts)]
                    kept.write(parts[0])
    finally:
        if kept is not None and tasks and parts:
            kept.write(_joined(parts))
    return _joined(parts)


def n_tasks(n_pictures: int) -> int:
    """Pieces of work of a pool."""
    return -(-n_pictures // _TASK_ROWS)


def default_workers(n_tasks: int) -> int:
    """None for few pieces or away from Linux, else one process per core, 16 at most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return 0 if n_tasks <= 2 or sys.platform != "linux" else min(16, cores)


_forked: Pictures | None = None
"""What the workers read from: they inherit it by the fork, so it need not be picklable."""


def _parts(pictures: Pictures, tasks: list[tuple[int, int]], workers: int) -> Generator[PictureTable, None, None]:
    """The tasks' tables in order, a few tasks ahead."""
    if workers == 0:
        yield from (score_rows(pictures, *task) for task in tasks)
        return
    global _forked
    _forked = pictures
    ahead: list[Future[PictureTable]] = []
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_quiet)
    try:
        with _calm_fork():
            for task in tasks:
                ahead.append(pool.submit(_forked_task, *task))
                if len(ahead) > 3 * workers:
                    yield ahead.pop(0).result()
            while ahead:
                yield ahead.pop(0).result()
    except BrokenProcessPool:
        raise OneglanceError(
            f"a decoding worker died: mostly for want of memory. Run again with fewer than workers={workers}, or with "
            "workers=0 / --workers 0."
        ) from None
    finally:
        _forked = None
        pool.shutdown(wait=True, cancel_futures=True)


def _forked_task(first: int, stop: int) -> PictureTable:
    if _forked is None:
        raise RuntimeError("worker without pictures")
    return score_rows(_forked, first, stop)


def _quiet() -> None:
    """Ctrl-C and a scheduler's stop are the parent's affair; it ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _calm_fork() -> Iterator[None]:
    # Python 3.12 warns of every fork in a process with threads; these workers run no code that needs them.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        yield


def score_rows(pictures: Pictures, first: int, stop: int) -> PictureTable:
    """The rows first .. stop - 1."""
    n = stop - first
    start_s = time.perf_counter()
    decode_s = 0.0
    table = _empty(n)
    scores = [NO_SCORES] * n
    digests = [bytes(16)] * n
    for row in range(n):
        began_s = time.perf_counter()
        try:
            picture, content = pictures.load(first + row)
        except BadPictureError as error:
            table.reasons[row] = str(error)
            continue
        finally:
            decode_s += time.perf_counter() - began_s
        if isinstance(picture, np.ndarray):
            raise InvalidInput(
                f"source[{first + row}] is a float array: an audit of pictures needs 8-bit pixels. Give pictures as "
                "they come from their files, or audit the features."
            )
        if 0 in picture.size:
            table.reasons[row] = f"no pixels: {picture.width} x {picture.height}"
            continue
        pixels = picture.tobytes()
        table.width[row], table.height[row] = picture.size
        table.modes[row] = picture.info.get(STORED_MODE, "")
        deep = table.modes[row].startswith("I")  # 16 bits: their low ones are lost here, and pictures differ by them
        digests[row] = pixel_digest(picture.size, content if deep else pixels)
        scores[row] = picture_scores(pixels, picture.height, picture.width)
    table.digests[:] = np.frombuffer(b"".join(digests), dtype=table.digests.dtype)
    *columns, hashes = zip(*scores, strict=True)
    for name, values in zip(_SCORES, columns, strict=True):
        getattr(table, name)[:] = values
    table.hashes[:] = np.array(hashes, dtype=np.uint64)
    table.decode_s, table.score_s = decode_s, time.perf_counter() - start_s - decode_s
    return table


def _empty(n: int) -> PictureTable:
    return PictureTable(
        reasons=np.full(n, None, dtype=object),
        width=np.zeros(n, dtype=np.int64),
        height=np.zeros(n, dtype=np.int64),
        modes=np.full(n, "", dtype=object),
        hashes=np.zeros(n, dtype=np.uint64),
        digests=np.zeros(n, dtype="V16"),
        decode_s=0.0,
        score_s=0.0,
        **{name: np.full(n, np.nan) for name in _SCORES},
    )


def _joined(parts: list[PictureTable]) -> PictureTable:
    names = [field.name for field in fields(PictureTable)]
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names[:-2]}
    return PictureTable(**columns, **{name: sum(getattr(part, name) for part in parts) for name in names[-2:]})
