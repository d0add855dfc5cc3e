"""The pictures and labels of an adaptation, from whatever the caller has."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .._types import IntArray
from ..errors import InvalidInput
from ..features.backbones import Backbone, pick_device, running
from ..features.listfile import Columns
from ..features.pictures import MAX_PIXELS
from ..features.progress import Callback
from ..features.source import open_source
from .network import Network
from .shelf import Shelf, fill_shelf


@dataclass(frozen=True, eq=False)
class Opened:
    """A backbone on its device with a shelf of pictures.

    ids     the pictures' names, one per row of the source       folders  their labels in the source, where it has some
    """

    net: Network
    shelf: Shelf
    device: torch.device
    ids: list[str]
    folders: list[str | None] | None
    words: str

    def labels(self, given: Any, name: str = "labels") -> tuple[IntArray, npt.NDArray[Any]] | None:
        """Numbers on the shelf and classes of the labelled pictures; None without labels.

        given  None; "label": the source's own (sub-folder, column); one per picture of the source, None or NaN for
               unknown; or a dict id or row -> class
        Raises InvalidInput.
        """
        if given is None:
            return None
        values = classes_of(given, self.ids, self.folders, self.words, name)
        usable = [(number, values[row]) for number, row in enumerate(self.shelf.rows.tolist())]
        known = [(number, str(value)) for number, value in usable if value is not None and value == value]
        if not known:
            raise InvalidInput(f"{name}: none of the {len(self.shelf)} usable pictures has a label.")
        classes = np.empty(len(known), dtype=object)
        classes[:] = [value for _, value in known]
        return np.array([number for number, _ in known], dtype=np.int64), classes


@contextlib.contextmanager
def opened(
    backbone: Backbone,
    images: Any,
    *,
    device: Any = "auto",
    columns: Columns | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bad_fraction: float = 0.1,
    workers: int | None = None,
    callback: Callback | None = None,
) -> Iterator[Opened]:
    """The backbone on the device, in eval mode, with the pictures; it is given back as it was afterwards.

    Raises InvalidInput (ready vectors, no pictures), BadData.
    """
    source = open_source(images, columns, max_pixels=max_pixels, for_backbones=True)
    if source.pictures is None:
        raise InvalidInput(
            "images are ready vectors; masks are trained through the backbone. Give a folder, a list of paths, or "
            "pictures as a uint8 array (N, H, W, 3) or a preprocessed float array (N, C, H, W)."
        )
    where = pick_device(device)
    shelf = fill_shelf(
        source.pictures,
        backbone.preprocess,
        max_bad_fraction=max_bad_fraction,
        workers=default_threads() if workers is None else workers,
        callback=callback,
    )
    labels = None if source.items.labels is None else list(source.items.labels)
    with contextlib.closing(shelf), running([backbone], where):
        yield Opened(Network(backbone), shelf, where, list(source.items.ids), labels, source.info.description)


def default_threads() -> int:
    """One decoding thread per core, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(8, cores))


def classes_of(
    given: Any, ids: Sequence[str], folders: Sequence[str | None] | None, words: str, name: str = "labels"
) -> list[Any]:
    """One class per row of a source, None for unknown; given as for Opened.labels, not None. Raises InvalidInput.

    ids, folders, words  of the source: names, own labels, what it is
    """
    values: list[Any]
    if isinstance(given, str):
        if given != "label" or folders is None:
            have = "has labels under the name 'label'" if folders is not None else "has no labels"
            raise InvalidInput(f"{name}={given!r}: {words} {have}. Give one class per picture, or a dict.")
        values = list(folders)
    elif isinstance(given, Mapping):
        values = [None] * len(ids)
        at = {item: row for row, item in enumerate(ids)}
        for key, value in given.items():
            row = int(key) if isinstance(key, (int, np.integer)) else at.get(str(key), -1)
            if not 0 <= row < len(values):
                raise InvalidInput(f"{name}: no picture {key!r} in {words} of {len(values)}.")
            values[row] = value
    else:
        values = np.asarray(given).tolist() if hasattr(given, "dtype") else list(given)
        if len(values) != len(ids):
            raise InvalidInput(
                f"{name} must have one entry per picture ({len(ids)}), None for unknown, got {len(values)}."
            )
    return values
