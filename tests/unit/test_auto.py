"""Strategy "auto": what it takes, by what the pool holds and how large it is."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import oneglance as og
from oneglance.strategies.auto import evaluated


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(300, width)).astype(np.float32) for name, width in (("a", 6), ("b", 11))}


def test_it_is_kernel_coverage_of_all_backbones_and_says_so(pool):
    found, kernel = og.select(pool, 30, "auto"), og.select(pool, 30, "kernel")
    assert np.array_equal(found.indices, kernel.indices)
    assert found.strategy == "auto"
    assert found.certificate["auto"] == 'strategy "kernel" over a, b, coverage of every item'
    assert not np.array_equal(found.indices, og.select(pool, 30, "auto", backbones=["a"]).indices)


def test_large_pools_are_counted_by_a_sample(pool, monkeypatch):
    monkeypatch.setattr(sys.modules[evaluated.__module__], "ALL_EVALUATED", 100)
    found = og.select(pool, 5, "auto")
    assert "a sample of 100 items" in found.certificate["auto"]
    assert np.array_equal(found.indices, og.select(pool, 5, "kernel", evaluate=100).indices)
    assert "a sample of 120 items" in og.select(pool, 12, "auto").certificate["auto"]
    assert "every item" in og.select(pool, 30, "auto").certificate["auto"]
    few = og.select(pool, 5, "auto", exclude=np.arange(210))
    assert "every item" in few.certificate["auto"]


def test_the_size_of_the_sample():
    assert evaluated(50_000, 10) is None
    assert evaluated(50_001, 10) == 50_000
    assert evaluated(1_000_000, 20_000) == 200_000
    assert evaluated(1_000_000, 100_000) is None


def test_pools_of_patterns_go_to_freesel(pool):
    patterns = pool["a"].reshape(100, 3, 6)
    found = og.select(patterns, 10, "auto", seed=3)
    assert np.array_equal(found.indices, og.select(patterns, 10, "freesel", seed=3).indices)
    assert "patterns only" in found.certificate["auto"]
