"""Estimators over the strategies of coverage. This is the only file that meets scikit-learn's base classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .._types import BoolArray, IntArray
from ..errors import InvalidInput
from ..strategies import select
from ..strategies.registry import resolve


class _Selector(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Common part: parameters are the subclass's, the strategy does the work.

    selected_idx_        int64 (n_selected,), rows of X in the order of choice, all distinct
    scores_              float64 (n_selected,), what the strategy went by
    nearest_selected_    int64 (n_selected,), row chosen before that the pick was nearest to, -1 for none
    sample_weight_       float64 (n_selected,), rows of X nearest to the pick, itself included
    represented_by_      int64 (n,), chosen row that each row of X is nearest to
    n_features_in_       columns of X

    There is no transform: it would change the number of rows, which scikit-learn's pipelines forbid. Use
    X[selector.selected_idx_] or X[selector.get_support()].
    """

    _strategy = ""
    n_to_select: int | float
    random_state: Any

    def fit(self, X: Any, y: Any = None, *, labelled: Any = None) -> Any:
        """Selects rows of X; y is not used.

        X         (n, d) float16/32/64 array, dense and finite
        labelled  rows that are chosen already (positions or a boolean mask): they are not selected again
        """
        rows = validate_data(self, X, dtype=(np.float64, np.float32, np.float16))
        done = 0 if labelled is None else np.unique(_positions(labelled)).size
        n_free = rows.shape[0] - done
        found = select(
            rows,
            self._budget(n_free),
            self._name(),
            seed=self._seed(),
            labelled=labelled,
            explain=False,
            **self._own(),
        )
        self.selected_idx_: IntArray = found.indices
        self.scores_ = found.scores
        self.nearest_selected_ = found.nearest_selected
        self.sample_weight_ = found.weights
        self.represented_by_ = found.represented_by
        self._n_rows = rows.shape[0]
        return self

    def get_support(self, indices: bool = False) -> BoolArray | IntArray:
        """(n,) bool, True for selected rows; with indices=True their positions, ascending."""
        check_is_fitted(self)
        if indices:
            return np.sort(self.selected_idx_)
        support = np.zeros(self._n_rows, dtype=np.bool_)
        support[self.selected_idx_] = True
        return support

    def _name(self) -> str:
        return self._strategy

    def _budget(self, n_free: int) -> int:
        n = self.n_to_select
        if isinstance(n, (float, np.floating)):
            if not 0 < n <= 1:
                raise InvalidInput(f"n_to_select must be an integer >= 1 or a share in (0, 1], got {n!r}.")
            return max(1, round(n * n_free))
        return n

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)) and not isinstance(self.random_state, bool):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _own(self) -> dict[str, Any]:
        """The strategy's own parameters."""
        own = self.get_params(deep=False)
        return {name: value for name, value in own.items() if name not in ("n_to_select", "random_state")}


def _positions(labelled: Any) -> npt.NDArray[Any]:
    values = np.asarray(labelled)
    return np.flatnonzero(values) if values.dtype == np.bool_ else values


class FarthestSelector(_Selector):
    """Greedy k-center: every next row is the one farthest from all chosen ones (strategy "farthest").

    n_to_select  rows to select: a count, or a share of the rows as a float in (0, 1]
    metric       "sqeuclidean" or "cosine"
    start        rows to begin with, in this order; they count. Default: row 0 (or the labelled rows)

    scores_ are the distances to the rows chosen before; NaN for the first. Nothing is random.
    """

    _strategy = "farthest"
    random_state = 0

    def __init__(self, n_to_select: int | float = 0.1, *, metric: str = "sqeuclidean", start: Any = None) -> None:
        self.n_to_select = n_to_select
        self.metric = metric
        self.start = start


class WeightedDrawSelector(_Selector):
    """Rows drawn in proportion to distance^gamma to the nearest chosen row (strategy "freesel" on features).

    n_to_select   rows to select: a count, or a share of the rows as a float in (0, 1]
    gamma         > 0; sqeuclidean with 1 is k-means++, cosine with 2 is FreeSel
    metric        "cosine" or "sqeuclidean"
    start         rows to begin with, in this order; they count. Default: one random row (or the labelled rows)
    random_state  int, None or a numpy RandomState

    scores_ are the distances to the rows chosen before; NaN where none decided.
    """

    _strategy = "freesel"

    def __init__(
        self,
        n_to_select: int | float = 0.1,
        *,
        gamma: float = 2.0,
        metric: str = "cosine",
        start: Any = None,
        random_state: Any = 0,
    ) -> None:
        self.n_to_select = n_to_select
        self.gamma = gamma
        self.metric = metric
        self.start = start
        self.random_state = random_state


class KMeansSelector(_Selector):
    """The row nearest to the centre of each of n_to_select clusters (strategy "kmeans").

    n_to_select   rows to select: a count, or a share of the rows as a float in (0, 1]
    metric        "sqeuclidean" or "cosine"
    clusters      number of clusters. Default: n_to_select and the number of labelled rows
    max_iter      most iterations
    random_state  int, None or a numpy RandomState: the k-means++ start

    scores_ are the numbers of rows that each pick is nearest to.
    """

    _strategy = "kmeans"

    def __init__(
        self,
        n_to_select: int | float = 0.1,
        *,
        metric: str = "sqeuclidean",
        clusters: int | None = None,
        max_iter: int = 100,
        random_state: Any = 0,
    ) -> None:
        self.n_to_select = n_to_select
        self.metric = metric
        self.clusters = clusters
        self.max_iter = max_iter
        self.random_state = random_state


class StrategySelector(_Selector):
    """Any strategy by its name, as `oneglance.select` takes it.

    n_to_select   rows to select: a count, or a share of the rows as a float in (0, 1]
    strategy      "auto", "kernel", "bilaf", "lewis", ...: `oneglance.strategies.strategy_names()`
    params        {name: value}, the strategy's own parameters
    random_state  int, None or a numpy RandomState, for strategies with chance

    sample_weight_ of "lewis" and "random" are inverse inclusion probabilities; these two say nothing of who
    represents whom, so nearest_selected_ and represented_by_ are None.
    """

    def __init__(
        self,
        n_to_select: int | float = 0.1,
        *,
        strategy: str = "auto",
        params: dict[str, Any] | None = None,
        random_state: Any = 0,
    ) -> None:
        self.n_to_select = n_to_select
        self.strategy = strategy
        self.params = params
        self.random_state = random_state

    def _name(self) -> str:
        return self.strategy

    def _own(self) -> dict[str, Any]:
        if not isinstance(self.params or {}, Mapping):
            raise InvalidInput(f"params must be a dict of the strategy's own parameters, got {self.params!r}.")
        resolve(self.strategy, self.params or {})  # an argument of select, such as seed, is no parameter
        return dict(self.params or {})
