"""Which patches are kept, and the settings: everything about patterns that needs no network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oneglance.cluster import small_kmeans
from oneglance.errors import InvalidInput
from oneglance.features.pattern_filter import Patches, cluster_patches, keep_by_attention, kept_patches
from oneglance.features.pattern_spec import PatternSpec, as_pattern_spec


def shares(*values: float) -> Any:
    return np.array(values, dtype=np.float32)


def by_definition(attention: Any, tau: float) -> Any:
    """The specification in exact numbers: sort ascending, running sum s, keep r with s_r > 1 - tau."""
    from fractions import Fraction

    exact = [Fraction(float(value)) for value in attention]
    order = sorted(range(len(exact)), key=lambda r: (exact[r], -r))
    keep, mass = np.zeros(len(exact), dtype=bool), Fraction(0)
    for r in order:
        mass += exact[r]
        keep[r] = mass > (1 - Fraction(tau)) * sum(exact)
    return keep


@pytest.mark.parametrize("tau", [0.25, 0.5, 0.75, 0.9375])
@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 196])
def test_filter_is_the_definition(n: int, tau: float) -> None:
    rng = np.random.default_rng(n)
    for attention in (rng.random(n), rng.random(n) ** 20, rng.integers(1, 4, n) / 8, np.full(n, 0.1)):
        attention = attention.astype(np.float32)
        np.testing.assert_array_equal(keep_by_attention(attention, tau), by_definition(attention, tau))


def test_filter_keeps_the_smallest_set_with_that_mass() -> None:
    rng = np.random.default_rng(0)
    for tau in (0.1, 0.5, 0.9):
        attention = rng.random(50) ** 3
        attention /= attention.sum()
        keep = keep_by_attention(attention, tau)
        assert attention[keep].sum() >= tau
        assert attention[keep].sum() - attention[keep].min() < tau
        assert attention[keep].min() >= attention[~keep].max()


def test_filter_at_the_ends() -> None:
    spread = shares(0.9, 1e-30, 0.1, 0.0)
    assert keep_by_attention(spread, 1.0).tolist() == [True] * 4  # also what rounding would swallow
    assert keep_by_attention(spread, 1e-12).tolist() == [True, False, False, False]
    assert keep_by_attention(spread, 0.0).tolist() == [False] * 4
    assert keep_by_attention(shares(0.0, 0.0), 0.5).tolist() == [False, False]
    assert keep_by_attention(shares(0.01, 0.98, 0.01), 0.5).tolist() == [False, True, False]  # one dominant patch
    assert keep_by_attention(shares(3.0), 0.5).tolist() == [True]


@pytest.mark.parametrize("n", [2, 3, 196, 1369])
def test_equal_attention_keeps_the_share_of_the_lower_positions(n: int) -> None:
    for value in (1.0, 1 / 3, 1e-4):
        keep = keep_by_attention(np.full(n, value, dtype=np.float32), 0.5)
        assert keep.tolist() == [True] * -(-n // 2) + [False] * (n // 2)


def test_a_share_that_is_met_exactly_is_met() -> None:
    """0.9 in binary is a little more than nine tenths; nine of ten equal patches are enough all the same."""
    for n in (10, 30, 100, 1360):
        assert keep_by_attention(np.full(n, 0.25, dtype=np.float32), 0.9).sum() == n * 9 // 10


def test_scale_of_the_attention_does_not_matter() -> None:
    attention = np.random.default_rng(1).random(100)
    np.testing.assert_array_equal(keep_by_attention(attention, 0.5), keep_by_attention(attention * 7e-3, 0.5))


def test_where_the_rule_keeps_none_the_longest_patch_stays() -> None:
    rows = np.array([[1, 0], [0, 3], [3, 0], [0, 0]], dtype=np.float32)
    assert kept_patches(rows, shares(1, 0, 0, 0), PatternSpec(tau=0)).tolist() == [False, True, False, False]
    assert kept_patches(rows, shares(0, 0, 0, 0), PatternSpec()).tolist() == [False, True, False, False]
    assert kept_patches(rows, None, PatternSpec()).tolist() == [True, True, True, False]
    assert kept_patches(rows, None, PatternSpec(norm_threshold=1)).tolist() == [False, True, True, False]
    assert kept_patches(rows, None, PatternSpec(norm_threshold=3)).tolist() == [False, True, False, False]
    assert kept_patches(rows * 0, None, PatternSpec()).tolist() == [True, False, False, False]
    assert kept_patches(rows, shares(1, 0, 0, 0), PatternSpec(norm_threshold=9)).tolist() == [True, False, False, False]


def batch(n: int = 6, t: int = 20, d: int = 4) -> Any:
    return np.random.default_rng(n + t).standard_normal((n, t, d)).astype(np.float32)


def test_clusters_are_those_of_small_kmeans_by_the_rows_of_the_pool() -> None:
    rows, attention = batch(), np.random.default_rng(2).random((6, 20))
    spec = PatternSpec(n_patterns=3, tau=0.7, seed=5)
    found = cluster_patches(Patches(rows, attention), range(40, 46), spec)
    for number in range(6):
        points = rows[number][keep_by_attention(attention[number], 0.7)]
        alone = small_kmeans(points, [0, len(points)], 3, seed=5, items=[40 + number])
        np.testing.assert_array_equal(found[number], alone.patterns)
    order = [4, 1, 3]
    again = cluster_patches(Patches(rows[order], attention[order]), [44, 41, 43], spec)
    for got, number in zip(again, order, strict=True):
        np.testing.assert_array_equal(got, found[number])


def test_more_patterns_than_patches_and_a_single_one() -> None:
    rows = batch(2, 3)
    assert [block.tolist() for block in cluster_patches(Patches(rows, None), [0, 1], PatternSpec(9))] == rows.tolist()
    (mean,) = cluster_patches(Patches(rows[:1], None), [0], PatternSpec(1))
    np.testing.assert_allclose(mean[0], rows[0].astype(np.float64).mean(axis=0), rtol=1e-6)


def test_a_picture_with_a_value_that_is_not_finite_has_no_patterns_and_harms_no_other() -> None:
    rows, attention = batch(3), np.ones((3, 20))
    alone = cluster_patches(Patches(rows[1:2], attention[1:2]), [1], PatternSpec(2))
    rows[0, 3, 1] = np.inf
    attention[2, 0] = np.nan
    found = cluster_patches(Patches(rows, attention), [0, 1, 2], PatternSpec(2))
    assert [block.shape for block in found] == [(0, 4), (2, 4), (0, 4)]
    np.testing.assert_array_equal(found[1], alone[0])
    assert cluster_patches(Patches(rows[:0], None), [], PatternSpec()) == []


# ---------------------------------------------------------------- settings


def test_ways_to_ask_for_patterns() -> None:
    assert as_pattern_spec(None) is None
    assert as_pattern_spec(False) is None
    assert as_pattern_spec(True) == as_pattern_spec({}) == PatternSpec(5, 0.5, 0.0, True, 0)
    assert as_pattern_spec(3) == as_pattern_spec(np.int64(3)) == PatternSpec(3)
    assert as_pattern_spec({"tau": 1, "attention": False}) == PatternSpec(tau=1.0, attention=False)
    assert as_pattern_spec(PatternSpec(2)) == PatternSpec(2)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"n_patterns": 0}, "n_patterns must be an integer >= 1, got 0"),
        (0, "patterns must be an integer >= 1, got 0"),
        (2.5, "patterns must be an integer >= 1, got 2.5"),
        ({"tau": 1.5}, "tau must lie in 0..1 (a share of the attention), got 1.5"),
        ({"tau": float("nan")}, "tau must be a finite number >= 0, got nan"),
        ({"norm_threshold": -1}, "norm_threshold must be a finite number >= 0, got -1"),
        ({"attention": "no"}, "attention must be True or False, got 'no'"),
        ({"seed": -1}, "seed must be an integer in 0 .. 2**63 - 1, got -1"),
        ({"k": 3}, "patterns has no field 'k'; there are n_patterns, tau, norm_threshold, attention, seed."),
        ("5", "patterns must be None, True, a number of patterns per picture, a PatternSpec or a dict of its fields"),
    ],
)
def test_settings_that_are_wrong(value: Any, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        as_pattern_spec(value)
    assert words in str(caught.value)


def test_words_name_what_the_result_depends_on_and_nothing_else() -> None:
    assert PatternSpec().words(True) == "tau 0.5; at most 5 per picture by k-means, seed 0"
    assert PatternSpec(norm_threshold=2).words(True) == PatternSpec().words(True)
    assert PatternSpec(tau=0.9).words(False) == PatternSpec().words(False)
    assert PatternSpec(norm_threshold=2, seed=3).words(False) == (
        "L2 norm over 2.0; at most 5 per picture by k-means, seed 3"
    )
