"""Pictures as rows of patches."""

from __future__ import annotations

from torch import Tensor


def to_patches(pictures: Tensor, rows: int, columns: int) -> Tensor:
    """(B, C, H, W) -> (B, rows * columns, C * ph * pw): row after row, inside by channel, row, column."""
    n, channels, height, width = pictures.shape
    split = pictures.reshape(n, channels, rows, height // rows, columns, width // columns)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(n, rows * columns, -1)


def rows_of(table: Tensor, numbers: Tensor) -> Tensor:
    """table (B, L, d), numbers (B, K) -> (B, K, d)."""
    return table.gather(1, numbers.unsqueeze(2).expand(-1, -1, table.shape[2]))
