"""Squared norms of rows in device memory."""

from __future__ import annotations

from typing import Any

from .arrays import DeviceRows


def row_norms2(rows: DeviceRows) -> tuple[Any, Any]:
    """(float64 (n,) |row|^2, NaN for rows with NaN or infinity; int64 (1,) count of those), both on the device."""
    library = rows.library
    with library.guard(rows.device):
        out = library.empty(rows.n_rows, "float64", rows.device)
        n_bad = library.zeros(1, "int64", rows.device)
        library.kernels.row_norms2(
            *rows.args, library.address(out), library.address(n_bad), library.stream(rows.device)
        )
    return out, n_bad
