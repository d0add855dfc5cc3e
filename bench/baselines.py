"""What people write in NumPy today. Correct, idiomatic, and as fast as plain NumPy allows."""

import numpy as np


def leverage_qr(rows):
    """Leverage scores from a thin QR factorisation."""
    q, _ = np.linalg.qr(rows)
    return (q * q).sum(axis=1)


def lewis_step(rows, weights, p):
    """a_i' (A' W^(1-2/p) A)^-1 a_i for every row: Gram matrix, inverse, row-wise quadratic form."""
    scale = (weights ** (1 - 2 / p)).astype(rows.dtype)
    inverse = np.linalg.inv((rows.T * scale) @ rows)
    return np.einsum("ij,ij->i", rows @ inverse, rows)


def lewis_fixed_point(rows, p, n_steps):
    """The usual iteration w <- (a_i' G(w)^-1 a_i)^(p/2) (Cohen and Peng 2015), a given number of steps."""
    weights = np.full(len(rows), rows.shape[1] / len(rows))
    for _ in range(n_steps):
        weights = lewis_step(rows, weights, p).astype(np.float64) ** (p / 2)
    return weights


def lewis_steps_needed(rows, p, tol, most=1000):
    """Steps of the usual iteration until max |log r_i| <= tol, counted in float64."""
    rows = rows.astype(np.float64)
    weights = np.full(len(rows), rows.shape[1] / len(rows))
    for n_steps in range(1, most + 1):
        values = lewis_step(rows, weights, p)
        if np.abs(np.log(values) - 2 / p * np.log(weights)).max() <= tol:
            return n_steps
        weights = values ** (p / 2)
    raise AssertionError(f"the usual iteration did not reach {tol} in {most} steps at p={p}")
