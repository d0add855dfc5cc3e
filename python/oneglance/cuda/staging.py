"""Rows of the host on their way to the device: pinned buffers and a stream of their own, for copies beside work."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._types import FloatArray
from .arrays import ROW_TYPES, DeviceRows
from .lanes import Lane
from .library import Library


class Staging:
    """Two places, used in turn. Panel i is sent while panel i - 1 is worked on.

    Per panel: `send(i, parts)`, `take(i)` gives its rows on the device, `done(i)` after the last kernel that reads them
    was started. A place is filled again only after the work that read it: nothing waits on the host but for pinned
    memory that is still being copied.
    """

    def __init__(self, library: Library, device: int) -> None:
        self.library, self.device = library, device
        self._places: list[Any] = [None, None]
        self._sent: list[list[Any]] = [[], []]

    def send(self, panel: int, parts: list[FloatArray]) -> None:
        self._sent[panel % 2] = []
        if not parts:
            return
        sizes = [_whole(part.nbytes) for part in parts]
        n_bytes = sum(sizes)
        place = self._places[panel % 2]
        if place is None or place.n_bytes < n_bytes:
            self._let_go(place)
            place = self._places[panel % 2] = self.library.lane(n_bytes, self.device)
        host = place.host()
        offsets, at = [], 0
        for part, size in zip(parts, sizes, strict=True):
            view = host[at : at + part.nbytes].view(part.dtype).reshape(part.shape)
            np.copyto(view, part)
            offsets.append(at)
            at += size
        place.copy(at)
        self._sent[panel % 2] = list(zip(offsets, parts, strict=True))

    def take(self, panel: int) -> list[DeviceRows]:
        place = self._places[panel % 2]
        rows = []
        if self._sent[panel % 2]:
            place.arrived()
        for offset, part in self._sent[panel % 2]:
            n, d = part.shape
            array = place.typed(offset, n * d, str(part.dtype)).reshape(n, d)
            rows.append(DeviceRows(array, self.library, self.device, ROW_TYPES[str(part.dtype)], n, d, d))
        return rows

    def done(self, panel: int) -> None:
        if self._sent[panel % 2]:
            self._places[panel % 2].read()

    def close(self) -> None:
        """Before the places go, also when an error ends the reading: what is still being copied must not land in memory
        that belongs to others by then."""
        for place in self._places:
            self._let_go(place)

    def _let_go(self, place: Lane | None) -> None:
        if place is not None:
            place.host()


def _whole(n_bytes: int) -> int:
    """Rounded up, so that the next rows start where 16 bytes can be read at once."""
    return (n_bytes + 15) // 16 * 16
