"""What leverage and Lewis share at the door: shards, masks, ridge rows, several backbones, NaN messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .._check import as_mask, as_shards
from .._rows import named_rows
from .._types import BoolArray, FloatArray, RowShards
from ..errors import InvalidInput

Result = TypeVar("Result")


def for_each_backbone(X: Any, one: Callable[[Any, str], Result]) -> Any:
    """Applies `one(array, name)` to a matrix, or to each matrix of a list or dict (same kind out).

    All matrices of a list or dict must have the same number of rows: they describe one pool.
    """
    if isinstance(X, dict):
        named = {str(key): (value, f"X[{key!r}]") for key, value in X.items()}
        _same_rows({key: value for key, (value, _) in named.items()})
        return {key: one(value, name) for key, (value, name) in named.items()}
    if isinstance(X, (list, tuple)) and len(X) and all(np.ndim(item) == 2 for item in X):
        _same_rows({str(index): item for index, item in enumerate(X)})
        return [one(item, f"X[{index}]") for index, item in enumerate(X)]
    return one(X, "X")


def _same_rows(matrices: dict[str, Any]) -> None:
    if not matrices:
        raise InvalidInput("X holds no backbone: it needs at least one matrix.")
    counts = {key: len(value) for key, value in matrices.items()}
    first, expected = next(iter(counts.items()))
    for key, count in counts.items():
        if count != expected:
            raise InvalidInput(
                f'features of backbone "{key}" have {count} rows, those of "{first}" have {expected}. '
                "All backbones must describe the same pool in the same order."
            )


class Rows:
    """Checked rows of one matrix, with the ridge rows below them: what the compiled core takes."""

    def __init__(self, X: Any, name: str, mask: Any, ridge_row_scale: float) -> None:
        matrix: RowShards = as_shards(X, name)
        self.name = name
        self.n_rows, self.n_dims = matrix.shape
        self.mask: BoolArray | None = as_mask(mask, "mask", self.n_rows)
        self.shards: list[FloatArray] = list(matrix.shards)
        self.n_extra = 0
        if ridge_row_scale > 0:
            # float64 only where the rows are: one float64 block would switch off the float32 products.
            wide = np.dtype(np.float64 if matrix.dtype == np.float64 else np.float32)
            self.shards.append((np.eye(self.n_dims) * ridge_row_scale).astype(wide))
            self.n_extra = self.n_dims
            if self.mask is not None:
                self.mask = np.concatenate([self.mask, np.ones(self.n_extra, dtype=np.bool_)])

    def call(self, compiled: Callable[..., tuple[Any, ...]], *args: Any) -> tuple[Any, ...]:
        """Runs a compiled function on the shards; rows with NaN become a message about this matrix."""
        with named_rows(self.name):
            return compiled(self.shards, *args)
