"""What size pictures are trained at, where the caller leaves it open."""

from __future__ import annotations

import statistics

import numpy as np

from ..errors import InvalidInput
from ..features.pictures import BadPictureError, Pictures

MOST = 224
"""Pixels of the shorter side beyond which pictures are shrunk."""

_SAMPLE = 64


def look(pictures: Pictures) -> tuple[int, tuple[int, int], bool]:
    """(channels, (height, width), ready) of up to 64 pictures spread over the pool: the median of the sides where all
    have nearly the same aspect ratio, else a square of the median shorter side. ready: float arrays, of any channels.

    Raises InvalidInput if none of them can be read.
    """
    step = max(1, len(pictures) // _SAMPLE)
    sides: list[tuple[int, int]] = []
    reason = ""
    for row in range(0, len(pictures), step):
        try:
            picture, _ = pictures.load(row)
        except BadPictureError as error:
            reason = str(error)
            continue
        if isinstance(picture, np.ndarray):
            return picture.shape[0], (picture.shape[1], picture.shape[2]), True
        sides.append((picture.height, picture.width))
    if not sides:
        raise InvalidInput(f"images: none of the pictures looked at can be used. The last: {reason}.")
    ratios = [height / width for height, width in sides]
    if max(ratios) <= 1.05 * min(ratios):
        return 3, (_median([side[0] for side in sides]), _median([side[1] for side in sides])), False
    square = _median([min(side) for side in sides])
    return 3, (square, square), False


def choose_size(found: tuple[int, int]) -> tuple[int, int]:
    """The sides as they are up to 224 pixels of the shorter one, rounded to multiples of 4, from 64 on of 8 and from 96
    on of 16, so that patches fit."""
    ratio = min(1.0, MOST / min(found))
    unit = 4 if min(found) < 64 else 8 if min(found) < 96 else 16
    if min(found) < unit:
        return found
    high, wide = (max(unit, round(side * ratio / unit) * unit) for side in found)
    return high, wide


def _median(values: list[int]) -> int:
    return int(statistics.median_low(values))
