"""One split, ready for picks to be scored by the heads of all backbones."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..._types import Float64Array, FloatArray, IntArray, Patterns, RowShards
from ...errors import InvalidInput
from ...store.files import digest
from ...strategies import Pool, select
from ..entrants import Entrant
from ..heads import Scaling
from ..pickers import Picks, UnitLength, as_picked, check_picks
from ..scene import STACKED
from ..threads import one_thread
from .cell import PAPER, PLAIN, WEIGHTED, OneShotCell, loss_weights
from .heads import Answer, Task, imbalance
from .rounds import ITERATIVE, disagreement, label_in_rounds, mean_entropy, spread

_MOST_KEPT = 2**29
"""Bytes of Lewis weights, of several seeds, that are kept for further strategies and budgets."""


class OneShotScene:
    """The pool's features, the test rows and all labels. Strategies get features and which rows are labelled; the
    iterative ones heads fitted on labels they have paid for. Test rows reach nothing but the scores.

    labels  (n,) codes, or (n, c) targets of unit spread
    """

    def __init__(
        self,
        features: Mapping[str, FloatArray],
        test_features: Mapping[str, FloatArray],
        labels: Any,
        test_labels: Any,
        patterns: Mapping[str, Patterns],
        task: Task,
        n_initial: int,
    ) -> None:
        self.task, self.labels, self.test_labels, self.n_initial = task, labels, test_labels, n_initial
        self.n_rows = len(labels)
        self._rows: dict[str, FloatArray] = {}
        self._test: dict[str, FloatArray] = {}
        for name, rows in features.items():
            scale = Scaling.of(rows).apply if task.regression else _unit_length(name, rows)
            self._rows[name], self._test[name] = (scale(x).astype(np.float32) for x in (rows, test_features[name]))
        everyone = np.ones(self.n_rows, dtype=np.bool_)
        self._features = dict(features)
        self.pool = Pool({name: RowShards((rows,)) for name, rows in features.items()}, everyone, patterns=patterns)
        self._stacked: Pool | None = self.pool if len(features) == 1 else None
        self._weights_s: dict[tuple[Any, ...], float] = {}
        self._ordered: tuple[tuple[str, int], Picks, float] | None = None

    def initial(self, seed: int) -> IntArray:
        """Rows that are labelled before anything is selected: random, by the seed alone, the same for all."""
        order = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, 9])).random(self.n_rows)
        return np.argsort(order, kind="stable")[: self.n_initial].astype(np.int64)

    def cell(self, entrant: Entrant, budget: int, seed: int, notes: dict[str, None]) -> OneShotCell:
        """Select once, fit every backbone's head in every weighting, score."""
        start = self.initial(seed)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            picks, weights_s, sampling_s = self._select(entrant, budget, seed, start)
            check_picks(picks, entrant.name, budget, self.n_rows)
            if np.isin(picks.indices, start).any():
                raise InvalidInput(f"strategy {entrant.name!r} picked rows that have a label already.")
            started = time.perf_counter()
            scores, rows = self._score(picks, start)
        notes.update({f"{entrant.name}: {warning.message}": None for warning in caught})
        labelled = np.concatenate([start, picks.indices])
        balance = None
        if not self.task.regression:
            there = np.unique(self.labels)  # a class that only test rows have cannot be picked
            balance = imbalance(np.searchsorted(there, self.labels[labelled]), there.size)
        return OneShotCell(
            scores,
            rows,
            None if balance is None else (balance[0] if np.isfinite(balance[0]) else None, balance[1]),
            digest(np.sort(picks.indices).tobytes())[:16],
            round(weights_s, 4),
            round(sampling_s, 4),
            round(time.perf_counter() - started, 4),
        )

    # ---- selection

    def _select(self, entrant: Entrant, budget: int, seed: int, start: IntArray) -> tuple[Picks, float, float]:
        """Picks, seconds for weights, seconds for the rest."""
        started = time.perf_counter()
        if entrant.pick is not None:
            left = np.setdiff1d(np.arange(self.n_rows), start)
            answer: Any = entrant.pick({name: rows[left] for name, rows in self._features.items()}, budget, seed)
            picks = answer if isinstance(answer, Picks) else Picks(as_picked(answer, entrant.name), None)
            check_picks(picks, entrant.name, budget, left.size)
            return Picks(left[picks.indices], picks.weights), 0.0, time.perf_counter() - started
        if entrant.strategy in ITERATIVE:
            rounds = entrant.params["rounds"]
            indices = label_in_rounds(
                lambda labelled: self._wanted(entrant.strategy, labelled), self.n_rows, start, budget, rounds
            )
            return Picks(indices, None), 0.0, time.perf_counter() - started
        if entrant.in_order and self._ordered is not None and self._ordered[0] == (entrant.name, seed):
            _, larger, seconds = self._ordered
            if larger.indices.size >= budget:  # picks of a budget are the first of a larger one's
                return Picks(larger.indices[:budget], None), 0.0, seconds
        pool = self.pool if entrant.several else self._side_by_side()
        asked: dict[str, Any] = {"seed": seed, "labelled": start, "explain": False, **entrant.params}
        chosen = select(pool, budget, entrant.strategy or "", **asked)
        weights_s, rest_s = 0.0, time.perf_counter() - started
        if entrant.strategy == "lewis":  # the pool keeps the weights: a second call is without them
            started = time.perf_counter()
            select(pool, budget, "lewis", **asked)
            both_s, rest_s = rest_s, min(rest_s, time.perf_counter() - started)
            shared = {name: value for name, value in entrant.params.items() if name not in ("sampler", "combine")}
            kind = str(entrant.params["combine"]).partition("single:")[2]  # max and mean take the same weights
            weights_s = self._weights_s.setdefault((seed, kind, *sorted(shared.items())), both_s - rest_s)
            if 8 * self.n_rows * len(self._rows) * len(pool.kept) > _MOST_KEPT:
                pool.kept.clear()
        known = chosen.inclusion_prob
        uneven = np.isfinite(known).all() and np.ptp(chosen.weights) > 1e-9 * chosen.weights.max()
        picks = Picks(chosen.indices, chosen.weights if uneven else None)
        if entrant.in_order and not uneven:
            self._ordered = (entrant.name, seed), picks, rest_s
        return picks, weights_s, rest_s

    def _side_by_side(self) -> Pool:
        """All backbones as one, for strategies that take one: rows of each at unit length."""
        if self._stacked is None:
            rows: FloatArray = UnitLength.of(self._features).apply(self._features).astype(np.float32)
            self._stacked = Pool({STACKED: RowShards((rows,))}, self.pool.valid)
        return self._stacked

    def _wanted(self, rule: str | None, labelled: IntArray) -> Float64Array:
        """How much an iterative baseline wants every row, by heads on these labels, all counting alike."""
        labels = self.labels[labelled]
        with one_thread():
            outputs = [self.task.fit(rows[labelled], labels, None)(rows) for rows in self._rows.values()]
        if self.task.regression:
            return spread(outputs, labels)
        known = [self.task.probabilities(values) for values in outputs]
        return mean_entropy(known) if rule == "entropy" else disagreement(known)

    # ---- scores

    def _score(
        self, picks: Picks, start: IntArray
    ) -> tuple[dict[str, dict[str, list[float]]], dict[str, dict[str, bytes]]]:
        labelled = np.concatenate([start, picks.indices])
        weightings: Sequence[str] = [PLAIN]
        if picks.weights is not None:
            weightings = [PLAIN, WEIGHTED, *([PAPER] if start.size else [])]
        scores: dict[str, dict[str, list[float]]] = {}
        rows: dict[str, dict[str, bytes]] = {}
        for weighting in weightings:
            weights = None
            if picks.weights is not None:
                weights = loss_weights(weighting, picks.weights, start.size, self.n_rows - start.size)
            found: dict[str, list[float]] = {metric: [] for metric in self.task.metrics}
            per_row: dict[str, list[Float64Array]] = {}
            for name in self._rows:
                with one_thread():  # thousands of small products; several processes may share the work instead
                    answer = self.task.fit(self._rows[name][labelled], self.labels[labelled], weights)
                    losses = self._losses(answer, name, per_row)
                for metric in self.task.metrics:
                    found[metric].append(losses[metric])
            scores[weighting] = found
            rows[weighting] = {m: np.mean(parts, axis=0).astype(np.float32).tobytes() for m, parts in per_row.items()}
        return scores, rows

    def _losses(self, answer: Answer, name: str, per_row: dict[str, list[Float64Array]]) -> dict[str, float]:
        losses = self.task.losses(answer(self._test[name]), self.test_labels)
        for metric, values in losses.items():
            per_row.setdefault(metric, []).append(values)
        means = {metric: float(values.mean()) for metric, values in losses.items()}
        if self.task.regression:
            means["pool_loss"] = float(self.task.losses(answer(self._rows[name]), self.labels)["loss"].mean())
        return means


def _unit_length(name: str, rows: FloatArray) -> Any:
    unit = UnitLength.of({name: rows})
    return lambda x: unit.apply({name: x})
