"""Contrastive losses and the queue against their definitions: values, gradients, and inputs that break naive ones."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pretraining needs torch")

from oneglance.pretraining.contrastive_losses import (  # noqa: E402
    NeighbourQueue,
    follow,
    info_nce,
    nnclr_loss,
    nt_xent,
    unit,
)
from oneglance.reference import contrastive as oracle  # noqa: E402


def drawn(n_rows, n_dims=5, seed=0, scale=1.0):
    return np.random.default_rng([n_rows, n_dims, seed]).normal(size=(n_rows, n_dims)) * scale


def with_zeros(rows):
    rows = rows.copy()
    rows[0] = 0
    return rows


PAIRS = {
    "two": (drawn(2), drawn(2, seed=1)),
    "plain": (drawn(17), drawn(17, seed=1)),
    "one-dimension": (drawn(6, 1), drawn(6, 1, 1)),
    "identical-rows": (np.ones((5, 3)), np.ones((5, 3))),
    "same-views": (drawn(9), drawn(9)),
    "opposite": (drawn(9), -drawn(9)),
    "huge": (drawn(7, scale=1e150), drawn(7, seed=1, scale=1e200)),
    "tiny": (drawn(7, scale=1e-150), drawn(7, seed=1, scale=1e-200)),
    "zero-row": (with_zeros(drawn(8)), drawn(8, seed=1)),
}


def close(found, wanted, tol):
    error = np.abs(np.asarray(found) - np.asarray(wanted)).max()
    assert error <= tol * max(1.0, np.abs(wanted).max()), error


def slope(function, x, step=1e-6):
    """Central differences, with steps in proportion to the row's length."""
    found = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        width = step * max(np.abs(x[place[0]]).max(), 1e-300)
        up, down = x.copy(), x.copy()
        up[place] += width
        down[place] -= width
        found[place] = (function(up) - function(down)) / (2 * width)
    return found


@pytest.mark.parametrize("temperature", [0.1, 1.0, 1e-3])
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(("loss", "definition"), [(nt_xent, oracle.nt_xent), (info_nce, oracle.info_nce)])
def test_losses_are_their_definitions(loss, definition, name, temperature):
    a, b = PAIRS[name]
    found = loss(torch.from_numpy(a), torch.from_numpy(b), temperature)
    close(found.item(), definition(a, b, temperature), 1e-12)


@pytest.mark.parametrize("name", [name for name in PAIRS if name not in ("zero-row", "identical-rows")])
@pytest.mark.parametrize(("loss", "definition"), [(nt_xent, oracle.nt_xent), (info_nce, oracle.info_nce)])
def test_gradients_are_those_of_the_definitions(loss, definition, name):
    a, b = (torch.from_numpy(rows).requires_grad_(True) for rows in PAIRS[name])
    loss(a, b, 0.5).backward()
    pair = PAIRS[name]
    for side, tensor in enumerate((a, b)):

        def value(rows, side=side):
            return definition(*(rows if i == side else pair[i] for i in range(2)), 0.5)

        length = np.abs(pair[side]).max(axis=1, keepdims=True)  # gradients fall as rows grow
        close(tensor.grad.numpy() * length, slope(value, pair[side]) * length, 1e-7)


@pytest.mark.parametrize("loss", [nt_xent, info_nce])
def test_rows_of_zeros_get_no_gradient_and_leave_the_others_theirs(loss):
    a = torch.from_numpy(PAIRS["zero-row"][0]).requires_grad_(True)
    loss(a, torch.from_numpy(PAIRS["zero-row"][1]), 0.1).backward()
    assert bool(torch.isfinite(a.grad).all())
    assert not a.grad[0].any()
    assert bool(a.grad[1:].any(dim=1).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_of_any_length_become_unit_rows(dtype):
    rows = torch.tensor([[3e30, 4e30], [3e-30, 4e-30], [0, 0], [-6, 8]], dtype=dtype)
    assert torch.allclose(unit(rows), torch.tensor([[0.6, 0.8], [0.6, 0.8], [0, 0], [-0.6, 0.8]], dtype=dtype))


def test_rows_all_alike_lose_the_logarithm_of_the_choices():
    same = torch.ones(6, 4, dtype=torch.float64)
    assert abs(nt_xent(same, same, 0.1).item() - math.log(11)) <= 1e-12
    assert abs(info_nce(same, same, 0.1).item() - math.log(6)) <= 1e-12


def filled_queue(length, batches):
    queue = NeighbourQueue(length, batches[0].shape[1]).double()
    for batch in batches:
        queue.push(torch.from_numpy(batch))
    return queue


@pytest.mark.parametrize("length", [1, 5, 12, 100])
def test_the_queue_keeps_the_newest_first(length):
    batches = [drawn(4, seed=s) for s in range(3)]
    expected = np.zeros((0, 5))
    for batch in batches:
        expected = oracle.pushed(expected, oracle.unit_rows(batch), length)
    queue = filled_queue(length, batches)
    assert int(queue.filled) == len(expected)
    close(queue.rows[: len(expected)].numpy(), expected, 1e-15)


@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("length", [3, 7, 64])
def test_nnclr_is_its_definition_with_queues_that_are_not_full_and_smaller_than_k(length, k):
    z = drawn(6), drawn(6, seed=1)
    predicted = tuple(torch.from_numpy(drawn(6, seed=s)).requires_grad_(True) for s in (2, 3))
    queue = filled_queue(length, [drawn(5, seed=4)])
    rows = queue.rows[: int(queue.filled)].numpy()
    asked = [np.random.default_rng(s).integers(0, k, 6) for s in range(2)]
    ranks = tuple(rank % min(k, len(rows)) for rank in asked)
    found = tuple(
        queue.positives(torch.from_numpy(view), k, torch.from_numpy(rank)) for view, rank in zip(z, asked, strict=True)
    )
    loss = nnclr_loss(predicted, found, 0.15)
    given = tuple(p.detach().numpy() for p in predicted)
    close(loss.item(), oracle.nnclr(z, given, rows, 0.15, ranks), 1e-12)
    loss.backward()
    for side in range(2):

        def value(changed, side=side):
            return oracle.nnclr(z, tuple(changed if i == side else given[i] for i in range(2)), rows, 0.15, ranks)

        close(predicted[side].grad.numpy(), slope(value, given[side]), 1e-7)


def test_an_empty_queue_gives_the_rows_themselves():
    z = torch.from_numpy(drawn(4))
    assert torch.equal(NeighbourQueue(8, 5).double().positives(z, 20), unit(z))


def test_positives_carry_no_gradient():
    z = torch.from_numpy(drawn(4)).requires_grad_(True)
    assert not filled_queue(8, [drawn(5)]).positives(z).requires_grad
    assert not NeighbourQueue(8, 5).double().positives(z).requires_grad


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.99, 1.0])
def test_followers_are_moving_averages(momentum):
    source, target = torch.nn.Linear(3, 2).double(), torch.nn.Linear(3, 2).double()
    values = [drawn(2, 3, seed=s) for s in range(4)]
    with torch.no_grad():
        target.weight.copy_(torch.from_numpy(values[0]))
    for value in values[1:]:
        with torch.no_grad():
            source.weight.copy_(torch.from_numpy(value))
        follow(target, source, momentum)
    close(target.weight.detach().numpy(), oracle.ema(values, momentum), 1e-15)
