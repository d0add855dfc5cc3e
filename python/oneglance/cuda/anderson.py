"""Anderson mixing of matrices in device memory: csrc/algo/anderson.h."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

_DEPENDENT = 1e-10


class AndersonMixing:
    """For a fixed point x = x + f(x) over the last `depth` + 1 iterates; x and f are float64 device arrays."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._history: deque[tuple[Any, Any]] = deque(maxlen=depth)
        self._last: tuple[Any, Any] | None = None

    def clear(self) -> None:
        self._history.clear()
        self._last = None

    def next(self, x: Any, f: Any, damping: float) -> Any:
        """The combination whose linearised residual is smallest, plus `damping` times that residual."""
        if self._last is not None:
            self._history.appendleft((x - self._last[0], f - self._last[1]))
        self._last = (x, f)
        mixed_x, mixed_f = x, f
        directions: list[tuple[Any, Any]] = []
        for step_x, step_f in self._history:
            norm2_before = _dot(step_f, step_f)
            for _ in range(2):  # twice is enough (Kahan)
                for earlier_x, earlier_f in directions:
                    share = _dot(earlier_f, step_f)
                    step_f, step_x = step_f - share * earlier_f, step_x - share * earlier_x
            norm2 = _dot(step_f, step_f)
            if not norm2 > _DEPENDENT**2 * norm2_before:
                continue
            size = math.sqrt(norm2)
            step_f, step_x = step_f / size, step_x / size
            share = _dot(step_f, mixed_f)
            mixed_f, mixed_x = mixed_f - share * step_f, mixed_x - share * step_x
            directions.append((step_x, step_f))
        return mixed_x + damping * mixed_f


def _dot(a: Any, b: Any) -> float:
    return float((a * b).sum())
