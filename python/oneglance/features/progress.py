"""How far a long run is. Library code reports through a callback; showing it is the caller's affair."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO, TypeAlias

from ..errors import InvalidInput

PLAIN_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run.

    what       what is counted, e.g. "embed"         done, total  items, those of earlier runs included
    n_bad      unusable items so far                 elapsed_s    since this run began
    per_s      items per second of this run, 0 until known
    """

    what: str
    done: int
    total: int
    n_bad: int
    elapsed_s: float
    per_s: float

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the present rate; None while unknown."""
        return (self.total - self.done) / self.per_s if self.per_s > 0 else None

    def __str__(self) -> str:
        eta = "unknown" if self.eta_s is None else clock(self.eta_s)
        return f"{self.what}: {self.done}/{self.total} items, {self.per_s:.1f} items/s, ETA {eta}, {self.n_bad} bad"


Callback: TypeAlias = Callable[[Progress], None]


def clock(seconds: float) -> str:
    """7 s, 3:05 min, 2:03:05 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"


class PlainProgress:
    """One line every ten seconds, and a last one at the end; for batch logs."""

    def __init__(self, stream: TextIO | None = None, every_s: float = PLAIN_EVERY_S) -> None:
        self._stream, self._every_s = stream, every_s
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= self._every_s or progress.done == progress.total:
            self._last = now
            print(progress, file=self._stream or sys.stderr, flush=True)


def as_callback(progress: bool | Callback) -> Callback | None:
    """True: plain lines on stderr; False: nothing; else the callable itself."""
    if isinstance(progress, bool):
        return PlainProgress() if progress else None
    if not callable(progress):
        raise InvalidInput(f"progress must be True, False or a callable, got {progress!r}.")
    return progress


class Meter:
    """Counts items and calls the callback."""

    def __init__(self, what: str, done: int, total: int, callback: Callback | None) -> None:
        self._what, self._before, self._total, self._callback = what, done, total, callback
        self._done, self._start = done, time.monotonic()

    def advance(self, n_items: int, n_bad: int) -> None:
        self._done += n_items
        if self._callback is None:
            return
        elapsed_s = time.monotonic() - self._start
        per_s = (self._done - self._before) / elapsed_s if elapsed_s > 0 else 0.0
        self._callback(Progress(self._what, self._done, self._total, n_bad, elapsed_s, per_s))
