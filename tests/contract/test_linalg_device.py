"""Leverage scores and Lewis weights of device arrays are those of the definition, in every arithmetic and place."""

import numpy as np
import pytest
from matrices import ill_conditioned, matrices

import oneglance as og
from oneglance.cuda import arithmetic, device_rows, passes
from oneglance.cuda.blocks import Blocks
from oneglance.cuda.leverage import leverage_scores
from oneglance.cuda.passes import Passes
from oneglance.reference import leverage, lewis

MATRICES = dict(matrices())


@pytest.fixture
def large(monkeypatch):
    """Small matrices take the way of large ones, in several panels."""
    monkeypatch.setattr(arithmetic, "SMALL_WORK", 0)
    monkeypatch.setattr(passes, "PANEL_BYTES", 1 << 14)


def largest_relative_error(got, want):
    """NaN stays NaN, so that `<=` fails on it; zeros must be zeros (up to rounding of a sum of 1)."""
    zero = want < 1e-13
    if not (np.abs(got[zero]) < 1e-12).all():
        return np.inf
    return np.abs(got[~zero] / want[~zero] - 1).max(initial=0.0)


def readings(device, x, mask=None, row_scale=None):
    rows = device_rows(device.put(x), "X", device.library)
    return Passes(Blocks([rows], device.library, 0), mask, row_scale)


@pytest.mark.parametrize("name", MATRICES)
def test_scores_and_weights_equal_the_definition(device, name, large):
    # The emulated libraries differ in arithmetic only, and in "3xtf32" the type of the rows decides what is split.
    for dtype in ("float32",) if device.name == "emulated-numpy" else ("float16", "float32"):
        x = MATRICES[name].astype(dtype)
        wide = x.astype(np.float64)
        found = og.leverage_scores(device.put(x))
        assert largest_relative_error(device.get(found), leverage.leverage_scores(wide)) <= 1e-5
        p = 1.0 if dtype == "float16" else 6.0
        answer = og.lewis_weights(device.put(x), p)
        got = device.get(answer.weights)
        assert answer.converged
        assert abs(got.sum() - answer.rank) <= 1e-6 * answer.rank
        assert largest_relative_error(got, lewis.lewis_weights(wide, p, tol=1e-12)) <= max(p, 2.0) * 1e-6 + 1e-5


@pytest.mark.parametrize("name", ["normal", "wide", "doubled_columns", "condition_1e3", "heavy_tail"])
def test_float64_rows_are_exact(device, name):
    x = MATRICES[name]
    core, got = og.lewis_weights(x, 3.0, tol=1e-11), og.lewis_weights(device.put(x), 3.0, tol=1e-11)
    assert got.converged
    assert got.precision == "float64"
    assert got.rank == core.rank
    assert largest_relative_error(device.get(got.weights), core.weights) <= 1e-9
    assert largest_relative_error(device.get(og.leverage_scores(device.put(x))), og.leverage_scores(x)) <= 2e-9


@pytest.mark.parametrize(
    "how", [arithmetic.TF32, arithmetic.THREE_TF32, arithmetic.FLOAT32], ids=lambda each: each.name
)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_stated_errors_of_the_arithmetics_hold(device, how, dtype, large):
    """Operands of TF32 are rounded by our kernels, so the emulation sees the error that tensor cores will make."""
    for condition in (1.0, 30.0):
        x = (8 * ill_conditioned(condition)).astype(dtype)
        found = leverage_scores(readings(device, x), how=how, asked=True)
        error = largest_relative_error(device.get(found.scores), leverage.leverage_scores(x.astype(np.float64)))
        # The constant was measured as a maximum over 20000 rows; thrice is allowed.
        assert error <= 3 * arithmetic.score_error(how, found.condition) + 1e-5  # and what a float32 sum may
        if how is arithmetic.TF32:
            assert error > arithmetic.score_error(arithmetic.THREE_TF32, found.condition)


def test_tf32_reaches_a_loose_tolerance_alone(device, large):
    if not device.library.selects_tf32:
        pytest.skip("this library cannot choose TF32")
    x = MATRICES["normal"].astype(np.float16)
    loose = og.lewis_weights(device.put(x), 1.0, tol=0.05)
    assert loose.precision == "tf32"
    assert loose.converged
    want = lewis.lewis_weights(x.astype(np.float64), 1.0, tol=1e-12)
    assert largest_relative_error(device.get(loose.weights), want) <= 0.05
    fine = og.lewis_weights(device.put(x), 1.0)
    assert fine.precision == "3xtf32"
    assert fine.converged


