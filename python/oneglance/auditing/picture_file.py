"""What a pass over pictures has found so far, in a file, so that a run that was stopped need not decode them again."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np

from .._run_head import run_head
from ..features.pictures import FilePictures, Pictures
from ..store.files import digest, make_folder, write_atomic
from .picture_pass import PictureTable

_TEXTS = ("reasons", "modes")
_COLUMNS = tuple(name for name in PictureTable.__dataclass_fields__ if not name.endswith("_s"))
_EVERY_S = 60.0
_SHARE = 20  # of the time of a run at most a twentieth is spent on writing


class PictureFile:
    """The table of a pass over pictures in files, kept at `path` for the same version, build, paths, sizes and times of
    change. Of pictures in memory nothing is kept."""

    def __init__(self, path: Path, pictures: Pictures) -> None:
        self.path = path
        self._mark: str | None = None
        if isinstance(pictures, FilePictures):
            self._mark = digest(pictures.mark().encode(), repr(run_head({})).encode())
        self._written_s = time.monotonic()
        self._took_s = 0.0

    def read(self) -> PictureTable | None:
        """The rows that are there, the first ones; None without any of these pictures, or if the file is damaged."""
        if self._mark is None or not self.path.is_file():
            return None
        try:
            with np.load(io.BytesIO(self.path.read_bytes()), allow_pickle=False) as kept:
                if str(kept["mark"]) != self._mark:
                    return None
                rows = {name: kept[name] for name in _COLUMNS}
            rows |= {name: np.array([*json.loads(str(rows[name])), None], dtype=object)[:-1] for name in _TEXTS}
        except Exception:  # a file that is no such table costs a reading of the pictures and nothing else
            return None
        return PictureTable(**rows, decode_s=0.0, score_s=0.0)

    def due(self) -> bool:
        """Whether enough time has passed to write again."""
        return time.monotonic() - self._written_s > max(_EVERY_S, _SHARE * self._took_s)

    def write(self, table: PictureTable) -> None:
        """Keeps it, whole or not at all. Raises StoreError."""
        if self._mark is None:
            return
        began_s = time.monotonic()
        arrays = {name: getattr(table, name) for name in _COLUMNS}
        arrays |= {name: np.array(json.dumps(list(arrays[name]))) for name in _TEXTS}
        buffer = io.BytesIO()
        np.savez(buffer, mark=np.array(self._mark), **arrays)
        make_folder(self.path.parent)
        write_atomic(self.path, [buffer.getvalue()])
        self._written_s = time.monotonic()
        self._took_s = self._written_s - began_s
