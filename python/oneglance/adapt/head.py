"""One head on one backbone: what it holds, and what it says about features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import as_shards
from .._types import Float64Array, FloatArray, IntArray, RowShards
from ..errors import InvalidInput
from ..search.nearest import Nearest, nearest

TASKS = ("classification", "regression")
HEADS = ("linear", "nearest_mean", "knn")
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid")
SCALES = ("none", "normalise", "standardise")
_PANEL = 4096


@dataclass(frozen=True, eq=False)
class Head:
    """A head. Made by fit_heads; one per backbone.

    backbone, hash, n_dims  whose features it reads; hash None for bare arrays, which only their width tells apart
    task         "classification" or "regression"
    kind         "linear", "nearest_mean" (a linear head, too) or "knn"
    classes      (K,) labels in the order of the columns; None for regression
    seen         (K,) bool: classes that had a label; the others get probability 0
    scale        "none", "normalise": rows to unit length first; what "standardise" did is inside the coefficients
    arrays       linear: coef (d, K) and intercept (K,) float64. knn: rows (m, d) and codes (m,)
    activation   of a regression's outputs, or None
    temperature  logits are divided by it; 1 unless calibrated
    info         evidence of the fit: penalty, steps, gap, held-out losses, numbers of labels
    """

    backbone: str
    hash: str | None
    n_dims: int
    task: str
    kind: str
    classes: npt.NDArray[Any] | None
    seen: npt.NDArray[np.bool_] | None
    scale: str
    arrays: dict[str, npt.NDArray[Any]]
    activation: str | None = None
    temperature: float = 1.0
    info: dict[str, Any] = field(default_factory=dict)

    def outputs(self, X: Any, *, rows: Any = None) -> Float64Array:
        """(n, K) float64: logits of classes, or predicted targets. Memory: the answer and a panel of 4096 rows.

        X     (n, d) features of this backbone: array, memory map, RowShards, torch tensor on the CPU
        rows  positions or a mask of what to predict; default all. Raises InvalidInput (width, rows with NaN).
        """
        shards = as_shards(X, f'features of backbone "{self.backbone}"')
        if shards.shape[1] != self.n_dims:
            raise InvalidInput(
                f'features of backbone "{self.backbone}" have {shards.shape[1]} columns, its head was fitted on '
                f"{self.n_dims}. They come from another backbone."
            )
        names = None if rows is None else as_rows(rows, len(shards))
        if names is not None:
            shards = RowShards((shards.take(names),))
        answers = [
            self._panel(panel, np.arange(first, first + len(panel)) if names is None else names[first:])
            for first, panel in _panels(shards)
        ]
        return np.concatenate(answers) if answers else np.empty((0, self.n_outputs))

    @property
    def n_outputs(self) -> int:
        """Classes or targets."""
        return len(self.classes) if self.classes is not None else int(self.arrays["intercept"].size)

    def _panel(self, panel: Float64Array, names: IntArray) -> Float64Array:
        bad = np.flatnonzero(~np.isfinite(panel).all(axis=1))
        if bad.size:
            raise InvalidInput(
                f'features of backbone "{self.backbone}" have NaN or infinity in {bad.size} rows, first '
                f"{int(names[bad[0]])}. Leave them out with rows=numpy.flatnonzero(store.valid)."
            )
        scaled = scale_rows(panel, self.scale)
        if self.kind == "knn":
            out = self._votes(scaled)
        else:
            out = scaled @ self.arrays["coef"] + self.arrays["intercept"]
            if self.task == "regression":
                return activate(out, self.activation)
            out /= self.temperature
        out[:, ~self._seen] = -np.inf
        return np.asarray(out)

    @property
    def _seen(self) -> npt.NDArray[np.bool_]:
        if self.seen is None:
            raise InvalidInput(f'the head of backbone "{self.backbone}" predicts numbers: use predict.')
        return self.seen

    def _votes(self, rows: Float64Array) -> Float64Array:
        """Log of the share of votes of the k nearest."""
        k, codes = int(self.info["k"]), self.arrays["codes"]
        return neighbour_logits(rows, self.arrays["rows"], codes, self.n_outputs, k) / self.temperature

    def predict_proba(self, X: Any, *, rows: Any = None) -> Float64Array:
        """(n, K) probabilities of the classes; each row sums to 1. Raises InvalidInput for a regression."""
        self._seen  # noqa: B018  raises for a regression
        return softmax(self.outputs(X, rows=rows))

    def predict(self, X: Any, *, rows: Any = None) -> npt.NDArray[Any]:
        """Classes (n,), ties to the lower one; or targets (n, c) of a regression."""
        out = self.outputs(X, rows=rows)
        return out if self.classes is None else np.asarray(self.classes[out.argmax(axis=1)])


def as_rows(rows: Any, n_rows: int) -> IntArray:
    """Positions in 0..n_rows-1, in the order given, or those of a mask (n_rows,). Raises InvalidInput."""
    given = np.asarray(rows)
    if given.dtype == np.bool_ and given.shape == (n_rows,):
        return np.flatnonzero(given).astype(np.int64)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise InvalidInput(
            f"rows must be positions (int) or a mask of {n_rows} entries, got {given.dtype} of shape {given.shape}."
        )
    return given.astype(np.int64)


def _panels(shards: RowShards) -> Iterator[tuple[int, Float64Array]]:
    first = 0
    for shard in shards:
        for start in range(0, shard.shape[0], _PANEL):
            yield first + start, np.asarray(shard[start : start + _PANEL], dtype=np.float64)
        first += shard.shape[0]


def scale_rows(rows: FloatArray, scale: str) -> Float64Array:
    """Rows to unit length for "normalise" (rows of zeros stay), else as they are."""
    wide = np.asarray(rows, dtype=np.float64)
    if scale != "normalise":
        return wide
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    return np.asarray(wide / np.where(lengths > 0, lengths, 1.0)[:, None])


def softmax(logits: Float64Array) -> Float64Array:
    """(n, K) -> (n, K), rows sum to 1."""
    out = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(out / out.sum(axis=1, keepdims=True))


def neighbour_logits(
    queries: Float64Array, rows: FloatArray, codes: npt.NDArray[Any], n_classes: int, k: int
) -> Float64Array:
    """(t, K): log of the share of votes of the k nearest rows by cosine; -inf without a vote; equal for zero rows."""
    filled = (queries != 0).any(axis=1)
    votes = np.ones((len(queries), n_classes))
    if filled.any():
        found = nearest(queries[filled], rows, k=k, metric="cosine")
        votes[filled] = count_votes(found, codes, n_classes, k)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(votes / votes.sum(axis=1, keepdims=True)))


def count_votes(found: Nearest, codes: npt.NDArray[Any], n_classes: int, k: int) -> Float64Array:
    """(t, K): sums of exp(-distance / 0.07) over the k nearest, counted from the nearest one's 1."""
    votes = np.zeros((len(found.indices), n_classes))
    size = np.exp((found.distances[:, :1] - found.distances[:, :k]) / 0.07)
    np.add.at(votes, (np.arange(len(votes))[:, None], codes[found.indices[:, :k]]), size)
    return votes


def activate(values: Float64Array, activation: str | None) -> Float64Array:
    """The monotone function of a single-index model, entry by entry."""
    if activation is None:
        return values
    if activation == "relu":
        return np.maximum(values, 0.0)
    if activation == "leaky_relu":
        return np.where(values > 0, values, 0.01 * values)
    if activation == "tanh":
        return np.tanh(values)
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))  # sigmoid
