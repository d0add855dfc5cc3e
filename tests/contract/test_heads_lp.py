"""lp_regression against linear programs, SciPy, mpmath and itself, on rows that are awkward on purpose."""

import warnings

import numpy as np
import pytest

from oneglance import _core
from oneglance.errors import InvalidInput
from oneglance.reference.heads import least_norm, lp_dual, lp_objective
from oneglance.solvers import design, losses, lp_regression, normal, single_index
from oneglance.solvers.design import Design

RNG = np.random.default_rng(7)
A = RNG.standard_normal((300, 10))
B = A @ RNG.standard_normal(10) + RNG.standard_t(2, 300)
HUGE_RANGE = 10.0 ** RNG.uniform(-9, 0, 300)
NORMS = [1, 1.02, 1.2, 1.5, 2, 2.5, 3, 8, 20, np.inf]


def cases():
    """name -> rows, targets, weights."""
    yield "plain", A, B, None
    yield "float16", A.astype(np.float16), B, None
    yield "weights of huge range", A, B, HUGE_RANGE
    yield "zero weights", A, B, np.where(RNG.random(300) > 0.5, 1.0, 0.0)
    yield "duplicated rows", np.repeat(A[:30], 10, axis=0), B, None
    yield "duplicated columns", np.hstack([A, A[:, :3]]), B, None
    yield "dead columns", np.hstack([A, np.zeros((300, 2))]), B, None
    yield "constant columns", np.hstack([A, np.ones((300, 2))]), B + 5, None
    yield "n < d", RNG.standard_normal((8, 20)), RNG.standard_normal(8), None
    yield "n = d", RNG.standard_normal((20, 20)), RNG.standard_normal(20), None
    yield "n = d + 1", RNG.standard_normal((21, 20)), RNG.standard_normal(21), None
    yield "one row", RNG.standard_normal((1, 3)), RNG.standard_normal(1), None
    ties = RNG.integers(-2, 3, (300, 10)).astype(float)
    yield "ties", ties, RNG.integers(-2, 3, 300).astype(float), None
    yield "exact", A, A @ np.ones(10), None
    yield "half exact", A, A @ np.ones(10) + np.where(np.arange(300) % 2, 1.0, 0.0) * B, None
    yield "one outlier", A, A @ np.ones(10) + np.where(np.arange(300) == 7, 1e6, 0.0), None
    yield "tiny", A * 1e-150, B * 1e-150, None
    yield "ill-conditioned", A @ np.diag(10.0 ** -np.linspace(0, 4, 10)), B, None
    yield "binary", A, (B > 0).astype(float), None
    yield "zero targets", A, np.zeros(300), None


CASES = {name: case for name, *case in cases()}


def close(value, expected, rtol):
    """NaN fails."""
    assert abs(value - expected) <= rtol * abs(expected) + 1e-300, (value, expected)


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("name", CASES)
def test_gap_is_below_the_tolerance_and_the_value_is_what_the_definition_says(name, p):
    rows, targets, weights = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = lp_regression(rows, targets, p, weights=weights)
    assert fit.converged.all()
    assert fit.steps[0] <= 25
    s = np.ones(len(rows)) if weights is None else weights
    with np.errstate(over="ignore", under="ignore"):
        value = lp_objective(rows.astype(float), targets, s / s.sum(), fit.coef[:, 0], p)
    if name not in ("exact", "n < d", "n = d", "one row", "zero targets"):
        close(fit.value[0], value, 1e-8)
        assert 0 <= fit.gap[0] <= 1e-8 * fit.value[0] or fit.value[0] == 0
    else:
        assert value <= 1e-9 * max(np.abs(targets).max(), 1.0)


