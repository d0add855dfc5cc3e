"""Which item of a group of duplicates stays: against the definition, on random groups under several checks."""

import numpy as np
import pytest

from oneglance.auditing import standins
from oneglance.auditing.findings import finding
from oneglance.auditing.links import Groups
from oneglance.auditing.repeats import exact_duplicates, near_duplicates

WORDS = {"cure": "", "doubt": ""}


def of_pairs(near, n):
    """Rows by group, and the groups, of chains that a symmetric relation makes."""
    groups = Groups(n)
    groups.link(*np.nonzero(np.triu(near, 1)))
    lowest = groups.lowest()
    sizes = np.bincount(lowest, minlength=n)
    rows = np.flatnonzero(sizes[lowest] > 1)
    rows = rows[np.lexsort((rows, lowest[rows]))]
    return rows, lowest[rows]


def near_finding(near):
    rows, groups = of_pairs(near, len(near))
    alike = near[rows, groups] | (rows == groups)
    return near_duplicates(
        "one", "", "", rows, groups, 0.05, alike, lambda one, other: near[np.ix_(one, other)], **WORDS
    )


def definition(n, unusable, relations):
    """stays (n,): in order, each that can be used and repeats none that stays."""
    stays = np.zeros(n, dtype=bool)
    for item in range(n):
        stays[item] = item not in unusable and not any((near[item, :item] & stays[:item]).any() for near in relations)
    return stays


@pytest.mark.parametrize("window", [1, 3, 256])
@pytest.mark.parametrize("seed", range(12))
def test_items_are_left_out_where_one_that_they_repeat_stays(seed, window, monkeypatch):
    monkeypatch.setattr(standins, "_WINDOW", window)
    monkeypatch.setattr(standins, "_PANEL", 2)
    rng = np.random.default_rng(seed)
    n = 60
    unusable = rng.choice(n, rng.integers(0, 6), replace=False)
    relations, findings = [], []
    for _ in range(rng.integers(1, 4)):
        near = rng.random((n, n)) < rng.uniform(0.005, 0.06)
        near |= near.T
        np.fill_diagonal(near, True)
        relations.append(near)
        findings.append(near_finding(near))
    labels = np.where(rng.random(n) < 0.3, rng.integers(0, 6, n), np.arange(n) + 6)
    equal = labels[:, None] == labels
    relations.append(equal)
    rows, groups = of_pairs(equal, n)
    findings.append(exact_duplicates("one", "", "", rows, groups, rows != groups, n))
    why = {"value": 0, "threshold": 0, "measure": "", "advice": ""}
    findings.append(finding("zeros only", "error", "one", "", rows=unusable, drop=True, **why))
    found = standins.settled(findings, n)
    left_out = {row for one in found for row in one.rows[one.drop].tolist()}
    stays = definition(n, set(unusable.tolist()), relations)
    assert sorted(left_out) == np.flatnonzero(~stays).tolist()
    for one, near in zip(found, relations, strict=False):
        assert one.near is None
        repeat = one.drop
        assert stays[one.kept[repeat]].all()
        assert near[one.rows[repeat], one.kept[repeat]].all()
        assert (one.kept[~repeat] == one.rows[~repeat]).all()


def test_a_film_is_compared_by_windows(monkeypatch):
    """A chain whose frames are near the next ones only: products, not calls, grow with frames times those that stay."""
    n, calls = 3000, []

    def near(one, other):
        calls.append(one.size * other.size)
        return np.abs(one[:, None] - other) <= 2

    rows = np.arange(n)
    one = near_duplicates("one", "", "", rows, np.zeros(n, dtype=np.int64), 0.05, rows <= 2, near, **WORDS)
    (found,) = standins.settled([one], n)
    assert found.rows[~found.drop].tolist() == list(range(0, n, 3))
    assert len(calls) <= 3 * (n // standins._WINDOW + 1)
    assert sum(calls) <= n * n
