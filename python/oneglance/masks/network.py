"""A frozen backbone run with other tensors than its own; the module itself is never changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import InvalidInput
from ..features.backbones import Backbone
from ..features.pooling import has_channels_last, pick_output, pool_output, prefix_tokens

BN_MODES = ("train", "frozen", "adabn")
_NORMS = nn.modules.batchnorm._BatchNorm
_PREFIX = "module."


class _Called(nn.Module):
    """The module below a name of its own, called in the backbone's way."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.module = backbone.module
        self._answer = backbone.answer

    def forward(self, pictures: Tensor) -> Tensor:
        out: Tensor = self._answer(pictures)
        return out


class Network:
    """Features of a backbone under replaced tensors.

    Make it inside `features.backbones.running([backbone], device)`, which moves the module and gives it back.
    tensors     its own parameters, detached: nothing that runs here leaves a gradient in them
    statistics  names of the buffers of its batch norms
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self._called = _Called(backbone)
        self._n_prefix = prefix_tokens(backbone.module)
        self._channels_last = has_channels_last(backbone.module)
        self.tensors = {name: value.detach() for name, value in backbone.module.named_parameters()}
        self._buffers = {name: value.detach() for name, value in backbone.module.named_buffers()}
        self._norms = norms_of(backbone.module)
        self.statistics = tuple(statistics_of(backbone.module))

    @property
    def has_batch_norm(self) -> bool:
        return bool(self._norms)

    def copy_statistics(self) -> dict[str, Tensor]:
        """Copies of the batch norms' buffers, to be changed by forward passes in training mode."""
        return {name: self._buffers[name].clone() for name in self.statistics}

    def features(
        self,
        pictures: Tensor,
        replaced: Mapping[str, Tensor],
        statistics: Mapping[str, Tensor],
        compute: str = "float32",
    ) -> Tensor:
        """(B, C, H, W) -> (B, d) float32, differentiable in `replaced`; `statistics` are changed in place while
        batch norms are in training mode. compute: "float32" or "bfloat16" (autocast)."""
        given = {**self.tensors, **self._buffers, **replaced, **statistics}
        half = compute == "bfloat16"
        with torch.autocast(pictures.device.type, dtype=torch.bfloat16) if half else contextlib.nullcontext():
            answer = functional_call(self._called, {_PREFIX + name: value for name, value in given.items()}, pictures)
        tensor, where = pick_output(answer, self.backbone.name, self.backbone.output, self.backbone.pool)
        pooled, _ = pool_output(
            tensor, self.backbone.name, where, self.backbone.pool, self._n_prefix, self._channels_last
        )
        return pooled.float()

    @contextlib.contextmanager
    def norms_in_training(self, wanted: bool = True, momentum: float | str | None = "own") -> Iterator[None]:
        """Batch norms in training mode inside; `momentum` replaces theirs, None: plain mean over all batches."""
        before = [(norm, norm.training, norm.momentum) for norm in self._norms]
        try:
            for norm in self._norms:
                norm.training = wanted
                if not isinstance(momentum, str):
                    norm.momentum = momentum
            yield
        finally:
            for norm, training, own in before:
                norm.training, norm.momentum = training, own


def norms_of(module: nn.Module) -> list[_NORMS]:
    """Batch norms that keep running statistics."""
    return [part for part in module.modules() if isinstance(part, _NORMS) and part.running_mean is not None]


def statistics_of(module: nn.Module) -> dict[str, Tensor]:
    """running_mean, running_var and num_batches_tracked of every batch norm, by name."""
    found = {}
    for name, part in module.named_modules():
        if isinstance(part, _NORMS) and part.running_mean is not None:
            for key, value in part.named_buffers(recurse=False):
                found[f"{name}.{key}" if name else key] = value
    return found


def reset_statistics(statistics: Mapping[str, Tensor]) -> None:
    """Means 0, variances 1, nothing seen: the start of a plain mean over batches."""
    for name, value in statistics.items():
        value.fill_(1.0 if name.endswith("running_var") else 0)


def check_bn(bn: str) -> str:
    """One of BN_MODES. Raises InvalidInput."""
    if bn not in BN_MODES:
        raise InvalidInput(f"bn must be one of {list(BN_MODES)}, got {bn!r}.")
    return bn
