"""Compiled leverage scores and Lewis weights agree with their definitions, for every instruction set,
dtype and awkward matrix, on the float64 path of small problems and on the mixed path of large ones."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matrices import DTYPES, NORMS, ill_conditioned, matrices

from oneglance import _core
from oneglance.reference import leverage, lewis

MATRICES = dict(matrices())
ISAS = _core.build_info()["isa_runnable"]
# Small problems are computed in float64; the mixed path works for float32 accuracy.
TOLERANCE = {"small": 2e-9, "large": 1e-5}


def largest_relative_error(got, want):
    """NaN stays NaN, so that `<=` fails on it; zeros must be zeros (up to rounding of a sum of 1)."""
    zero = want < 1e-13
    if not (np.abs(got[zero]) < 1e-12).all():
        return np.inf
    return np.abs(got[~zero] / want[~zero] - 1).max(initial=0.0)


@pytest.fixture(scope="session")
def answers(tmp_path_factory):
    @cache
    def of(isa):
        out = tmp_path_factory.mktemp("battery") / f"{isa}.npz"
        environment = {**os.environ, "ONEGLANCE_ISA": isa}
        script = Path(__file__).parent / "battery.py"
        subprocess.run([sys.executable, str(script), str(out)], env=environment, check=True, timeout=300)
        with np.load(out) as saved:
            return {key: saved[key] for key in saved.files}

    return of


@cache
def oracle(name, dtype, p):
    x = MATRICES[name].astype(dtype).astype(np.float64)
    return leverage.leverage_scores(x) if p is None else lewis.lewis_weights(x, p, tol=1e-12)


@pytest.mark.parametrize("isa", ISAS)
def test_the_forced_instruction_set_is_active(isa, answers):
    assert str(answers(isa)["isa"]) == isa


@pytest.mark.parametrize("path", ["small", "large"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("isa", ISAS)
def test_leverage_equals_the_definition(isa, name, dtype, path, answers):
    got = answers(isa)[f"{path}/{name}/{dtype}/leverage"]
    assert largest_relative_error(got, oracle(name, dtype, None)) <= TOLERANCE[path]


@pytest.mark.parametrize("path", ["small", "large"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("isa", ISAS)
def test_lewis_weights_equal_the_definition(isa, name, dtype, path, answers):
    for p in NORMS:
        got = answers(isa)[f"{path}/{name}/{dtype}/lewis_{p:g}"]
        rank, residual, converged = answers(isa)[f"{path}/{name}/{dtype}/evidence_{p:g}"]
        assert converged, f"p={p:g} stopped at residual {residual:.1e}"
        assert abs(got.sum() - rank) <= 1e-6 * rank
        # A residual of 1e-6 allows p/2 times that in the weights, as seen in practice.
        assert largest_relative_error(got, oracle(name, dtype, p)) <= max(p, 2.0) * 1e-6 + TOLERANCE[path]


@pytest.mark.parametrize("name", MATRICES)
def test_float64_rows_reach_1e_10(name):
    x = MATRICES[name]
    for p in (0.5, 1.0, 3.8, 6.0):
        weights, *_, converged, _, precision, _ = _core.lewis_weights([x], p, 1e-12, 200, None)
        assert converged
        assert precision == "float64"
        assert largest_relative_error(weights, oracle(name, "float64", p)) <= 1e-10


@pytest.mark.parametrize("small_work", [2**31, 0], ids=["small", "large"])
@pytest.mark.parametrize("condition", [1e2, 1e4, 1e6])
def test_ill_conditioned_float32_rows_keep_1e_5(condition, small_work):
    x = ill_conditioned(condition).astype(np.float32)
    _core.set_small_work(small_work)
    try:
        scores = _core.leverage_scores([x], None, None)[0]
        weights = _core.lewis_weights([x], 1.0, 1e-6, 100, None)[0]
    finally:
        _core.set_small_work(2**31)
    assert largest_relative_error(scores, leverage.leverage_scores(x)) <= 1e-5
    assert largest_relative_error(weights, lewis.lewis_weights(x, 1.0)) <= 1e-5


@pytest.mark.parametrize("condition", [1e8, 1e10])
def test_nearly_dependent_float64_columns_are_still_told_apart(condition):
    x = ill_conditioned(condition)
    scores, rank, *_ = _core.leverage_scores([x], None, None)
    assert rank == x.shape[1]
    assert largest_relative_error(scores, leverage.leverage_scores(x)) <= 1e-16 * condition * 10


@pytest.mark.parametrize("small_work", [2**31, 0], ids=["small", "large"])
def test_columns_outside_the_range_of_float32(small_work):
    units = 10.0 ** np.array([0, 60, -60, 100, -100, 5] * 4)
    x = MATRICES["normal"]
    _core.set_small_work(small_work)
    try:
        scores = _core.leverage_scores([x * units], None, None)[0]
        weights, *_, converged, _, _, _ = _core.lewis_weights([x * units], 1.0, 1e-6, 100, None)
    finally:
        _core.set_small_work(2**31)
    assert converged
    assert largest_relative_error(scores, oracle("normal", "float64", None)) <= 1e-10
    assert largest_relative_error(weights, oracle("normal", "float64", 1.0)) <= 1e-5


@pytest.mark.parametrize("p", [4.0, 6.0])
def test_the_map_of_cohen_and_peng_diverges_where_ours_converges(p):
    x = MATRICES["normal"]
    stuck = lewis.lewis_weights(x, p, exponent=p / 2, max_steps=200)
    diverged = not np.isfinite(stuck).all() or stuck.min() <= 0
    assert diverged or lewis.residual(x, stuck, p) > 1e-2
    weights, *_, converged, _, _, _ = _core.lewis_weights([x], p, 1e-6, 100, None)
    assert converged
    assert lewis.residual(x, weights, p) <= 2e-6


PASSES_ALLOWED = {0.5: 12, 1.0: 12, 1.5: 12, 3.0: 12, 3.8: 12, 4.0: 20, 5.0: 20, 6.0: 20, 16.0: 35}


@pytest.mark.parametrize("p", PASSES_ALLOWED)
def test_passes_to_1e_6_on_heavy_tailed_and_ill_conditioned_rows(p):
    rng = np.random.default_rng(0)
    heavy = rng.normal(size=(5000, 60)) * rng.standard_t(1.5, size=(5000, 1)) * np.logspace(0, -4, 60)
    for x in (heavy, ill_conditioned(1e5, 3000, 64)):
        _, _, passes, residual, converged, *_ = _core.lewis_weights([x], p, 1e-6, 100, None)
        assert converged
        assert residual <= 1e-6
        assert passes <= PASSES_ALLOWED[p]


@pytest.mark.parametrize("coherent", [False, True])
@pytest.mark.parametrize("condition", [1.0, 8.0, 30.0])
def test_squares_by_one_reading_and_probes_hold_their_bound(condition, coherent):
    """p = 2 with a loose tol: two readings, and no weight is farther off than the residual says."""
    rng = np.random.default_rng(int(condition))
    x = (
        rng.normal(size=(20_000, 48))
        * np.sqrt(5 / rng.chisquare(5, (20_000, 1)))
        * np.logspace(0, -np.log10(condition), 48)
    )
    x = (x @ np.linalg.qr(rng.normal(size=(48, 48)))[0]).astype(np.float32)
    if coherent:
        x[5] *= 300  # float32 sums forget most of what lies beside it
    _core.set_small_work(0)
    try:
        found = [_core.lewis_weights([x], 2.0, 0.2, 100, None)]
        _core.set_threads(1)
        found += [_core.lewis_weights([x[:7001], x[7001:]], 2.0, 0.2, 100, None)]
    finally:
        _core.set_threads(0)
        _core.set_small_work(2**31)
    weights, rank, passes, residual, converged, _, precision, _ = found[0]
    assert converged
    assert (rank, precision) == (48, "float32")
    assert passes == 2
    assert residual <= 0.2
    assert np.abs(np.log(weights / leverage.leverage_scores(x))).max() <= residual
    assert abs(weights.sum() - 48) <= 1e-9
    assert found[1][0].tobytes() == weights.tobytes()
    assert found[1][3] == residual


def test_the_residual_bounds_the_residual_of_every_row():
    x = MATRICES["heavy_tail"]
    for p in (0.5, 1.0, 3.8, 6.0):
        for max_passes in (2, 3, 5, 8):
            weights, _, passes, residual, *_ = _core.lewis_weights([x], p, 1e-9, max_passes, None)
            assert passes <= max_passes
            assert lewis.residual(x, weights, p) <= residual * (1 + 1e-9)
