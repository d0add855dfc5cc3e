"""Scores of pictures of awkward shapes, as arrays: run once per instruction set, and compared with the definitions.
Usage: picture_battery.py OUT.npz"""

import sys

import numpy as np

from oneglance import _core
from oneglance.auditing.picture_scores import PictureScores, picture_scores

SHAPES = [
    *[(32, 32), (3, 3), (2, 5), (1, 9), (1, 1), (64, 48), (17, 33), (64, 64)],
    *[(64, 65), (65, 3), (1, 200), (200, 1), (129, 500), (191, 192), (3, 17_001)],
]


def pictures(shape):
    """Noise, dark, grey, all but white; and, where they are reduced, boxes whose means end in a half."""
    made = np.random.default_rng(sum(shape)).integers(0, 256, (6, *shape, 3), dtype=np.uint8)
    made[1] //= 4
    made[2] = made[2, :, :, :1]
    made[3] = np.maximum(made[3], 250)
    made[4] = 254 + np.add.outer(np.arange(shape[0]), np.arange(shape[1]))[..., None] % 2
    made[5] = 255
    return made


def answers():
    found = {"isa": np.array(_core.build_info()["isa_active"])}
    for shape in SHAPES:
        scores = [picture_scores(picture.tobytes(), *shape) for picture in pictures(shape)]
        for name, values in zip(PictureScores._fields, zip(*scores, strict=True), strict=True):
            found[f"{name}/{shape}"] = np.array(values, dtype=np.uint64 if name == "hash" else np.float64)
    return found


if __name__ == "__main__":
    np.savez(sys.argv[1], **answers())
