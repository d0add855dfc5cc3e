"""Codes by Sinkhorn: finite on every finite input, and the loss that uses them."""

import math

import pytest

torch = pytest.importorskip("torch", reason="masks need torch")

from oneglance.masks.sinkhorn import sinkhorn_codes  # noqa: E402
from oneglance.masks.swav import Queue, SwavHead, swav_loss  # noqa: E402


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def are_codes(codes, n_rows):
    assert codes.shape[0] == n_rows
    assert bool(torch.isfinite(codes).all())
    assert float((codes.sum(dim=1) - 1).abs().max()) <= 1e-5
    assert float(codes.min()) >= 0


@pytest.mark.parametrize("eps", [1e-3, 0.03, 1.0, 1e-30])
@pytest.mark.parametrize(
    "scores",
    [
        torch.zeros(8, 3),  # all equal
        drawn(1, 5),  # one sample
        drawn(5, 1),  # one prototype
        torch.nn.functional.normalize(drawn(65, 16), dim=1),
        drawn(7, 4) * 1e6,  # as without unit length
        torch.tensor([[1e38, -1e38], [-1e38, 1e38]]),
        torch.eye(16)[torch.zeros(64, dtype=torch.long)],  # all samples at one prototype
        drawn(9, 20).half(),
    ],
    ids=["equal", "one-sample", "one-prototype", "cosines", "huge", "float32-limit", "collapsed", "half"],
)
def test_codes_are_finite_distributions(scores, eps):
    are_codes(sinkhorn_codes(scores, eps), len(scores))


def test_codes_are_those_of_the_published_loop():
    scores = torch.nn.functional.normalize(drawn(40, 12), dim=1)
    plan = torch.exp(scores / 0.05).T
    plan = plan / plan.sum()
    for _ in range(3):
        plan = plan / plan.sum(dim=1, keepdim=True) / 12
        plan = plan / plan.sum(dim=0, keepdim=True) / 40
    assert float((sinkhorn_codes(scores, 0.05) - (plan * 40).T).abs().max()) <= 1e-12


def test_many_iterations_use_all_prototypes_alike():
    codes = sinkhorn_codes(torch.nn.functional.normalize(drawn(60, 6), dim=1), 0.1, 200)
    assert float((codes.sum(dim=0) - 10).abs().max()) <= 1e-6


def test_equal_scores_give_even_codes_and_a_loss_of_ln_k():
    head = SwavHead(4, 3, 7, torch.Generator().manual_seed(0))
    with torch.no_grad():
        head.prototypes.copy_(head.prototypes[:1].expand(7, 3))
    views = [torch.nn.functional.normalize(drawn(5, 3, seed=v), dim=1).float() for v in range(4)]
    loss, use = swav_loss(head, views, 0.05, 0.1)
    loss = loss.detach()
    assert float(loss) == pytest.approx(math.log(7), abs=1e-5)
    assert use.tolist() == pytest.approx([1 / 7] * 7)


def test_loss_is_the_definition():
    head = SwavHead(4, 3, 6, torch.Generator().manual_seed(0))
    views = [head(drawn(5, 4, seed=v).float()) for v in range(5)]
    found, _ = swav_loss(head, views, 0.05, 0.1)
    total = 0.0
    for a in (0, 1):
        q = sinkhorn_codes(head.scores(views[a]).detach(), 0.05)
        for v in range(5):
            if v != a:
                p = torch.softmax(head.scores(views[v]) / 0.1, dim=1)
                total += -(q * p.log()).sum(dim=1).mean() / 4 / 2
    assert float(found.detach()) == pytest.approx(float(total.detach()), rel=1e-6)
    found.backward()
    assert float(head.prototypes.grad.abs().sum()) > 0


def test_queue_is_newest_first_and_used_only_when_full():
    queue = Queue(4, 2, torch.device("cpu"))
    assert not queue.ready
    for number in range(1, 4):
        queue.push([torch.full((2, 2), float(number)), torch.full((2, 2), -float(number))])
        assert queue.ready == (number >= 2)
    assert queue.rows[0, :, 0].tolist() == [3, 3, 2, 2]
    assert queue.rows[1, :, 0].tolist() == [-3, -3, -2, -2]
    none = Queue(0, 2, torch.device("cpu"))
    none.push([torch.ones(2, 2)] * 2)
    assert not none.ready


def test_queue_rows_join_the_transport():
    head = SwavHead(4, 3, 6, torch.Generator().manual_seed(0))
    views = [head(drawn(5, 4, seed=v).float()).detach() for v in range(3)]
    queue = Queue(10, 3, torch.device("cpu"))
    queue.push([torch.nn.functional.normalize(drawn(10, 3, seed=9 + a).float(), dim=1) for a in range(2)])
    with torch.no_grad():
        assert float(swav_loss(head, views, 0.05, 0.1, queue)[0]) != float(swav_loss(head, views, 0.05, 0.1)[0])
