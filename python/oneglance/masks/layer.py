"""The mask layer: scores decide which weights of a tensor are on; what is on is scaled up by 1 / sqrt(keep-rate).

    m_i = 1 if score_i > mu else 0,   r = max(mean of m, 1 / N),   effective weight_i = weight_i * m_i / sqrt(r)

Straight-through: the gradient of a score is that of its mask entry, through the keep-rate as well. With g the gradient
of the effective weights,

    dL/dscore_i = weight_i * g_i / sqrt(r)  -  1 / (2 N r^1.5) * sum_j weight_j * m_j * g_j

Source: Self-Masking Networks, arXiv 2409.07577, section 3. A tensor with nothing on has r = 1 / N, not 0: its effective
weights are 0 and its scores still get a gradient, so it can come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

START = 1.0
"""Every score at the start: nothing is masked. Only lr / START matters (theorems 1 and 2 of the paper)."""


def mask_divisor(mask: Tensor) -> Tensor:
    """sqrt(r) of a mask (any shape, bool), 0-d float32: computed in float64 and rounded once, as BitMask.divisor."""
    kept = torch.count_nonzero(mask).clamp(min=1).double()
    return (kept / mask.numel()).sqrt().float()


def apply_mask(weight: Tensor, mask: Tensor) -> Tensor:
    """weight * mask / sqrt(r), what the layer computes from scores; no gradient. Half types are divided in float32."""
    with torch.no_grad():
        return _divide(weight, mask, mask_divisor(mask))


def _divide(weight: Tensor, mask: Tensor, divisor: Tensor) -> Tensor:
    divided = weight.float() / divisor if weight.itemsize < 4 else weight / divisor
    return torch.where(mask, divided.to(weight.dtype), torch.zeros((), dtype=weight.dtype, device=weight.device))


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, scores: Tensor, mu: float) -> Tensor:
        mask = scores > mu
        divisor = mask_divisor(mask)
        effective = _divide(weight, mask, divisor)
        ctx.save_for_backward(weight, divisor, effective)
        return effective

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[None, Tensor, None]:
        weight, divisor, effective = ctx.saved_tensors
        (grad,) = grads
        if weight.itemsize < 4:  # the sum over a tensor is beyond float16
            weight, effective, grad = weight.float(), effective.float(), grad.float()
        through_rate = (effective * grad).sum() / (2 * weight.numel() * divisor * divisor)
        return None, (weight * grad).div_(divisor).sub_(through_rate), None


def masked_weight(weight: Tensor, scores: Tensor, mu: float = 0.0) -> Tensor:
    """The effective weights (same shape); differentiable in the scores, never in the frozen weight.

    Cost: four sweeps forward, three backward. Call it once per step and use the result in every forward pass of the
    step: gradients of all of them then meet at the one effective tensor.
    """
    out: Tensor = _StraightThrough.apply(weight.detach(), scores, mu)  # type: ignore[no-untyped-call]
    return out


def make_scores(weights: Mapping[str, Tensor], start: float = START) -> dict[str, Tensor]:
    """A score per weight, float32, all `start`."""
    return {
        name: torch.full_like(weight, start, dtype=torch.float32).requires_grad_(True)
        for name, weight in weights.items()
    }


def materialise(weights: Mapping[str, Tensor], scores: Mapping[str, Tensor], mu: float = 0.0) -> dict[str, Tensor]:
    """The effective tensors of all masked ones, for one step."""
    return {name: masked_weight(weights[name], scores[name], mu) for name in scores}


def masks_of(scores: Mapping[str, Tensor], mu: float = 0.0) -> dict[str, Tensor]:
    """Bool tensors on the CPU."""
    return {name: (value.detach() > mu).cpu() for name, value in scores.items()}


def keep_rates(masks: Mapping[str, Tensor]) -> dict[str, float]:
    """Share of weights that are on, per tensor."""
    return {name: int(torch.count_nonzero(mask)) / mask.numel() for name, mask in masks.items()}


def keep_rate(masks: Iterable[Tensor]) -> float:
    """Share of weights that are on in all tensors together."""
    kept = total = 0
    for mask in masks:
        kept += int(torch.count_nonzero(mask))
        total += mask.numel()
    return kept / max(1, total)
