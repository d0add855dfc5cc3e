"""Batch norms over the pictures of all processes, on CPU and GPU, so that several processes learn as one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .ranks import mean_of_ranks, world

_NORMS = nn.modules.batchnorm._BatchNorm


class _Mean(torch.autograd.Function):
    """The mean over processes. Gradients of losses that are averaged over processes are averaged as well."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return mean_of_ranks(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return mean_of_ranks(grads[0])


def _mean(value: Tensor) -> Tensor:
    found: Tensor = _Mean.apply(value)  # type: ignore[no-untyped-call]
    return found


def _normalise(norm: _NORMS, values: Tensor) -> Tensor:
    """norm(values) with the statistics of all processes' values, which must be equally many; running ones follow."""
    if not norm.training:
        return _own(norm, values)
    wide = values.float()
    dims = [dim for dim in range(wide.ndim) if dim != 1]
    shape = [1, -1] + [1] * (wide.ndim - 2)
    mean = _mean(wide.mean(dims))
    centred = wide - mean.view(shape)
    variance = _mean((centred * centred).mean(dims))
    if norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None:
        count = world() * wide.numel() // wide.shape[1]
        with torch.no_grad():
            norm.num_batches_tracked += 1
            share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean, share)
            norm.running_var.lerp_(variance * (count / max(1, count - 1)), share)
    out = centred * (variance + norm.eps).rsqrt().view(shape)
    if type(norm).forward is not _NORMS.forward:
        return _rest(norm, out.to(values.dtype))
    if norm.affine:
        out = out * norm.weight.view(shape) + norm.bias.view(shape)
    return out.to(values.dtype)


def _rest(norm: _NORMS, standard: Tensor) -> Tensor:
    """What a norm with a forward of its own does to standardised values (timm's have an activation): that forward in
    evaluation mode, for which mean 0 and variance 1 change nothing more."""
    kept = norm.running_mean, norm.running_var
    norm.running_mean = torch.zeros(standard.shape[1], device=standard.device)
    norm.running_var = torch.full_like(norm.running_mean, 1 - norm.eps)
    norm.training = False
    try:
        return _own(norm, standard)
    finally:
        norm.training = True
        norm.running_mean, norm.running_var = kept


def _own(norm: _NORMS, values: Tensor) -> Tensor:
    out: Tensor = type(norm).forward(norm, values)
    return out


@contextlib.contextmanager
def shared_norms(module: nn.Module) -> Iterator[None]:
    """Inside, the module's batch norms in training mode see all processes; with one process nothing changes."""
    norms = [part for part in module.modules() if isinstance(part, _NORMS)] if world() > 1 else []
    for norm in norms:
        norm.forward = partial(_normalise, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward
