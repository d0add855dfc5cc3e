"""ActiveFT: its gradient against finite differences, torch's autograd and the definition; its picks."""

import numpy as np
import pytest

import oneglance as og
from oneglance import _core
from oneglance.reference import activeft as reference

SHAPES = [(200, 7, 16), (50, 1, 5), (1000, 300, 24), (65, 63, 17), (40, 40, 3)]


@pytest.mark.parametrize(("n_rows", "n_theta", "n_dims"), SHAPES)
@pytest.mark.parametrize("kind", ["paper", "released"])
@pytest.mark.parametrize("tau", [0.07, 0.5])
def test_loss_and_gradient_are_those_of_the_definition(n_rows, n_theta, n_dims, kind, tau):
    rng = np.random.default_rng(n_rows)
    x, v = rng.normal(size=(n_rows, n_dims)).astype(np.float32), rng.normal(size=(n_theta, n_dims))
    loss, gradient = _core.activeft_gradient([x], v, kind, tau, 1.3)
    np.testing.assert_allclose(loss, reference.objective(x, v, kind, tau, 1.3), rtol=1e-6, atol=1e-5)
    expected = reference.gradient(x, v, kind, tau, 1.3)
    np.testing.assert_allclose(gradient, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["paper", "released"])
@pytest.mark.parametrize("n_theta", [5, 600])
@pytest.mark.parametrize("tau", [0.02, 0.005, 0.002])  # exp(1 / tau) still fits float64, but exp(-1 / tau) not float32
def test_small_temperatures_lose_nothing(kind, n_theta, tau):
    rng = np.random.default_rng(n_theta)
    x, v = rng.normal(size=(300, 8)).astype(np.float32), rng.normal(size=(n_theta, 8))
    v[0] = -v.mean(axis=0)  # far from most
    loss, gradient = _core.activeft_gradient([x], v, kind, tau, 1.3)
    assert loss == pytest.approx(reference.objective(x, v, kind, tau, 1.3), rel=1e-5)
    expected = reference.gradient(x, v, kind, tau, 1.3)
    np.testing.assert_allclose(gradient, expected, atol=1e-6 / tau * np.abs(expected).max())


def test_gradient_of_paper_by_finite_differences():
    rng = np.random.default_rng(1)
    x, v, h = rng.normal(size=(60, 6)), rng.normal(size=(5, 6)), 1e-6
    numeric = np.zeros_like(v)
    for place in np.ndindex(v.shape):
        step = np.zeros_like(v)
        step[place] = h
        numeric[place] = (reference.objective(x, v + step, "paper") - reference.objective(x, v - step, "paper")) / (
            2 * h
        )
    np.testing.assert_allclose(reference.gradient(x, v, "paper"), numeric, atol=1e-7)


@pytest.mark.parametrize("kind", ["paper", "released"])
def test_gradient_by_autograd(kind):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    x, v, tau = rng.normal(size=(80, 9)), rng.normal(size=(11, 9)), 0.2
    f = torch.nn.functional.normalize(torch.from_numpy(x), dim=1)
    free = torch.from_numpy(v).requires_grad_()
    theta = torch.nn.functional.normalize(free, dim=1)
    s = (f @ theta.T).max(dim=1)
    if kind == "paper":
        apart = (theta @ theta.T / tau).masked_fill(torch.eye(11, dtype=torch.bool), -torch.inf)
        loss = -s.values.mean() / tau + apart.logsumexp(dim=1).mean()
    else:
        z = (theta.detach() @ theta.T / tau).exp().sum(dim=0)
        loss = (torch.log(torch.exp(s.values / tau) + z[s.indices]) - s.values / tau).mean()
    loss.backward()
    np.testing.assert_allclose(reference.objective(x, v, kind, tau), loss.item(), rtol=1e-12)
    np.testing.assert_allclose(reference.gradient(x, v, kind, tau), free.grad.numpy(), atol=1e-12)


def adam(x, v, kind, n_iter, rate):
    """The plain loop on the definition's gradient."""
    mean, square = np.zeros_like(v), np.zeros_like(v)
    for t in range(1, n_iter + 1):
        g = reference.gradient(x, v, kind)
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g * g
        v = v - rate * (mean / (1 - 0.9**t)) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
    return v / np.linalg.norm(v, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["paper", "released"])