# HiGHS works with absolute tolerances of 1e-7: it gives up on weights of 1e-12, and takes 1e-150 for 0.
@pytest.mark.parametrize("name", [name for name in CASES if name not in ("tiny", "weights of huge range")])
def test_p_1_and_inf_reach_the_linear_program(name):
    linprog = pytest.importorskip("scipy.optimize").linprog
    rows, targets, weights = CASES[name]
    rows = rows.astype(float)
    n, d = rows.shape
    s = np.full(n, 1 / n) if weights is None else weights / weights.sum()
    one = linprog(
        np.concatenate([np.zeros(d), s, s]),
        A_eq=np.hstack([rows, np.eye(n), -np.eye(n)]),
        b_eq=targets,
        bounds=[(None, None)] * d + [(0, None)] * (2 * n),
    )
    kept = s > 0
    both = np.vstack([rows[kept], -rows[kept]])
    top = linprog(
        np.concatenate([np.zeros(d), [1.0]]),
        A_ub=np.hstack([both, -np.ones((len(both), 1))]),
        b_ub=np.concatenate([targets[kept], -targets[kept]]),
        bounds=[(None, None)] * d + [(0, None)],
    )
    scale = np.abs(targets).max() + 1e-300
    for p, best in ((1, one.fun), (np.inf, top.fun)):
        fit = lp_regression(rows, targets, p, weights=weights)
        assert abs(fit.value[0] - best) <= 2e-8 * best + 1e-11 * scale
        assert fit.value[0] - fit.gap[0] <= best * (1 + 1e-9) + 1e-11 * scale  # the certificate is true


@pytest.mark.parametrize("p", [1.1, 1.5, 4])
def test_bounds_from_systems_solved_by_products_are_bounds(p, monkeypatch):
    """What a rough solve left of A'y = K x made bounds above the minimum, which later steps took for a gap of 0."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        n, d = int(rng.integers(200, 900)), int(rng.integers(1, 7))
        rows = rng.standard_normal((n, d))
        rows[:3] *= 10.0 ** rng.uniform(0, 4)
        targets = 10.0 ** rng.uniform(-2, 1) * rng.standard_t(1.5, n) + rows @ rng.standard_normal(d)
        asked = {"ridge": float(rng.choice([0.0, 1e-3])), "eps": float(rng.choice([0.0, 0.1]))}
        least = lp_regression(rows, targets, p, tol=1e-11, **asked)
        with monkeypatch.context() as patch:
            patch.setattr(normal, "_SMALL_WORK", 0)
            patch.setattr(design, "_MUCH_WORK", 0)
            for tol in (1e-2, 1e-5, 1e-8):
                fit = lp_regression(rows, targets, p, tol=tol, **asked)
                assert fit.converged.all()
                assert fit.value[0] - fit.gap[0] <= least.value[0] * (1 + 1e-9)


@pytest.mark.parametrize("p", [*NORMS, "huber"])
@pytest.mark.parametrize(("rows", "intercept"), [(A[:1], True), (np.ones((5, 9)), True), (np.zeros((5, 9)), False)])
def test_rows_without_any_direction_are_fitted_by_the_constant_alone(rows, intercept, p):
    asked = {"huber": 1.0} if p == "huber" else {"p": p}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = lp_regression(rows, B[: len(rows)], intercept=intercept, **asked)
    assert fit.converged.all()
    assert fit.rank == int(intercept)
    assert not fit.coef.any()
    if len(rows) == 1:
        np.testing.assert_allclose(fit.intercept, B[:1])
    one = lp_regression(np.zeros((300, 2)), np.repeat(B[:5], 60), intercept=intercept, **asked)
    if len(rows) == 5:
        np.testing.assert_allclose(fit.value, one.value, rtol=1e-7)


@pytest.mark.parametrize("p", [*NORMS, "huber"])
def test_equal_targets_and_a_penalty_are_the_intercept(p):
    asked = {"huber": 1.0} if p == "huber" else {"p": p}
    fit = lp_regression(A, np.full(300, 3.0), ridge=0.1, intercept=True, **asked)
    assert fit.converged.all()
    np.testing.assert_allclose(fit.intercept, 3.0)
    np.testing.assert_allclose(fit.coef, 0.0, atol=1e-12)


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 10.0, 260.0])
@pytest.mark.parametrize("p", [1.00001, 1.001])
def test_p_next_to_1(p, ridge):
    """The dual's power is in the thousands: a residual a little off overflows it."""
    for n in (7, 23, 300):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit = lp_regression(A[:n], B[:n], p, ridge=ridge)
        assert fit.converged.all()
        near = lp_regression(A[:n], B[:n], 1, ridge=ridge)
        value = lp_objective(A[:n], B[:n], np.ones(n) / n, fit.coef[:, 0], 1, ridge)
        assert near.value[0] * (1 - 1e-7) - 1e-12 <= value <= near.value[0] * (1 + 1e-2) + 1e-12


