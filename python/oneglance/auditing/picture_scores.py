"""Light scores of a decoded picture (oneglance.reference.picture_scores defines them)."""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

from .. import _core

SCORED_SIDE = 64
"""Scores are those of the picture reduced to at most so many pixels a side; smaller ones stay as they are."""


class PictureScores(NamedTuple):
    """Of the picture reduced to at most 64 pixels a side; edges is NaN where one of its sides is below 3."""

    low: float
    high: float
    entropy: float
    edges: float
    colour: float
    hash: int


NO_SCORES = PictureScores(math.nan, math.nan, math.nan, math.nan, math.nan, 0)


def picture_scores(rgb: bytes, height: int, width: int) -> PictureScores:
    """Of height x width x 3 bytes. Cost: 3 to 8 ns per pixel that is scored, and 0.5 to 1 ns per pixel that is
    averaged away: little beside the decoding."""
    return PictureScores(*_core.picture_scores(rgb, height, width))


def pixel_digest(size: tuple[int, int], pixels: bytes) -> bytes:
    """16 bytes of size and pixels: equal for a picture saved twice without loss, whatever the files are like."""
    state = hashlib.sha256(repr(size).encode())
    state.update(pixels)
    return state.digest()[:16]
