"""The folder of a pretrained backbone: backbone.json, weights.pt, record.json and told.png, each whole or absent.

weights.pt is a state dict that torch.load(weights_only=True) reads. backbone.json says how to build the network and
where it comes from; it is written last of the two and holds the hash of the weights. The same run gives the same bytes.
record.json says how the training went, with times; told.png shows hidden patches as they were told, where some were.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import InvalidInput
from ..features.backbones import Backbone
from ..features.saved import backbone_files
from ..features.specs import BACKBONE_FILE
from ..store.files import TMP_SUFFIX, json_bytes, make_folder, sync_folder, write_atomic

RECORD_FILE, SHEET_FILE = "record.json", "told.png"
_NEW_SUFFIX = ".new"


def save_backbone(
    folder: Path,
    backbone: Backbone,
    provenance: Mapping[str, Any],
    record: Mapping[str, Any],
    sheet: Image.Image | None = None,
) -> dict[str, int]:
    """Writes the files; file name -> bytes. Raises StoreError."""
    files = {RECORD_FILE: json_bytes(dict(record)), **backbone_files(backbone, provenance)}
    if sheet is not None:
        stream = io.BytesIO()
        sheet.save(stream, format="PNG")
        files = {SHEET_FILE: stream.getvalue(), **files}
    make_folder(folder)
    aside = {folder / f"{name}{_NEW_SUFFIX}": folder / name for name in files}
    try:  # a disk that is full leaves what was there before
        for place, content in zip(aside, files.values(), strict=True):
            write_atomic(place, [content])
    except BaseException:
        for place in aside:
            place.unlink(missing_ok=True)
        raise
    for name in (BACKBONE_FILE, SHEET_FILE):  # what is there always describes the weights beside it
        (folder / name).unlink(missing_ok=True)
    for place, final in aside.items():
        place.replace(final)
    sync_folder(folder)
    return {name: len(content) for name, content in files.items()}


def check_out(folder: Path, overwrite: bool) -> None:
    """Raises InvalidInput, before any work, if a backbone is there already."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"out: {folder} is a file, a folder is needed. Choose another name.")
    if (folder / BACKBONE_FILE).exists() and not overwrite:
        raise InvalidInput(
            f"out: {folder} holds a backbone already. Choose another folder, or overwrite=True / --overwrite."
        )


def check_writable(folder: Path) -> None:
    """Makes the folder. Raises StoreError, before any work, where nothing can be written."""
    make_folder(folder)
    trial = folder / f"{RECORD_FILE}{TMP_SUFFIX}"
    write_atomic(trial, [b""])
    trial.unlink(missing_ok=True)