def test_a_penalty_beyond_all_bounds_is_refused():
    with pytest.raises(InvalidInput, match="outweighs residuals of size .* to the power 200"):
        lp_regression(A, 1e-3 * B, 200, ridge=0.1)
    huge = lp_regression(A, 1e3 * B, 200)
    assert huge.converged.all()
    assert not np.isnan(huge.gap).any()


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("p", [1, np.inf])
def test_a_penalty_leaves_linear_programs_their_proof(p, intercept):
    """Strong penalties: duals that only come near A'y = K x once proved twenty times the minimum to be it."""
    rng = np.random.default_rng(4)
    for ridge in 10.0 ** np.arange(-4.0, 4.0):
        n, d = int(rng.integers(2, 60)), int(rng.integers(1, 9))
        rows = rng.standard_normal((n, d))
        targets = rows @ rng.standard_normal(d) + 10.0 ** rng.uniform(-1, 2) * rng.standard_t(1.5, n)
        fit = lp_regression(rows, targets, p, ridge=ridge, intercept=intercept)
        assert fit.converged.all()
        tried = [lp_regression(rows, targets, q, ridge=ridge, intercept=intercept) for q in (1.01, 1.5, 2, 8)]
        tried += [lp_regression(rows, targets, p, ridge=ridge * by, intercept=intercept) for by in (0.5, 0.9, 1.1, 2)]
        for other in tried:
            off = targets - other.intercept[0]
            assert lp_objective(rows, off, np.ones(n) / n, other.coef[:, 0], p, ridge) >= fit.value[0] * (1 - 1e-7)


@pytest.mark.parametrize("p", [1.2, 1.5, 3, 8])
def test_the_minimum_of_mpmath(p):
    """Three unknowns, Newton in 40 digits from our answer: the value there is ours."""
    mpmath = pytest.importorskip("mpmath")
    rows, targets = A[:40, :3], B[:40]
    fit = lp_regression(rows, targets, p, tol=1e-13)
    with mpmath.workdps(40):
        big_rows = [[mpmath.mpf(float(v)) for v in row] for row in rows]
        big_targets = [mpmath.mpf(float(v)) for v in targets]

        def slopes(*x):
            out = [mpmath.mpf(0)] * 3
            for row, b in zip(big_rows, big_targets, strict=True):
                r = sum(a * v for a, v in zip(row, x, strict=True)) - b
                out = [o + a * mpmath.sign(r) * abs(r) ** (mpmath.mpf(p) - 1) for o, a in zip(out, row, strict=True)]
            return out

        best = mpmath.findroot(slopes, [mpmath.mpf(float(v)) for v in fit.coef[:, 0]])
        terms = [
            abs(sum(a * v for a, v in zip(row, best, strict=True)) - b) ** mpmath.mpf(p)
            for row, b in zip(big_rows, big_targets, strict=True)
        ]
        minimum = float(sum(terms) / 40)
    close(fit.value[0], minimum, 1e-12)


@pytest.mark.parametrize("kind", ["huber", "ridge", "eps", "both"])
@pytest.mark.parametrize("p", [1, 1.2, 2, 3, 8])
def test_scipy_finds_nothing_lower(p, kind):
    optimize = pytest.importorskip("scipy.optimize")
    options = {
        "huber": {"huber": 0.7},
        "ridge": {"ridge": 0.1},
        "eps": {"eps": 0.3},
        "both": {"ridge": 0.1, "eps": 0.3},
    }
    if kind == "huber" and p != 2:
        pytest.skip("Huber's loss replaces p = 2")
    s = HUGE_RANGE / HUGE_RANGE.sum()
    fit = lp_regression(A, B, p, weights=HUGE_RANGE, **options[kind])

    def value(x):
        return lp_objective(A, B, s, x, p, **options[kind])

    close(fit.value[0], value(fit.coef[:, 0]), 1e-9)
    found = optimize.minimize(
        value, fit.coef[:, 0], method="BFGS" if p > 1 else "Nelder-Mead", options={"maxiter": 400}
    )
    assert found.fun >= fit.value[0] - 1.1e-8 * fit.value[0]


