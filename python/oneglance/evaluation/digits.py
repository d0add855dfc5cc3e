"""The quickstart's pictures: scikit-learn's 1,797 scanned digits as PNG files, a pool and a held-out part.

Every third picture is held out (a fixed rule, no seed): 599 to measure on, 1,198 to pick from. Sub-folders
are the classes, as in any folder of labelled pictures.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from .._types import BoolArray, IntArray
from ..errors import MissingDependency

PARTS = ("pool", "held-out")
_MODULES = ("torch", "sklearn", "matplotlib")
_PROJECT = {"sklearn": "scikit-learn"}


def load_packages() -> None:
    """Imports what quickstart needs; MissingDependency names what is absent and the one command that installs it."""
    from importlib.util import find_spec

    missing = [_PROJECT.get(name, name) for name in _MODULES if find_spec(name) is None]
    if missing:
        raise MissingDependency(
            f"quickstart needs torch, scikit-learn and matplotlib; not installed: {', '.join(missing)}. "
            'Run: pip install "oneglance[quickstart]"'
        )
    import sklearn.cluster  # noqa: F401
    import torch  # noqa: F401


def load_digits() -> tuple[npt.NDArray[np.uint8], IntArray, BoolArray]:
    """Pictures (1797, 8, 8) of 0..255, classes (1797,) of 0..9, held out (1797,): True for every third."""
    from sklearn.datasets import load_digits as load

    bunch = load()
    pictures = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    held_out = np.arange(len(pictures)) % 3 == 2
    return pictures, bunch.target.astype(np.int64), held_out


def write_digits(folder: Path) -> dict[str, int]:
    """PNG files folder/<part>/<class>/digit_<number>.png; files already there with the right bytes are kept.

    Returns {part: number of pictures}. Cost: about half a second the first time.
    """
    import io

    from PIL import Image

    pictures, classes, held_out = load_digits()
    counts = dict.fromkeys(PARTS, 0)
    for number, (picture, label) in enumerate(zip(pictures, classes, strict=True)):
        part = PARTS[int(held_out[number])]
        counts[part] += 1
        path = folder / part / str(label) / f"digit_{number:04d}.png"
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, format="PNG")
        if path.is_file() and path.read_bytes() == buffer.getvalue():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)
    return counts


def pool_pixels() -> npt.NDArray[np.float32]:
    """(1198, 1, 8, 8) the pool's pictures in [0, 1], without classes: what the backbones are trained on."""
    pictures, _, held_out = load_digits()
    return (pictures[~held_out, None] / np.float32(255)).astype(np.float32)