def test_the_order_of_threads_changes_nothing(device, large):
    x = MATRICES["relu_mean"].astype(np.float32)
    upward = device.get(og.lewis_weights(device.put(x), 1.5).weights)
    with device.descending():
        assert np.array_equal(upward, device.get(og.lewis_weights(device.put(x), 1.5).weights))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_host_rows_are_streamed_to_the_same_bytes(device, dtype, large):
    x = MATRICES["relu_mean"].astype(dtype)
    there = og.lewis_weights(device.put(x), 1.0)
    streamed = og.lewis_weights(x, 1.0, device="cuda")
    assert isinstance(streamed.weights, np.ndarray)
    assert np.array_equal(streamed.weights, device.get(there.weights))
    shards = og.RowShards((x[:100], x[100:101], x[101:]))
    assert np.array_equal(og.lewis_weights(shards, 1.0, device="cuda").weights, streamed.weights)
    assert np.array_equal(og.leverage_scores(shards, device="cuda"), device.get(og.leverage_scores(device.put(x))))


def test_mask_ridge_and_weights(device, large):
    x = MATRICES["normal"].astype(np.float32)
    mask = np.arange(600) % 3 != 1
    weights = np.random.default_rng(0).uniform(0, 2, 600)
    for options in (
        {"mask": mask},
        {"ridge": 30.0},
        {"weights": weights},
        {"mask": mask, "ridge": 3.0, "weights": weights},
    ):
        got = device.get(og.leverage_scores(device.put(x), **options))
        assert largest_relative_error(got, og.leverage_scores(x, **options)) <= 1e-5
    got = og.lewis_weights(device.put(x), 3.0, mask=device.put(mask), ridge=5.0)
    assert (
        largest_relative_error(device.get(got.weights), og.lewis_weights(x, 3.0, mask=mask, ridge=5.0).weights) <= 1e-5
    )


def test_masked_rows_are_never_read(device, large):
    x = MATRICES["normal"].astype(np.float32)
    mask = np.arange(600) != 17
    with_nan = x.copy()
    with_nan[17] = np.nan
    got = og.lewis_weights(device.put(with_nan), 1.0, mask=mask)
    assert np.array_equal(device.get(got.weights), device.get(og.lewis_weights(device.put(x), 1.0, mask=mask).weights))


@pytest.mark.parametrize("size", [1e-30, 1e30, 1e200])
def test_units_change_nothing(device, size, large):
    x = MATRICES["relu_mean"]
    scaled = x * size if size > 1e100 else (x * size).astype(np.float32)
    want = og.lewis_weights(x, 1.0).weights
    assert largest_relative_error(device.get(og.lewis_weights(device.put(scaled), 1.0).weights), want) <= 1e-5


def test_bad_rows_are_named(device, large):
    x = MATRICES["normal"].astype(np.float32)
    x[[5, 590], [3, 23]] = np.nan, np.inf
    for rows, options in ((device.put(x), {}), (x, {"device": "cuda"})):
        with pytest.raises(og.InvalidInput, match="X has 2 rows with NaN or infinity: 5, 590"):
            og.lewis_weights(rows, 1.0, **options)
    with pytest.raises(og.InvalidInput, match=r"X\['b'\] has 2 rows with NaN"):
        og.leverage_scores({"a": device.put(MATRICES["normal"]), "b": device.put(x)})


def test_wrong_places_are_named(device):
    x = device.put(np.ones((4, 2)))
    with pytest.raises(og.InvalidInput, match="X is on device 0, device is \"?'cuda:3'"):
        og.leverage_scores(x, device="cuda:3")
    with pytest.raises(og.InvalidInput, match='device must be "cpu", "cuda"'):
        og.leverage_scores(np.ones((4, 2)), device="gpu")


def test_the_lack_of_memory_is_said_in_bytes(device, monkeypatch):
    monkeypatch.setattr(type(device.library), "free_bytes", lambda self, number: 123_456)
    with pytest.raises(
        og.errors.OutOfMemory, match=r"lewis_weights needs \d+ kB on device 0 .*123 kB are free.*streamed"
    ):
        og.lewis_weights(device.put(MATRICES["normal"]), 1.0)


def test_no_pass_waits_for_the_device_within(device, monkeypatch, large):
    """The host asks for numbers once per reading, not once per panel."""
    kind, asked = type(device.library), []
    to_host = kind.to_host

    def counted(self, array):
        asked.append(1)
        return to_host(self, array)

    source = readings(device, MATRICES["normal"].astype(np.float32))
    monkeypatch.setattr(kind, "to_host", counted)
    source.read(arithmetic.FLOAT32, gram_power=0.0)
    assert len(asked) == 1