def test_scipy_from_elsewhere_reaches_the_same_value():
    optimize = pytest.importorskip("scipy.optimize")
    s = np.full(300, 1 / 300)
    for p in (1.5, 3.0):
        found = optimize.minimize(lambda x, p=p: lp_objective(A, B, s, x, p), np.zeros(10), method="BFGS", tol=1e-10)
        close(lp_regression(A, B, p).value[0], found.fun, 1e-7)


@pytest.mark.parametrize("p", [1, 1.3, 2, 4, np.inf])
def test_invariances(p):
    weights = RNG.integers(1, 4, 300).astype(float)
    fit = lp_regression(A, B, p, weights=weights, intercept=True, ridge=0.01)
    scaled = lp_regression(A, B, p, weights=1e5 * weights, intercept=True, ridge=0.01)
    np.testing.assert_allclose(scaled.coef, fit.coef, rtol=1e-9)
    again = lp_regression(A, B, p, weights=weights, intercept=True, ridge=0.01)
    assert again.coef.tobytes() == fit.coef.tobytes()
    counts = weights.astype(int)
    many = lp_regression(np.repeat(A, counts, axis=0), np.repeat(B, counts), p, intercept=True, ridge=0.01)
    assert abs(many.value[0] - fit.value[0]) <= 3e-8 * fit.value[0]
    order = RNG.permutation(300)
    turned = lp_regression(A[order], B[order], p, weights=weights[order], intercept=True, ridge=0.01)
    assert abs(turned.value[0] - fit.value[0]) <= 3e-8 * fit.value[0]


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("Huber", {"huber": 0.7}),
        ("penalty of predictions", {"p": 1.5, "eps": 0.2}),
        ("several targets", {"p": 3, "several": True}),
    ],
)
def test_weights_are_repetitions_for_every_loss(name, asked):
    counts = RNG.integers(0, 4, 300)
    asked = dict(asked)
    targets = np.column_stack([B, A[:, 0] ** 2]) if asked.pop("several", False) else B
    fit = lp_regression(A, targets, weights=counts.astype(float), intercept=True, tol=1e-10, **asked)
    many = lp_regression(
        np.repeat(A, counts, axis=0), np.repeat(targets, counts, axis=0), intercept=True, tol=1e-10, **asked
    )
    np.testing.assert_allclose(many.value, fit.value, rtol=3e-10)
    np.testing.assert_allclose(many.coef, fit.coef, atol=2e-4)


@pytest.mark.parametrize("p", [1.2, 2, 3])
def test_least_norm_where_columns_depend(p):
    rows = np.hstack([A, A[:, :4] @ RNG.standard_normal((4, 3)), np.zeros((300, 1))])
    fit = lp_regression(rows, B, p)
    assert fit.rank == 10
    null = np.linalg.svd(rows)[2][10:]
    assert np.abs(null @ fit.coef).max() <= 1e-9 * np.abs(fit.coef).max()
    wide = lp_regression(A[:6], B[:6], p)
    np.testing.assert_allclose(wide.coef[:, 0], least_norm(A[:6], B[:6], np.ones(6)), atol=1e-10)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("p", [1, 1.5, 2, 3, np.inf])
def test_targets_on_other_rows_do_not_meet(p, intercept):
    targets = np.stack([B, B[::-1], 2 * B], axis=1)
    targets[6:, 1] = np.nan
    both = lp_regression(A, targets, p, intercept=intercept)
    for j, rows in enumerate((slice(None), slice(6), slice(None))):
        alone = lp_regression(A[rows], targets[rows, j], p, intercept=intercept)
        np.testing.assert_allclose(both.coef[:, j], alone.coef[:, 0], atol=1e-7)
        assert both.value[j] == pytest.approx(alone.value[0], rel=1e-9, abs=1e-12)
    few = single_index(np.where(np.arange(300)[:, None] < 6, A, np.nan), targets[:, 1], "tanh", intercept=intercept)
    want = single_index(A[:6], targets[:6, 1], "tanh", intercept=intercept)
    np.testing.assert_array_equal(few.coef, want.coef)


