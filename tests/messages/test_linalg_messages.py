"""What a person reads when leverage_scores or lewis_weights refuse an input."""

import numpy as np
import pytest

import oneglance as og


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(20, 3))


@pytest.mark.parametrize("function", [og.leverage_scores, og.lewis_weights], ids=["leverage", "lewis"])
class TestBothFunctions:
    def test_nan_rows_are_named(self, function, x):
        x[[3, 17], 1] = np.nan, np.inf
        with pytest.raises(og.InvalidInput, match=r"X has 2 rows with NaN or infinity: 3, 17\. .*mask=numpy\.isfinite"):
            function(x)

    def test_many_nan_rows_are_counted_and_the_first_ones_named(self, function):
        with pytest.raises(og.InvalidInput, match=r"X has 3000 rows .*: 0, 1, 2, 3, 4, 5, 6, 7, \.\.\.\."):
            function(np.full((3000, 2), np.nan, dtype=np.float16))

    def test_one_dimension(self, function):
        with pytest.raises(og.InvalidInput, match=r"X must be 2-D .* got shape \(5,\)\. Use X\.reshape\(-1, 1\)"):
            function(np.arange(5.0))

    def test_no_rows(self, function):
        with pytest.raises(og.InvalidInput, match=r"X must have at least one row and one column, got shape \(0, 3\)"):
            function(np.empty((0, 3)))

    def test_text(self, function):
        with pytest.raises(og.InvalidInput, match=r"X must hold float16, float32 or float64 numbers, got dtype <U1"):
            function(np.array([["a", "b"]]))

    def test_backbones_with_different_rows(self, function, x):
        with pytest.raises(
            og.InvalidInput, match=r'features of backbone "vit_s" have 19 rows, those of "cnn" have 20\. All backbones'
        ):
            function({"cnn": x, "vit_s": x[:19]})

    def test_nan_in_one_backbone_names_it(self, function, x):
        bad = x.copy()
        bad[4] = np.nan
        with pytest.raises(og.InvalidInput, match=r"X\['b'\] has 1 row with NaN or infinity: 4"):
            function({"a": x, "b": bad})

    def test_mask_of_another_length(self, function, x):
        with pytest.raises(
            og.InvalidInput, match=r"mask must be a boolean array of shape \(20,\), got bool .* \(19,\)"
        ):
            function(x, mask=np.ones(19, dtype=bool))

    def test_mask_that_leaves_nothing(self, function, x):
        with pytest.raises(og.InvalidInput, match="mask leaves no row"):
            function(x, mask=np.zeros(20, dtype=bool))

    def test_negative_ridge(self, function, x):
        with pytest.raises(og.InvalidInput, match="ridge must be a finite number >= 0, got -1"):
            function(x, ridge=-1)


@pytest.mark.parametrize("p", [0, -1, np.nan, np.inf])
def test_p_that_is_no_norm(p, x):
    with pytest.raises(og.InvalidInput, match="p must be a finite number > 0"):
        og.lewis_weights(x, p)


def test_p_that_is_no_number(x):
    with pytest.raises(og.InvalidInput, match="p must be a number > 0, got 'two'"):
        og.lewis_weights(x, "two")


def test_negative_row_weights(x):
    with pytest.raises(
        og.InvalidInput, match=r"weights must be 20 finite numbers >= 0, one per row of X, .* minimum -1"
    ):
        og.leverage_scores(x, weights=np.full(20, -1.0))


def test_too_few_passes_is_said_not_hidden(x):
    result = og.lewis_weights(x, 1.0, tol=1e-12, max_passes=2)
    assert not result.converged
    assert result.passes == 2
    assert result.residual > 1e-12


def test_cuda_tensors_are_refused_with_the_cure():
    class Tensor:
        is_cuda = True

        def detach(self):
            return self

    with pytest.raises(og.InvalidInput, match=r"X is a CUDA tensor; this function computes on the CPU\. Pass X\.cpu"):
        og.leverage_scores(Tensor())


@pytest.mark.parametrize("p", [1e-3, 1e6])
def test_norms_that_leave_nothing_of_the_weights(p, x):
    with pytest.raises(og.InvalidInput, match=r"p is .*, too far from 2 for weights in float64. Use a p between"):
        og.lewis_weights(x, p)
    with pytest.raises(og.InvalidInput, match="too far from 2"):
        og.select(x, 5, p=p)
    assert not og.lewis_weights(np.zeros((5, 3))).weights.any()


def test_a_ridge_whose_power_overflows(x):
    with pytest.raises(og.InvalidInput, match="ridge is 3, whose power 1 / p leaves float64 for p = 0.001"):
        og.lewis_weights(x, 1e-3, ridge=3.0)
