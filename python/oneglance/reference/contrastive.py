"""Contrastive losses by definition: views of one picture near each other, those of other pictures apart."""

from __future__ import annotations

import numpy as np

from .._types import Float64Array, IntArray


def unit_rows(x: Float64Array) -> Float64Array:
    """Rows at length 1; rows of zeros stay. By the largest entry first, as squares overflow before rows do."""
    top = np.abs(x).max(axis=1, keepdims=True)
    x = x / np.where(top > 0, top, 1.0)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(length > 0, length, 1.0))


def nt_xent(a: Float64Array, b: Float64Array, temperature: float) -> float:
    """Mean over 2B views of -log softmax of the cosines / temperature with all 2B - 1 other views, at the other view of
    the same picture (Chen et al. 2020, arXiv 2002.05709). a, b (B, p): rows of any length."""
    z = unit_rows(np.concatenate([a, b]))
    logits = z @ z.T / temperature
    np.fill_diagonal(logits, -np.inf)
    partner = np.roll(np.arange(len(z)), len(a))
    return float(np.mean([_log_sum_exp(row) - row[j] for row, j in zip(logits, partner, strict=True)]))


def info_nce(queries: Float64Array, keys: Float64Array, temperature: float) -> float:
    """Mean over rows i of -log softmax_j of the cosines of query i with keys j / temperature, at j = i."""
    logits = unit_rows(queries) @ unit_rows(keys).T / temperature
    return float(np.mean([_log_sum_exp(row) - row[i] for i, row in enumerate(logits)]))


def neighbours(z: Float64Array, queue: Float64Array, k: int) -> IntArray:
    """(B, min(k, q)) numbers of the queue's rows with the largest cosines, largest first, equal ones by number."""
    return np.argsort(-(unit_rows(z) @ unit_rows(queue).T), axis=1, kind="stable")[:, :k].astype(np.int64)


def nnclr(
    z: tuple[Float64Array, Float64Array],
    predicted: tuple[Float64Array, Float64Array],
    queue: Float64Array,
    temperature: float,
    ranks: tuple[IntArray, IntArray] | None = None,
) -> float:
    """Half of InfoNCE of view b's predictions against the neighbours of view a, and half the other way round
    (Dwibedi et al. 2021, arXiv 2104.14548).

    z, predicted  (B, p) per view          queue  (q, p); without rows z itself is the positive
    ranks         which of a row's neighbours is its positive, 0 the nearest, (B,) per view
    """
    chosen = []
    for view in range(2):
        rank = np.zeros(len(z[view]), dtype=np.int64) if ranks is None else ranks[view]
        if len(queue):
            near = neighbours(z[view], queue, len(queue))
            chosen.append(queue[near[np.arange(len(near)), rank]])
        else:
            chosen.append(z[view])
    return (info_nce(predicted[1], chosen[0], temperature) + info_nce(predicted[0], chosen[1], temperature)) / 2


def pushed(queue: Float64Array, new: Float64Array, length: int) -> Float64Array:
    """The queue after a batch: newest first, `length` rows at most."""
    return np.concatenate([new, queue])[:length]


def ema(values: list[Float64Array], momentum: float) -> Float64Array:
    """The moving average after values[0], values[1], ...: t <- momentum t + (1 - momentum) value."""
    target = values[0]
    for value in values[1:]:
        target = momentum * target + (1 - momentum) * value
    return target


def _log_sum_exp(row: Float64Array) -> float:
    top = row.max()
    return float(top + np.log(np.exp(row - top).sum()))
