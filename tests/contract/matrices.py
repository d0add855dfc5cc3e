"""Awkward matrices of the contract suite: float64, each small enough for an SVD oracle."""

import numpy as np


def matrices():
    rng = np.random.default_rng(7)
    normal = rng.normal(size=(600, 24))
    rotation = np.linalg.qr(rng.normal(size=(24, 24)))[0]
    yield "normal", normal
    yield "one_row", normal[:1]
    yield "one_column", normal[:, :1]
    yield "one_number", normal[:1, :1]
    yield "square", normal[:24]
    yield "wide", normal[:7]
    yield "n_15", normal[:63, :15]
    yield "n_17", normal[:65, :17]
    yield "relu_mean", np.maximum(normal, 0) + 1.0
    yield "dead_columns", normal * (np.arange(24) % 5 != 2)
    yield "doubled_columns", np.hstack([normal[:, :20], normal[:, :4]])
    yield "zero_rows", normal * (np.arange(600) % 7 != 3)[:, None]
    yield "repeated_rows", np.repeat(normal[:60], 10, axis=0)
    yield "coherent", np.vstack([1e3 * np.eye(24), normal])
    yield "heavy_tail", normal * rng.standard_t(1.5, size=(600, 1))
    yield "column_scales", normal * np.logspace(0, -4, 24)
    yield "condition_1e3", (normal * np.logspace(0, -3, 24)) @ rotation
    yield "block_diagonal", np.kron(np.eye(6), normal[:80, :2])


def ill_conditioned(condition, n_rows=600, n_dims=24):
    rng = np.random.default_rng(11)
    rotation = np.linalg.qr(rng.normal(size=(n_dims, n_dims)))[0]
    return (rng.normal(size=(n_rows, n_dims)) * np.logspace(0, -np.log10(condition), n_dims)) @ rotation


DTYPES = ("float16", "float32", "float64")
NORMS = (0.5, 1.0, 1.5, 2.0, 3.0, 3.8, 4.0, 6.0, 16.0)
