"""Principal directions at unit spread, and a mixture of Gaussians that sends pictures to experts. scikit-learn fits
them; reading and using them needs NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import Float64Array, FloatArray, IntArray
from ..errors import MissingDependency
from .guard import unit_rows

_FLAT = 1e-6  # directions with less than this share of the largest variance hold noise only


@dataclass(frozen=True, eq=False)
class Whitening:
    """rows -> (rows - mean) @ directions, of unit variance on the rows it was fitted on.

    mean (F,), directions (F, c): float16, or float32 where that would change them by more than 0.1 % of the largest;
    rounded when fitted, so that a loaded one gives the same bits
    """

    mean: npt.NDArray[np.floating[Any]]
    directions: npt.NDArray[np.floating[Any]]

    def __call__(self, rows: FloatArray) -> Float64Array:
        centred = np.asarray(rows, dtype=np.float64) - self.mean.astype(np.float64)
        return np.asarray(centred @ self.directions.astype(np.float64), dtype=np.float64)

    @property
    def n_bytes(self) -> int:
        return self.mean.nbytes + self.directions.nbytes


@dataclass(frozen=True, eq=False)
class Router:
    """Features of unit length, whitened, to the most probable component of a mixture of Gaussians.

    means (E, c), factors (E, c, c): Cholesky factors of the precisions, logs (E,): of weight times determinant
    """

    whitening: Whitening
    means: Float64Array
    factors: Float64Array
    logs: Float64Array

    def __call__(self, features: FloatArray) -> IntArray:
        """(n, d) dispatcher features -> (n,) expert numbers; ties to the lower one."""
        rows = self.whitening(unit_rows(features))
        scores = np.stack(
            [
                log - 0.5 * np.square((rows - mean) @ factor).sum(axis=1)
                for mean, factor, log in zip(self.means, self.factors, self.logs, strict=True)
            ]
        )
        return np.asarray(scores.argmax(axis=0), dtype=np.int64)


def fit_whitening(rows: FloatArray, n_dims: int, seed: int) -> Whitening:
    """At most n_dims directions, fewer where the rows have fewer. Raises MissingDependency without scikit-learn."""
    decomposition = scikit_learn().decomposition
    most = max(1, min(n_dims, rows.shape[1], rows.shape[0] - 1))
    with np.errstate(invalid="ignore"):  # of rows that are all the same
        fitted = decomposition.PCA(most, iterated_power=10, random_state=seed % 2**32).fit(
            np.asarray(rows, dtype=np.float64)
        )
    variance = np.asarray(fitted.explained_variance_)
    kept = max(1, int(np.count_nonzero(variance > _FLAT * variance[0])))
    spread = np.sqrt(np.where(variance[:kept] > 0, variance[:kept], 1.0))
    directions = np.asarray(fitted.components_)[:kept].T / spread
    return Whitening(_short(np.asarray(fitted.mean_)), _short(directions))


def _short(values: Float64Array) -> npt.NDArray[np.floating[Any]]:
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    near = np.abs(half.astype(np.float64) - values).max() <= 1e-3 * np.abs(values).max()
    return half if near else values.astype(np.float32)


def fit_router(features: FloatArray, n_experts: int, n_dims: int, seed: int) -> Router:
    """A mixture of n_experts Gaussians with full covariances in n_dims directions; fewer dimensions for few rows, so
    that every component has five rows per dimension."""
    rows = unit_rows(features)
    whitening = fit_whitening(rows, max(1, min(n_dims, len(rows) // (5 * n_experts))), seed)
    mixture = scikit_learn().mixture.GaussianMixture(n_experts, random_state=seed % 2**32, reg_covar=1e-4)
    fitted = mixture.fit(whitening(rows))
    factors = np.asarray(fitted.precisions_cholesky_)
    logs = np.log(fitted.weights_) + np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    return Router(whitening, np.asarray(fitted.means_), factors, np.asarray(logs))


def scikit_learn() -> Any:
    """The package. Raises MissingDependency."""
    try:
        import sklearn.decomposition
        import sklearn.mixture
    except ImportError:
        raise MissingDependency(
            'fitting a cascade needs scikit-learn: pip install "oneglance[sklearn]". Loading one does not.'
        ) from None
    return sklearn
