"""Nearest centres of many rows: against the floor, against faiss."""

import numpy as np
import pytest

import oneglance as og
from cases import SHRINK, Floor, features

N_ROWS, N_CENTERS, N_DIMS = 100_000 // SHRINK, 2000, 384
CASE = f"nearest, float32, {N_ROWS} x {N_DIMS} against {N_CENTERS}"


def rows_and_centers():
    both = features(N_ROWS + N_CENTERS, N_DIMS)
    rows, centers = both[:N_ROWS], both[N_ROWS:]
    found = og.nearest(rows[:500], centers)
    distances = ((rows[:500, None, :].astype(np.float64) - centers.astype(np.float64)) ** 2).sum(axis=2)
    np.testing.assert_array_equal(found.indices[:, 0], distances.argmin(axis=1))
    return rows, centers


def test_nearest_against_the_floor(versus):
    """Baseline: its multiply-adds at the rate of a float32 NumPy product."""
    rows, centers = rows_and_centers()
    floor = Floor(N_ROWS, N_DIMS)
    versus(
        f"{CASE}, floor",
        lambda: og.nearest(rows, centers),
        floor.product,
        scale=floor.scale(N_ROWS * N_CENTERS * N_DIMS),
        at_most=1.15,
    )


def test_nearest_against_faiss(versus):
    """Baseline: faiss IndexFlatL2, k = 1."""
    faiss = pytest.importorskip("faiss")
    rows, centers = rows_and_centers()
    index = faiss.IndexFlatL2(N_DIMS)
    index.add(centers)
    assert (index.search(rows, 1)[1][:, 0] == og.nearest(rows, centers).indices[:, 0]).mean() > 0.999
    versus(f"{CASE}, faiss", lambda: og.nearest(rows, centers), lambda: index.search(rows, 1), rounds=5, at_least=1)
