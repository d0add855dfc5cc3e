"""Numbers near the ends of float32 and float64 inside ordinary matrices: right answers, or an error that names rows."""

import numpy as np
import pytest

import oneglance as og


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


def test_activeft_names_what_leaves_float64():
    x = np.random.default_rng(0).normal(size=(200, 8))
    with pytest.raises(og.InvalidInput, match="temperature"):
        og.activeft(np.eye(8)[np.arange(200) % 8] + 1e-3 * x, 4, objective="paper", temperature=1e-3)
