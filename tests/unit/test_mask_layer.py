"""The mask layer: its gradient, and the two invariances of the paper to the bit."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="masks need torch")

from oneglance.masks.bits import apply_mask as packed_apply  # noqa: E402
from oneglance.masks.bits import pack_mask  # noqa: E402
from oneglance.masks.layer import (  # noqa: E402
    apply_mask,
    keep_rate,
    keep_rates,
    make_scores,
    mask_divisor,
    masked_weight,
    masks_of,
    materialise,
)

SHAPES = [(1,), (2,), (5,), (3, 2), (4, 3, 3, 3), (65, 1)]


def some(shape, seed, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def near(a, b, tol):
    assert a.shape == b.shape
    error = (a - b).abs().max().item() / max(1.0, b.abs().max().item())
    assert error <= tol, error  # False for NaN


def formula(weight, scores, g, mu=0.0):
    """Section 3 of the paper, one entry after the other."""
    n = weight.numel()
    w, s, g = weight.flatten().tolist(), scores.flatten().tolist(), g.flatten().tolist()
    m = [1.0 if value > mu else 0.0 for value in s]
    r = max(sum(m) / n, 1 / n)
    total = sum(a * b * c for a, b, c in zip(w, m, g, strict=True))
    grad = [a * c / r**0.5 - total / (2 * n * r**1.5) for a, c in zip(w, g, strict=True)]
    return torch.tensor(grad, dtype=torch.float64).reshape(weight.shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_is_the_papers_formula(shape):
    weight, scores, g = some(shape, 1), some(shape, 2).requires_grad_(True), some(shape, 3)
    masked_weight(weight, scores).backward(g)
    near(scores.grad, formula(weight, scores.detach(), g), 1e-7)  # sqrt(r) is rounded to float32


@pytest.mark.parametrize("shape", [(5,), (4, 3, 3, 3)])
def test_gradient_is_that_of_a_relaxed_mask_by_autograd_and_by_finite_differences(shape):
    weight, scores = some(shape, 1), some(shape, 2)
    target = some(shape, 3)

    def loss(mask):  # the mask as a real number
        return ((weight * mask / mask.mean().sqrt() - target) ** 2).sum() + (weight * mask).sum().sin()

    mask = (scores > 0).double()
    relaxed = mask.clone().requires_grad_(True)
    loss(relaxed).backward()
    steps = torch.empty_like(mask).flatten()
    for i in range(mask.numel()):
        up, down = mask.clone().flatten(), mask.clone().flatten()
        up[i] += 1e-5
        down[i] -= 1e-5
        steps[i] = (loss(up.reshape(shape)) - loss(down.reshape(shape))) / 2e-5
    live = scores.clone().requires_grad_(True)
    effective = masked_weight(weight, live)
    scaled = (scores > 0).double().mean().sqrt()
    # (weight * mask) = effective * sqrt(r); r depends on the scores too, so the same relaxed loss is built from both.
    mean = _Rate.apply(live)
    (((effective - target) ** 2).sum() + (effective * mean.sqrt()).sum().sin()).backward()
    near(scaled, mean.detach().sqrt(), 1e-15)
    near(live.grad, relaxed.grad, 1e-6)
    near(live.grad.flatten(), steps, 1e-5)


class _Rate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores):
        ctx.save_for_backward(scores)
        return (scores > 0).double().mean()

    @staticmethod
    def backward(ctx, grad):
        (scores,) = ctx.saved_tensors
        return torch.full_like(scores, float(grad) / scores.numel())


def test_a_mask_that_is_all_off_is_zero_finite_and_can_come_back():
    weight = some((7,), 1)
    scores = torch.full((7,), -1.0, dtype=torch.float64, requires_grad=True)
    effective = masked_weight(weight, scores)
    assert effective.abs().max() == 0
    effective.backward(weight)  # pulls every weight away from 0
    near(scores.grad, weight * weight * 7**0.5, 1e-7)
    assert (scores.detach() + scores.grad > -1).all()
    one = torch.tensor([-1.0, 2.0, -1.0])
    near(masked_weight(torch.ones(3), one), torch.tensor([0.0, 3**0.5, 0.0]), 1e-7)


def test_threshold_is_strict():
    assert not masked_weight(torch.ones(2), torch.zeros(2)).any()
    assert masks_of({"w": torch.tensor([0.0, 1e-30])})["w"].tolist() == [False, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_masked_weight_and_apply_mask_are_the_same_bits_in_every_type(dtype):
    weight, scores = some((33, 17), 1, dtype), some((33, 17), 2)
    found = masked_weight(weight, scores)
    assert found.dtype == dtype
    assert torch.equal(found, apply_mask(weight, scores > 0))
    if dtype in (torch.float32, torch.float16):
        packed = pack_mask(scores > 0)
        assert np.array_equal(found.numpy(), packed_apply(weight, packed))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_gradient_of_half_types_is_summed_in_float32(dtype):
    weight = torch.full((300, 300), 30.0, dtype=dtype)
    scores = make_scores({"w": weight})["w"]
    masked_weight(weight, scores).backward(torch.full_like(weight, 30.0))
    assert torch.allclose(scores.grad, torch.full((300, 300), 450.0), rtol=1e-3)  # 900 less half the mean of 900


def test_all_on_leaves_the_weights_as_they_are():
    weight = some((16, 3), 1, torch.float32)
    scores = make_scores({"w": weight})
    assert torch.equal(materialise({"w": weight}, scores)["w"], weight)
    assert float(mask_divisor(torch.ones(9, dtype=torch.bool))) == 1.0


def test_keep_rates():
    masks = {"a": torch.tensor([True, False]), "b": torch.ones(6, dtype=torch.bool)}
    assert keep_rates(masks) == {"a": 0.5, "b": 1.0}
    assert keep_rate(masks.values()) == 7 / 8


def train(start, lr, mu, decay=0.0, steps=60):
    """A three-layer net; masks after every step."""
    torch.manual_seed(0)
    weights = {str(i): torch.randn(a, b) / b**0.5 for i, (a, b) in enumerate([(16, 8), (16, 16), (4, 16)])}
    x, y = torch.randn(64, 8), torch.randint(0, 4, (64,))
    scores = make_scores(weights, start)
    optimiser = torch.optim.SGD(scores.values(), lr=lr, momentum=0.9, weight_decay=decay)
    seen = []
    for _ in range(steps):
        effective = materialise(weights, scores, mu)
        h = torch.relu(torch.relu(x @ effective["0"].T) @ effective["1"].T)
        loss = torch.nn.functional.cross_entropy(h @ effective["2"].T, y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(torch.cat([mask.flatten() for mask in masks_of(scores, mu).values()]))
    return torch.stack(seen)


def test_theorem_2_scores_and_rate_scale_together_to_the_bit():
    base = train(1.0, 20.0, 0.0)
    assert 0.3 < base[-1].float().mean() < 0.999
    for factor in (2.0, 0.25, 1024.0):
        assert torch.equal(base, train(factor, 20.0 * factor, 0.0))
    with_decay = train(1.0, 20.0, 0.0, decay=1e-3)
    assert torch.equal(with_decay, train(2.0, 40.0, 0.0, decay=5e-4))


def test_theorem_1_threshold_and_start_move_together():
    base = train(1.0, 20.0, 0.0)
    shifted = train(1.5, 20.0, 0.5)
    assert (base != shifted).float().mean() < 2e-3  # the sums round elsewhere
    # Gradients on a grid of powers of two make the sums exact, and then it holds to the bit.
    scores, moved = torch.ones(1000), torch.full((1000,), 1.5)
    step = torch.randint(-64, 65, (50, 1000), generator=torch.Generator().manual_seed(0)) / 512
    for g in step:
        scores -= g
        moved -= g
        assert torch.equal(scores > 0, moved > 0.5)
    assert torch.equal(train(1.0, 40.0, 0.5), train(0.5 * 2, 40.0, 0.5))
    assert torch.equal(train(2.0, 80.0, 1.0), train(1.0, 40.0, 0.5))  # both theorems together


def test_several_forwards_before_one_backward_add_up():
    weight, scores = some((6, 4), 1), some((6, 4), 2).requires_grad_(True)
    views = [some((5, 4), seed) for seed in (3, 4, 5)]
    effective = materialise({"w": weight}, {"w": scores})["w"]
    sum((view @ effective.T).pow(2).sum() for view in views).backward()
    together = scores.grad.clone()
    scores.grad = None
    for view in views:
        (view @ masked_weight(weight, scores).T).pow(2).sum().backward()
    near(together, scores.grad, 1e-12)
