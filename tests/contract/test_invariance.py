"""The same bytes for any number of threads, any panel size and any cut into shards."""

import numpy as np
import pytest

import oneglance as og
from oneglance import _core


@pytest.fixture(params=["float16", "float32", "float64"])
def pool(request):
    rng = np.random.default_rng(3)
    # More than ten blocks and several lanes, so that the order of sums could go wrong.
    return (rng.normal(size=(20011, 24)) * rng.standard_t(3, size=(20011, 1))).astype(request.param)


@pytest.fixture(autouse=True)
def mixed_precision_path():
    _core.set_small_work(0)
    yield
    _core.set_small_work(2**31)
    _core.set_threads(0)
    _core.set_panel_rows(0)


def answers(X):
    lewis = og.lewis_weights(X, 1.0)
    return og.leverage_scores(X).tobytes() + lewis.weights.tobytes() + np.float64(lewis.residual).tobytes()


def test_threads_do_not_change_a_byte(pool):
    results = set()
    for n_threads in (1, 2, 3, 7):
        _core.set_threads(n_threads)
        results.add(answers(pool))
    assert len(results) == 1


def test_panel_rows_do_not_change_a_byte(pool):
    results = set()
    for n_rows in (0, 1, 1000, 5000, 10**6):
        _core.set_panel_rows(n_rows)
        results.add(answers(pool))
    assert len(results) == 1


def test_shards_do_not_change_a_byte(pool):
    whole = answers(pool)
    for cuts in ([1], [511, 513, 767, 769], [5000, 5000, 17000], list(range(997, 20011, 997))):
        assert answers(og.RowShards(tuple(np.split(pool, cuts)))) == whole


def test_memory_maps_and_strides_do_not_change_a_byte(pool, tmp_path):
    np.save(tmp_path / "rows.npy", pool)
    padded = np.zeros((pool.shape[0], 40), dtype=pool.dtype)
    padded[:, 8:32] = pool
    assert answers(np.load(tmp_path / "rows.npy", mmap_mode="r")) == answers(pool)
    assert answers(padded[:, 8:32]) == answers(pool)
    assert answers(np.asfortranarray(pool)) == answers(pool)


def test_masked_rows_equal_absent_rows(pool):
    mask = np.ones(len(pool), dtype=bool)
    mask[::3] = False
    spoiled = pool.copy()
    spoiled[::3] = np.nan
    masked = og.lewis_weights(spoiled, 1.0, tol=1e-5, mask=mask)
    kept = og.lewis_weights(pool[mask], 1.0, tol=1e-5)
    assert (masked.weights[~mask] == 0).all()
    np.testing.assert_allclose(masked.weights[mask], kept.weights, rtol=1e-4)
    scores = og.leverage_scores(spoiled, mask=mask)
    np.testing.assert_allclose(scores[mask], og.leverage_scores(pool[mask]), rtol=2e-5)


def test_row_order_only_permutes_the_answer(pool):
    order = np.random.default_rng(0).permutation(len(pool))
    np.testing.assert_allclose(og.leverage_scores(pool[order]), og.leverage_scores(pool)[order], rtol=2e-5)
    np.testing.assert_allclose(
        og.lewis_weights(pool[order], 3.0).weights, og.lewis_weights(pool, 3.0).weights[order], rtol=2e-5
    )
