"""One backbone (or several stacked) and one split, ready for picks to be scored on."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._types import Float64Array, FloatArray, IntArray, Patterns, RowShards
from ..errors import InvalidInput
from ..store.files import digest
from ..strategies import Pool, select
from .cells import Cell
from .entrants import Entrant
from .pickers import Picks, UnitLength, as_picked, check_picks, read_only
from .probes import PROBES
from .threads import one_thread

MOST_COVERED = 10_000
"""Rows of the pool over which coverage is measured: all of them, or so many drawn at random."""

STACKED = "stacked"


class Scene:
    """Features of the pool and of the test rows under one view, and the labels, which strategies never see.

    features, test_features  {backbone: (n, d)}, rows in the split's own order (not that of the input)
    patterns                 {backbone: Patterns} of the pool's rows, where there are any
    """

    def __init__(
        self,
        features: Mapping[str, FloatArray],
        test_features: Mapping[str, FloatArray],
        labels: IntArray,
        test_labels: IntArray,
        patterns: Mapping[str, Patterns],
    ) -> None:
        unit = UnitLength.of(features)
        self.rows: FloatArray = unit.apply(features).astype(np.float32)
        self.test: FloatArray = unit.apply(test_features).astype(np.float32)
        self.labels, self.test_labels = labels, test_labels
        n_rows = len(labels)
        everyone = np.ones(n_rows, dtype=np.bool_)
        self._handed_out = {name: read_only(rows) for name, rows in features.items()}
        self._pool = Pool({name: RowShards((rows,)) for name, rows in features.items()}, everyone, patterns=patterns)
        self._stacked = self._pool if len(features) == 1 else Pool({STACKED: RowShards((self.rows,))}, everyone)
        self._covered = np.arange(n_rows)
        if n_rows > MOST_COVERED:
            order = np.random.Generator(np.random.Philox(key=8)).random(n_rows)
            self._covered = np.sort(np.argsort(order, kind="stable")[:MOST_COVERED])
        self._size2 = np.square(self.rows).sum(axis=1)
        counts = np.bincount(test_labels)
        self._per_class = counts[test_labels] * np.count_nonzero(counts)
        self._cosines: FloatArray | None = None

    def cells(
        self, entrant: Entrant, budgets: Sequence[int], seed: int, heads: Sequence[str], notes: dict[str, None]
    ) -> dict[int, Cell]:
        """Select at every budget and score the picks."""
        found: dict[int, Cell] = {}
        ordered: Picks | None = None
        for budget in sorted(budgets, reverse=True):
            started = time.perf_counter()
            if ordered is None or not entrant.in_order:
                picks = self._select(entrant, budget, seed, notes)
                check_picks(picks, entrant.name, budget, len(self.labels))
                ordered = picks
            else:  # weights of a smaller budget are others
                weights = self._select(entrant, budget, seed, notes).weights if entrant.use_weights else None
                picks = Picks(ordered.indices[:budget], weights)
            found[budget] = self.score(picks, heads, time.perf_counter() - started)
        return found

    def _select(self, entrant: Entrant, budget: int, seed: int, notes: dict[str, None]) -> Picks:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if entrant.pick is not None:
                answer: Any = entrant.pick(self._handed_out, budget, seed)
                picks = answer if isinstance(answer, Picks) else Picks(as_picked(answer, entrant.name), None)
            else:
                pool = self._pool if entrant.several else self._stacked
                try:
                    chosen = select(pool, budget, entrant.strategy or "", seed=seed, explain=False, **entrant.params)
                except InvalidInput as error:
                    raise InvalidInput(
                        f"strategy {entrant.name!r} at budget {budget}: {error} Finished cells are kept; leave this "
                        "strategy or budget out to see them."
                    ) from error
                picks = Picks(chosen.indices, chosen.weights if entrant.use_weights else None)
        notes.update({f"{entrant.name}: {warning.message}": None for warning in caught})
        return picks

    def score(self, picks: Picks, heads: Sequence[str], select_s: float) -> Cell:
        """Heads fitted on the picked labels; the other labels of the pool reach nothing."""
        rows, labels = self.rows[picks.indices], self.labels[picks.indices]
        scores: dict[str, tuple[float, float]] = {}
        hits: dict[str, bytes] = {}
        with one_thread():  # thousands of small products; several processes may share the work instead
            for head in heads:
                right = PROBES[head](rows, labels, picks.weights, self.test) == self.test_labels
                scores[head] = float(right.mean()), float((right / self._per_class).sum())
                hits[head] = np.packbits(right).tobytes()
        return Cell(
            scores,
            hits,
            self._coverage(picks.indices),
            int(np.unique(labels).size),
            digest(np.sort(picks.indices).tobytes())[:16],
            round(select_s, 4),
        )

    def _coverage(self, picks: IntArray) -> tuple[float, float]:
        if len(self.labels) <= MOST_COVERED:
            if self._cosines is None:  # all at once: many selections share it
                self._cosines = self.rows @ self.rows.T
            cosines = self._cosines[picks]
        else:
            cosines = self.rows[picks] @ self.rows[self._covered].T
        # Rows of unit length differ in size only where a backbone's row is the pool's mean itself.
        dist2: Float64Array = (
            self._size2[self._covered] + (self._size2[picks][:, None] - 2.0 * cosines).min(axis=0)
        ).astype(np.float64)
        dist2[np.isin(self._covered, picks)] = 0.0
        distances = np.sqrt(np.maximum(dist2, 0.0))
        return float(distances.mean()), float(distances.max())
