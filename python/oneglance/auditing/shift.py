"""Is one pool drawn like another? Three measures, each beside what two halves of the first pool give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._rng import Purpose, uniforms
from .._types import Float64Array, FloatArray, IntArray, RowShards
from .c2st import TwoSample, c2st
from .frechet import MAX_DIMS, frechet_distance, leading_directions
from .mmd import Mmd, mmd

LEAST_ROWS = 20
CLASSIFIER_DIMS = 128
"""Leading directions of both samples together, which do not know whose a row is: the classifier sees these."""


@dataclass(frozen=True, eq=False)
class Shift:
    """n_pool, n_against rows for the tests; n_half rows of each side where distances are compared.

    mmd, c2st                      the pool against the other
    frechet, half_frechet          n_half rows of the pool against as many of the other; against others of the pool.
                                   Both are biased upwards by the same small samples: only their difference counts
    half_mmd, half_c2st            between two halves of the pool: what chance alone gives
    n_dims                         directions of the Frechet distance
    p                              the smaller of both p values, doubled (Bonferroni), at most 1
    positions                      in `against`, of the rows of c2st.rows_y
    """

    n_pool: int
    n_against: int
    n_half: int
    n_dims: int
    mmd: Mmd
    c2st: TwoSample
    frechet: float
    half_mmd: Mmd
    half_c2st: TwoSample
    half_frechet: float
    positions: IntArray

    @property
    def p(self) -> float:
        return min(1.0, 2.0 * min(self.mmd.p, self.c2st.p))

    def as_dict(self) -> dict[str, Any]:
        """Figures for machines."""

        def tests(test: Mmd, told: TwoSample, distance: float) -> dict[str, Any]:
            return {
                "mmd2": test.mmd2,
                "mmd_p": test.p,
                "c2st_accuracy": told.accuracy,
                "c2st_interval": [*told.interval],
                "c2st_test_rows": told.n_test,
                "c2st_p": told.p,
                "frechet": distance,
            }

        return {
            "n_pool": self.n_pool,
            "n_against": self.n_against,
            "n_half": self.n_half,
            "frechet_dims": self.n_dims,
            "permutations": int(self.mmd.shuffled.size),
            "p": self.p,
            "pool_against_other": tests(self.mmd, self.c2st, self.frechet),
            "pool_against_itself": tests(self.half_mmd, self.half_c2st, self.half_frechet),
        }


def shift(
    pool: RowShards,
    there: IntArray,
    against: RowShards,
    there_against: IntArray,
    *,
    sample_rows: int,
    permutations: int,
    seed: int = 0,
) -> Shift:
    """Of usable rows `there` of the pool and `there_against` of the other, at least 20 of each.

    sample_rows  most rows of either for the tests, drawn by seed
    """
    p_rows = _drawn(there, sample_rows, seed, 0)
    q_rows = _drawn(there_against, sample_rows, seed, 1)
    p, q = _wide(pool, p_rows), _wide(against, q_rows)
    half = min(p_rows.size // 2, q_rows.size)
    mean, directions = leading_directions(np.concatenate([p, q]), CLASSIFIER_DIMS)
    p_few, q_few = ((part - mean) @ directions for part in (p, q))
    few: list[Float64Array] = [part[:, :MAX_DIMS] for part in (p_few[:half], p_few[half : 2 * half], q_few[:half])]
    told = c2st(p_few, q_few, seed=seed)
    return Shift(
        p_rows.size,
        q_rows.size,
        half,
        few[0].shape[1],
        mmd(p, q, permutations=permutations, seed=seed),
        told,
        frechet_distance(few[0], few[2]),
        mmd(p[:half], p[half : 2 * half], permutations=permutations, seed=seed, draw=1),
        c2st(p_few[:half], p_few[half : 2 * half], seed=seed, draw=1),
        frechet_distance(few[0], few[1]),
        q_rows[told.rows_y],
    )


def _drawn(there: IntArray, most: int, seed: int, draw: int) -> IntArray:
    """At most so many rows, in an order of the seed."""
    keys = uniforms(seed, Purpose.AUDIT, there, draw=(1 << 27) + draw)
    return there[np.argsort(keys, kind="stable")[:most]]


def _wide(rows: RowShards, chosen: IntArray) -> FloatArray:
    taken: FloatArray = rows.take(chosen).astype(np.float64)
    return taken
