"""Awkward pools of the contract of distances: float64, small enough for one pass per pick in NumPy."""

import numpy as np

SIZES = (1, 15, 16, 17, 63, 65)


def pools():
    rng = np.random.default_rng(11)
    normal = rng.normal(size=(700, 24))
    for n in SIZES:
        yield f"n_{n}", normal[:n]
    for d in (1, 15, 16, 17, 63, 65):
        yield f"d_{d}", rng.normal(size=(130, d))
    yield "normal", normal
    yield "clustered", 8.0 * rng.normal(size=(30, 24))[rng.integers(0, 30, 700)] + 0.3 * normal
    yield "duplicates", np.repeat(normal[:70], 10, axis=0)[rng.permutation(700)]
    yield "all_equal", np.ones((70, 5)) * np.array([3.0, -1.0, 0.1, 2.0, 7.0])
    yield "integers", rng.integers(-2, 3, size=(600, 6)) + np.array([5.0, 0, 0, 0, 0, 0])
    yield "binary", np.hstack([np.ones((520, 1)), rng.integers(0, 2, size=(520, 9))])
    yield "offset", 1e4 + normal
    yield "cauchy", rng.standard_cauchy(size=(700, 24))
    yield "one_giant", np.vstack([normal[:300], 1e6 * normal[300:301], normal[301:]])
    yield "relu", np.maximum(normal, 0) + 1e-3
    yield "nearly_equal", 1.0 + 1e-6 * normal
    yield "tiny", 1e-30 * normal
    yield "huge", 1e30 * normal
    yield "large", 1e18 * normal
    yield "mixed_scales", normal * np.logspace(0, -12, 24)


EXACT = ("integers", "binary", "all_equal")  # all arithmetic is exact: ties must go to the lower row, always


def as_dtype(matrix, dtype):
    """The pool in a dtype, or None where it does not fit into its range."""
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(matrix.astype(dtype))
    fits = np.isfinite(x).all() and x.any(axis=1).all()
    if dtype == "float16":
        fits = fits and np.abs(matrix).max() < 6e4 and np.abs(matrix).max() > 1e-3
    return x if fits else None


def cases():
    for name, matrix in pools():
        for dtype in ("float16", "float32", "float64"):
            x = as_dtype(matrix, dtype)
            if x is not None:
                yield f"{name}-{dtype}", x
