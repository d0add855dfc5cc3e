"""Definitions of few-label transfer: penalties, interpolation, merging, rates, and the interval of a cross-validation.

Sources: L2-SP arXiv 1802.01483; WiSE-FT arXiv 2109.01903; LoRA arXiv 2106.09685; layer-wise rates arXiv 2106.08254;
the interval Nadeau and Bengio 2003, "Inference for the Generalization Error".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .._types import Float64Array


def l2_sp(weights: Mapping[str, Float64Array], start: Mapping[str, Float64Array], strength: float) -> float:
    """strength / 2 times the squared distance from the start."""
    return 0.5 * strength * sum(float(np.square(weights[name] - start[name]).sum()) for name in start)


def l2_sp_gradient(weights: Float64Array, start: Float64Array, strength: float) -> Float64Array:
    """Of one tensor."""
    return strength * (weights - start)


def distortion(features: Float64Array, start: Float64Array) -> float:
    """Mean squared distance of rows, each at unit length; a row of zeros stays."""
    unit = [rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in (features, start)]
    return float(np.square(unit[0] - unit[1]).sum(axis=1).mean())


def interpolate(start: Float64Array, end: Float64Array, alpha: float) -> Float64Array:
    """WiSE-FT: alpha 0 is the start, 1 the end."""
    return (1.0 - alpha) * start + alpha * end


def merge_lora(weight: Float64Array, a: Float64Array, b: Float64Array, scale: float) -> Float64Array:
    """weight + scale B A. Linear maps: weight (o, i), a (r, i), b (o, r). Convolutions: weight (o, i, h, w),
    a (r, i, h, w), b (o, r, 1, 1). scale is LoRA's alpha / r."""
    delta = b.reshape(len(b), -1) @ a.reshape(len(a), -1)
    return weight + scale * delta.reshape(weight.shape)


def layer_factors(n_layers: int, decay: float) -> Float64Array:
    """Learning rates of layers from the first to the last, as shares of the head's: the last has `decay`."""
    return np.asarray(decay ** np.arange(n_layers, 0, -1, dtype=np.float64))


def corrected_interval(
    differences: Float64Array, n_train: float, n_test: float, t: float, least: float
) -> tuple[float, float]:
    """mean -+ t sqrt((1 / J + n_test / n_train) s^2) of J differences of a (repeated) cross-validation, whose training
    parts overlap; s^2 is their variance or `least`, whichever is more."""
    reach = t * np.sqrt((1.0 / differences.size + n_test / n_train) * max(differences.var(ddof=1), least))
    return float(differences.mean() - reach), float(differences.mean() + reach)