def test_p_2_is_least_squares_for_all_targets_at_once():
    targets = np.column_stack([B, A[:, 0] ** 2, np.where(np.arange(300) % 3, B, np.nan)])
    fit = lp_regression(A, targets, weights=HUGE_RANGE, tol=1e-10)
    for j in range(3):
        s = np.where(np.isnan(targets[:, j]), 0.0, HUGE_RANGE)
        expected = least_norm(A, np.nan_to_num(targets[:, j]), s)
        close(
            lp_objective(A, np.nan_to_num(targets[:, j]), s / s.sum(), fit.coef[:, j], 2),
            lp_objective(A, np.nan_to_num(targets[:, j]), s / s.sum(), expected, 2),
            1e-9,
        )
    single = [lp_regression(A, targets[:, j], 3, weights=HUGE_RANGE).coef[:, 0] for j in range(3)]
    together = lp_regression(A, targets, 3, weights=HUGE_RANGE).coef
    np.testing.assert_allclose(together, np.array(single).T, rtol=1e-6)


@pytest.mark.parametrize("p", [1, 1.2, 1.7, 3, 8, np.inf])
def test_many_rows_go_through_products_and_reach_the_same_value(p, monkeypatch):
    """With the small problem solved by conjugate gradients instead of factored Grams."""
    fit = lp_regression(A, B, p, weights=HUGE_RANGE, intercept=True, ridge=0.001)
    monkeypatch.setattr(normal, "_SMALL_WORK", 0.0)
    other = lp_regression(A, B, p, weights=HUGE_RANGE, intercept=True, ridge=0.001)
    assert other.converged.all()
    assert abs(other.value[0] - fit.value[0]) <= 2e-8 * fit.value[0]
    assert other.value[0] - other.gap[0] <= fit.value[0]
    assert fit.value[0] - fit.gap[0] <= other.value[0]


@pytest.fixture
def no_problem_is_small(monkeypatch):
    """Coordinates from a sample of the rows, and conjugate gradients, whatever the size."""
    monkeypatch.setattr(normal, "_SMALL_WORK", 0.0)
    monkeypatch.setattr(design, "_MUCH_WORK", 0.0)


@pytest.mark.parametrize("p", [1.2, 1.7, 3, 8, 20, "huber"])
@pytest.mark.parametrize("name", [name for name in CASES if len(CASES[name][0]) == 300])
def test_coordinates_from_a_sample_reach_the_same_value(name, p, no_problem_is_small, monkeypatch):
    rows, targets, weights = CASES[name]
    rows, targets = np.tile(rows, (2, 1)), np.concatenate([targets, 0.9 * targets])
    asked = {"weights": None if weights is None else np.tile(weights, 2), "intercept": True}
    asked |= {"p": 2, "huber": 0.5 * float(np.abs(targets).mean()) + 1e-3} if p == "huber" else {"p": p}
    fit = lp_regression(rows, targets, **asked)
    assert fit.converged.all()
    assert fit.steps[0] <= 25
    monkeypatch.setattr(design, "_MUCH_WORK", np.inf)
    monkeypatch.setattr(normal, "_SMALL_WORK", np.inf)
    other = lp_regression(rows, targets, **asked)
    assert fit.value[0] <= other.value[0] * (1 + 2e-8) + 1e-300
    assert fit.rank == other.rank
    top = np.abs(rows @ other.coef).max() + 1e-300
    assert np.abs(rows @ fit.coef + fit.intercept - rows @ other.coef - other.intercept).max() <= 0.02 * top


@pytest.mark.parametrize("intercept", [False, True])
def test_a_feature_that_a_sample_misses_is_not_lost(intercept, no_problem_is_small):
    """Sampled rows alone would call the last columns dead, or dependent."""
    rows = np.tile(A, (3, 1))
    rare, twin = np.zeros((900, 1)), rows[:, :1].copy()
    unseen = np.setdiff1d(np.arange(900), np.linspace(0, 899, design.SAMPLED_ROWS * 12).astype(int))
    rare[unseen[[100, 400]]], twin[unseen[[200, 600]]] = 2.0, 7.0
    rows = np.hstack([rows, rare, twin])
    fit = lp_regression(rows, np.tile(B, 3) + rows @ np.arange(12.0), 3, intercept=intercept)
    assert fit.converged.all()
    assert fit.rank == 12 + intercept
    np.testing.assert_allclose(fit.coef[-2:, 0], [10, 11], atol=1.5)