def test_the_fit_is_the_plain_loop(kind):
    """Bounds, blocks and threads change nothing but roundings."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 12)) + 3 * rng.normal(size=(10, 12))[rng.integers(0, 10, 300)]
    start = rng.permutation(300)[:20]
    found = og.activeft(x, 20, objective=kind, init=start, n_iter=40, learning_rate=0.01)
    unit = x[start] / np.linalg.norm(x[start], axis=1, keepdims=True)
    np.testing.assert_allclose(found.theta, adam(x, unit, kind, 40, 0.01), atol=1e-4)
    assert found.loss[-1] < found.loss[0]


def greedy_match(x, theta):
    cosine = theta @ (x / np.linalg.norm(x, axis=1, keepdims=True)).T
    chosen = []
    for row in cosine:
        row[chosen] = -np.inf
        chosen.append(int(row.argmax()))
    return chosen


@pytest.mark.parametrize("n_distinct", [400, 30, 1])
def test_rows_are_distinct_and_the_nearest_left(n_distinct):
    """With many equal rows the lists of neighbours run out, and are looked up again."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(n_distinct, 8))[rng.integers(0, n_distinct, 400)]
    found = og.activeft(x, 120, n_iter=3)
    assert np.unique(found.indices).size == 120
    expected = np.array(greedy_match(x, found.theta))
    np.testing.assert_array_equal(x[found.indices], x[expected])


def test_threads_change_no_byte():
    x = np.random.default_rng(5).normal(size=(3000, 33)).astype(np.float32)
    answers = []
    for n_threads in (1, 2, 3):
        _core.set_threads(n_threads)
        found = og.activeft(x, 50, n_iter=8, sample_rows=1000, seed=1)
        answers.append(found.indices.tobytes() + found.theta.tobytes() + found.loss.tobytes())
    _core.set_threads(0)
    assert len(set(answers)) == 1


def test_labelled_rows_stay_and_are_not_answered():
    x = np.random.default_rng(6).normal(size=(200, 5)).astype(np.float32)
    already = np.arange(0, 100, 3)
    mask = np.ones(200, dtype=bool)
    mask[150:] = False
    found = og.activeft(x, 20, already=already, mask=mask, n_iter=20)
    assert not np.isin(found.indices, already).any()
    assert (found.indices < 150).all()
    assert np.unique(found.indices).size == 20


def test_every_row_and_one_row():
    x = np.random.default_rng(7).normal(size=(20, 4))
    assert sorted(og.activeft(x, 20, n_iter=5).indices) == list(range(20))
    assert og.activeft(x, 1, n_iter=300, learning_rate=0.01).indices.size == 1
    assert og.activeft(x[:1], 1).indices.tolist() == [0]


def test_messages():
    x = np.random.default_rng(8).normal(size=(20, 4))
    for more, words in (
        ({"objective": "both"}, r"objective must be one of \['paper', 'released'\], got 'both'"),
        ({"init": "best"}, "init must be one of"),
        ({"init": [1, 2]}, "init must hold 3 rows that may be chosen, got 2"),
        ({"temperature": 0}, "temperature must be a finite number > 0"),
        ({"mask": np.arange(20) < 2}, "k is 3, but only 2 rows can be chosen"),
    ):
        with pytest.raises(og.InvalidInput, match=words):
            og.activeft(x, 3, **more)
    x[4] = 0
    with pytest.raises(og.InvalidInput, match="X has 1 row of zeros, which have no cosine: 4"):
        og.activeft(x, 3)
    x[4] = np.nan
    with pytest.raises(og.InvalidInput, match="X has 1 row with NaN or infinity: 4"):
        og.activeft(x, 3)


def test_settings_that_leave_float64_are_named_and_not_the_rows():
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    with pytest.raises(og.InvalidInput, match=r"temperature 1e-30, balance 1 and learning_rate 0.001 drive"):
        og.activeft(x, 5, temperature=1e-30, n_iter=3)
