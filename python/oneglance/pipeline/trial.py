"""Fits and scores on labels that are known: what the learning curve and the sensitivity runs share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._rng import Purpose, uniforms
from .._types import IntArray
from ..adapt.item_files import read_labels
from ..auditing.chance import share_interval
from ..errors import InvalidInput
from ..evaluation.intervals import t_quantile
from ..evaluation.splits import as_classes
from ..strategies.pool import Pool
from .steps.base import Context, test_pool

_RANDOM = 1000  # draws of random picks; those below are orders of the labels


def truth_of(ctx: Context, section: str, pool: Pool) -> Any:
    """(n_items,) str objects or None, of the key labels of this section. Raises InvalidInput."""
    value = ctx.config[section]["labels"]
    found = read_labels(ctx.column(value), pool, f"[{section}] labels")
    classes = np.array([*as_classes(found, pool, f"[{section}] labels"), None], dtype=object)[:-1]
    if not any(name is not None for name in classes.tolist()):
        raise InvalidInput(f"[{section}] labels: {value!r} gives no item a label.")
    return classes


def check_truth(ctx: Context, pool: Pool) -> None:
    """All labels that later steps will need can be read: said before anybody is asked to label. Raises InvalidInput."""
    if ctx.has_test:
        truth_of(ctx, "test", test_pool(ctx.store_path(test=True), list(pool.features)))
    for section in ("evaluate", "sensitivity"):
        if ctx.config[section]["labels"] is not None:
            truth_of(ctx, section, pool)


def with_label(truth: Any) -> Any:
    return np.array([name is not None for name in truth.tolist()], dtype=np.bool_)


def order_of(rows: IntArray, seed: int, draw: int) -> IntArray:
    """The rows in a random order; prefixes of it are nested."""
    return rows[np.argsort(uniforms(seed, Purpose.PIPELINE, rows, draw), kind="stable")]


def random_order(rows: IntArray, seed: int, repeat: int) -> IntArray:
    """For picks at random: other numbers than `order_of` any labels."""
    return order_of(rows, seed, _RANDOM + repeat)


def sizes_of(shares: Sequence[float], n: int) -> list[int]:
    """A count for every different share, ascending, at least one; few labels may make two of them equal."""
    return [max(1, round(share * n)) for share in sorted(set(shares))]


def share_dict(hits: int, n: int, level: float) -> dict[str, float]:
    """Wilson's interval."""
    low, high = share_interval(hits, n, level)
    return {"mean": hits / n, "low": low, "high": high}


def mean_dict(values: Any, level: float, least: float = -1.0, groups: IntArray | None = None) -> dict[str, float]:
    """Student's interval of a mean of numbers between `least` and 1; a single value has none but itself.

    groups  (n,) numbers of values that are not independent of each other: the spread is that of the sums over groups
    """
    data = np.asarray(values, dtype=np.float64)
    mean = float(data.mean())
    sums = data - mean
    if groups is not None:
        of = np.unique(groups, return_inverse=True)[1].reshape(-1)
        sums = np.bincount(of, weights=sums).astype(np.float64)
    if sums.size < 2:
        return {"mean": mean, "low": mean, "high": mean}
    error = math.sqrt(sums.size / (sums.size - 1) * float(sums @ sums)) / data.size
    half = t_quantile(0.5 + level / 2, sums.size - 1) * error
    return {"mean": mean, "low": max(least, mean - half), "high": min(1.0, mean + half)}


def columns_mark(ctx: Context, *keys: tuple[str, str]) -> Mapping[str, Any]:
    """Hashes of the files that keys of kind column name."""
    return {f"{section}.{key} file": ctx.column_mark(ctx.config[section][key]) for section, key in keys}