def test_rows_that_a_sample_misses_are_checked(no_problem_is_small):
    rows = np.tile(A, (2, 1))
    rows[333, 4] = np.nan
    with pytest.raises(InvalidInput, match=r"X has 1 row with NaN or infinity: 333\."):
        lp_regression(rows, np.tile(B, 2), 3)


def test_even_samples_hold_their_shares():
    weights = np.where(RNG.random(5000) < 0.1, 0.0, 10.0 ** RNG.uniform(-12, 0, 5000))
    rows, share = normal._even_sample(weights, 600)
    assert 550 <= rows.size <= 601
    assert (weights[rows] > 0).all()
    assert ((share > 0) & (share <= 1)).all()
    assert (share[np.isin(rows, np.argsort(weights)[-100:])] == 1.0).all()  # what holds nearly all is all there
    whole = float((weights[rows] / share).sum())
    assert abs(whole - weights.sum()) <= 0.02 * weights.sum()
    few = np.zeros(50)
    few[[3, 9]] = 1.0, 1e-9
    assert normal._even_sample(few, 20)[0].tolist() == [3, 9]


@pytest.mark.parametrize("loss", [losses.Power(1.3), losses.Power(2.0), losses.Power(5.0), losses.Huber(0.8)])
def test_slopes_curvatures_and_conjugates(loss):
    s, r = RNG.random(50) + 0.1, RNG.standard_normal(50)
    step = 1e-6
    for i in range(0, 50, 7):
        e = np.zeros(50)
        e[i] = step
        slope = (loss.value(s, r + e) - loss.value(s, r - e)) / (2 * step)
        assert abs(slope - loss.slope(s, r)[i]) <= 1e-6
        if isinstance(loss, losses.Power):
            bend = (loss.slope(s, r + e)[i] - loss.slope(s, r - e)[i]) / (2 * step)
            assert abs(bend - loss.curvature(s, r, 0)[i]) <= 1e-4 * bend
    y = loss.slope(s, r)
    close(loss.conjugate(s, y), float(y @ r) - loss.value(s, r), 1e-12)  # Fenchel: equality at the slope
    assert loss.conjugate(s, 0.5 * y) >= 0.5 * float(y @ r) - loss.value(s, r)
    if isinstance(loss, losses.Power):
        flat = y - A[:50] @ np.linalg.lstsq(A[:50], y, rcond=None)[0]
        b = RNG.standard_normal(50)
        bound = lp_dual(b, s, flat, loss.p)
        assert bound <= lp_regression(A[:50], b, loss.p, weights=s).value[0] * s.sum() / loss.p * (1 + 1e-9)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("n_rows", [6, 300])
