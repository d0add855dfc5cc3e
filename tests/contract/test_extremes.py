"""Numbers near the ends of float32 and float64 inside ordinary matrices: right answers, or an error that names rows."""

import signal

import numpy as np
import pytest

import oneglance as og
from oneglance import _core
from oneglance._check import as_matrix
from oneglance.reference.kernel_coverage import kernel
from oneglance.reference.kernel_coverage import kernel_coverage as oracle


def test_leverage_of_a_column_below_float32s_normal_numbers():
    x = np.random.default_rng(0).normal(size=(40_000, 64)).astype(np.float32)
    x[:, 3] *= np.float32(1e-40)
    want = og.leverage_scores(x.astype(np.float64))
    np.testing.assert_allclose(og.leverage_scores(x), want, rtol=1e-4)


@pytest.mark.parametrize("huge", [1e200, 1e300, 1.7e308])
def test_leverage_of_one_huge_number_in_a_row_that_no_sample_holds(huge):
    x = np.random.default_rng(0).normal(size=(5000, 4))
    x[1001, 0] = huge
    found = og.leverage_scores(x)
    assert found[1001] == pytest.approx(1.0)
    left = np.delete(x, 1001, axis=0)[:, 1:]
    np.testing.assert_allclose(np.delete(found, 1001), og.leverage_scores(left), atol=2e-3)
    assert og.lewis_weights(x, p=1.0).weights[1001] == pytest.approx(1.0)


def test_rows_below_what_can_be_scaled_count_as_zeros_under_cosine():
    x = np.random.default_rng(0).normal(size=(60, 16))
    x[7] = 0.0
    x[8] = 1e-310
    for ask in (lambda rows: og.knn(rows, 3, metric="cosine"), lambda rows: og.kmeans(rows, 3, metric="cosine")):
        with pytest.raises(og.InvalidInput) as zeros:
            ask(np.delete(x, 8, axis=0))
        with pytest.raises(og.InvalidInput) as tiny:
            ask(np.delete(x, 7, axis=0))
        assert str(zeros.value) == str(tiny.value)


@pytest.mark.parametrize("objective", ["paper", "released"])
def test_activeft_with_a_temperature_at_which_float32_exponentials_vanish(objective):
    x = np.random.default_rng(0).normal(size=(200, 8))
    found = og.activeft(np.eye(8)[np.arange(200) % 8] + 1e-3 * x, 4, objective=objective, temperature=1e-3)
    assert np.isfinite(found.loss).all()
    assert len({*found.indices.tolist()}) == 4


def far_from_the_others(kind):
    x = np.random.default_rng(0).normal(size=(300, 8))
    if kind == "one far row":
        x[7] = 1e4
    elif kind == "two far rows that are near each other":
        x[[7, 90]] = [[1e4], [1e4 + 0.3]]
    elif kind == "far beyond float32 products":
        x[[7, 90, 200]] = [[1e20], [1e20], [-1e20]]
    else:
        x *= 1e4  # a width that is small for all
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "kind", ["one far row", "two far rows that are near each other", "far beyond float32 products", "all far"]
)
def test_kernel_coverage_of_rows_far_from_each_other(kind, dtype):
    x = far_from_the_others(kind).astype(dtype)
    wanted = kernel(x, 16.0)
    picks, gains = oracle(wanted, 6, np.array([], int), np.ones(len(x), bool))
    found = og.kernel_coverage(x, 6, width=16.0)
    np.testing.assert_allclose(found.gains, gains, rtol=1e-5)
    assert found.coverage == pytest.approx(wanted[:, found.indices].max(axis=1).mean(), rel=1e-5)
    assert found.indices.tolist() == picks


@pytest.mark.parametrize("width", [1e-60, 1e-40, 1e40])
def test_kernel_coverage_of_widths_that_float32_does_not_hold(width):
    x = np.random.default_rng(0).normal(size=(50, 4))
    x[5] = x[4]
    found = og.kernel_coverage(x, 3, width=width)
    assert found.coverage == pytest.approx(1.0 if width > 1 else 4 / 50)
    assert found.indices[0] == (0 if width > 1 else 4)


def test_lewis_weights_beside_a_number_that_float32_cannot_scale():
    x = np.random.default_rng(0).normal(size=(40_000, 256))
    x[7, 0] = 1e60
    found = og.lewis_weights(x, p=1.0, tol=0.1)
    assert found.converged
    assert found.weights[7] == pytest.approx(1.0, abs=0.05)
    assert found.weights.sum() == pytest.approx(256.0)


def test_a_job_of_many_short_sections_asks_for_signals_on_the_way():
    """A handler that Python calls only between its own instructions is called several times within one call of ours."""
    x = np.random.default_rng(0).normal(size=(60_000, 16)).astype(np.float32)
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        og.weighted_draw(x, 30_000)
        within = len(seen)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert within >= 3


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_cosine_kmeans_from_centres_of_any_length(size):
    x = np.random.default_rng(0).normal(size=(60, 5))
    want = og.kmeans(x, 3, metric="cosine", init=x[:3])
    found = og.kmeans(x, 3, metric="cosine", init=x[:3] * size)
    assert found.labels.tolist() == want.labels.tolist()
    np.testing.assert_allclose(found.centers, want.centers, rtol=1e-12)


def test_queries_with_nan_are_counted_once_where_the_pool_is_read_in_pieces():
    pool, queries = np.ones((4200, 2048), np.float32), np.ones((4000, 2048), np.float32)
    queries[[5, 9]] = np.nan
    asked = np.zeros(len(queries), bool)
    asked[:10] = True
    with pytest.raises(_core.NonFiniteQueries) as found:
        _core.nearest([queries], [pool], 1, False, False, None, asked)
    assert found.value.args == (2, [5, 9])


def test_rows_at_odd_addresses_are_copied():
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    odd = np.frombuffer(b"_" + x.tobytes(), dtype=np.uint8)[1:].view(np.float32).reshape(x.shape)
    assert not odd.flags.aligned
    assert as_matrix(odd, "X").flags.aligned
    np.testing.assert_array_equal(og.lewis_weights(odd, 1.0).weights, og.lewis_weights(x, 1.0).weights)
