"""How even a histogram is, how two columns go together, how varied rows are: by definition."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .._types import Float64Array, FloatArray
from .nearest import prepared


def entropy(counts: Sequence[int]) -> float:
    """Nats."""
    total = sum(counts)
    return -sum(c / total * math.log(c / total) for c in counts if c)


def gini(counts: Sequence[int]) -> float:
    """Mean absolute difference of two cells over twice the mean cell; 0: all alike."""
    mean = sum(counts) / len(counts)
    return sum(abs(a - b) for a in counts for b in counts) / (2 * len(counts) ** 2 * mean)


def effective_samples(counts: Sequence[int], beta: float) -> float:
    """Sum over the cells of 1 + beta + ... + beta^(n - 1) (Cui et al. 2019)."""
    return sum(sum(beta**i for i in range(c)) for c in counts)


def mutual_information(table: Float64Array) -> tuple[float, float, float]:
    """Of a contingency table: mutual information over the mean of both entropies, Cramer's V, chi-square."""
    n = table.sum()
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    information, chi2 = 0.0, 0.0
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            expected = rows[i] * columns[j] / n
            chi2 += (table[i, j] - expected) ** 2 / expected
            if table[i, j]:
                information += table[i, j] / n * math.log(table[i, j] / expected)
    mean = (entropy(rows.tolist()) + entropy(columns.tolist())) / 2
    return information / mean, math.sqrt(chi2 / (n * (min(table.shape) - 1))), chi2


def vendi(x: FloatArray) -> float:
    """exp of the entropy of the eigenvalues of K / n, K the cosines of all pairs (Friedman and Dieng 2023)."""
    unit = prepared(x, "cosine")
    values = np.linalg.eigvalsh(unit @ unit.T / len(unit))
    values = values[values > 1e-12]
    return math.exp(-float((values * np.log(values)).sum()))