def test_design_is_the_same_matrix_in_other_coordinates(n_rows, intercept):
    rows = np.hstack([A[:n_rows] + 3.0, A[:n_rows, :2]])
    from oneglance import RowShards

    built = Design(RowShards((rows[: n_rows // 2], rows[n_rows // 2 :])), None, intercept, "X")
    z = RNG.standard_normal((built.rank, 2))
    coef, constant = built.coef(z)
    products = rows @ coef + constant
    np.testing.assert_allclose(built.times(z), products, atol=1e-10)
    basis = built.times(np.eye(built.rank))
    np.testing.assert_allclose(basis.T @ basis, np.eye(built.rank), atol=1e-9)
    w, y = RNG.random(n_rows), RNG.standard_normal((n_rows, 2))
    np.testing.assert_allclose(built.gram(w), (basis.T * w) @ basis, atol=1e-9)
    np.testing.assert_allclose(built.sums(y), basis.T @ y, atol=1e-9)
    turned, fitted = built.normal(w, built.totals(w), z[:, 0])
    np.testing.assert_allclose(turned, (basis.T * w) @ basis @ z[:, 0], atol=1e-9)
    np.testing.assert_allclose(fitted, products[:, 0], atol=1e-10)
    assert abs(z[:, 0] @ built.penalty(2.0) @ z[:, 0] - 2.0 * coef[:, 0] @ coef[:, 0]) <= 1e-9


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("n", "d", "c"), [(1, 1, 1), (63, 3, 1), (700, 16, 5), (5000, 17, 2)])
def test_products_of_the_core(n, d, c, dtype):
    rows, coef, values = (RNG.standard_normal(shape) for shape in ((n, d), (d, c), (n, c)))
    rows, mask = rows.astype(dtype), RNG.random(n) > 0.3
    wide, shards = rows.astype(float), [rows[: n // 2], rows[n // 2 :]]
    products, sums = _core.row_products(shards, None, coef, values, True)
    np.testing.assert_allclose(products, wide @ coef, atol=1e-9)
    np.testing.assert_allclose(sums, wide.T @ (values * (wide @ coef)), atol=1e-8)
    products, sums = _core.row_products(shards, mask, None, values, True)
    assert products.shape == (0, c)
    np.testing.assert_allclose(sums, wide[mask].T @ values[mask], atol=1e-9)
    if c == 1:
        hurt = rows.copy()
        hurt[n // 2, -1], mask[n // 2] = np.nan, True
        for asked in ((coef, None, False), (None, values, True), (0 * coef, 0 * values, True)):
            with pytest.raises(_core.NonFiniteRows) as error:
                _core.row_products([hurt[: n // 3], hurt[n // 3 :]], mask, *asked)
            assert error.value.args == (1, [n // 2])
        mask[n // 2] = False
        assert np.isfinite(_core.row_products([hurt], mask, coef, values, True)[1]).all()
        if dtype != np.float16:  # an overflow is no bad row
            huge = _core.row_products([np.full((3, d), np.finfo(dtype).max)], None, 1e300 * np.ones((d, 1)), None, True)
            assert np.isinf(huge[1]).all()
    scale = RNG.random(n)
    gram = _core.weighted_gram(shards, mask, scale)
    np.testing.assert_allclose(gram, (wide[mask].T * scale[mask] ** 2) @ wide[mask], atol=1e-9)
    _core.set_threads(1)
    once = _core.row_products(shards, mask, coef, values, True)[1].tobytes()
    _core.set_threads(4)
    four = _core.row_products([rows], mask, coef, values, True)[1].tobytes()
    _core.set_threads(0)
    assert once == four


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"p": 0.5}, "p must be >= 1, got 0.5"),
        ({"p": 3, "huber": 1.0}, "huber= replaces |r|^2 and goes with p=2, got p=3"),
        ({"p": np.inf, "eps": 0.1}, "eps= is a penalty of |prediction|^p"),
        ({"ridge": -1.0}, "ridge must be a finite number >= 0"),
        ({"y": B[:5]}, r"y must be (300,) or (300, targets), got shape (5,)"),
        ({"y": np.full(300, np.nan)}, "leave no row to fit"),
        ({"y": np.where(np.arange(300) == 3, np.inf, B)}, "got infinity in row 3"),
        ({"weights": -np.ones(300)}, "weights must be 300 finite numbers >= 0"),
        ({"X": np.where(np.arange(300)[:, None] == 9, np.nan, A)}, "X has 1 row with NaN or infinity: 9."),
    ],
)
def test_messages(change, words):
    with pytest.raises(InvalidInput) as error:
        lp_regression(**({"X": A, "y": B, "p": 2} | change))
    assert words in str(error.value)


def test_rows_without_label_are_never_read():
    rows = np.where((np.arange(300) < 40)[:, None], np.nan, A)
    targets = np.where(np.arange(300) < 40, np.nan, B)
    for p in (1.5, 2):
        fit = lp_regression(rows, targets, p)
        np.testing.assert_allclose(fit.coef, lp_regression(A[40:], B[40:], p).coef, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 5, 64, 130])
def test_small_dense_matrices_of_the_core(n):
    square = RNG.standard_normal((n, 2 * n))
    square = square @ square.T
    upper = _core.cholesky_inverse(square)
    assert not np.tril(upper, -1).any()
    np.testing.assert_allclose(upper.T @ square @ upper, np.eye(n), atol=1e-7)
    np.testing.assert_allclose(_core.congruence(square, upper), np.eye(n), atol=1e-7)
    assert _core.cholesky_inverse(-square) is None
    assert _core.cholesky_inverse(np.full((n, n), np.nan)) is None
    with pytest.raises(ValueError, match="matrix must be square"):
        _core.cholesky_inverse(np.ones((n, n + 1)))
