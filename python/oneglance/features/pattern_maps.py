"""The last feature map of a convolutional network, found by tracing one picture through it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .backbones import Backbone

_GLOBAL_POOLS = ("AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "SelectAdaptivePool2d", "FastAdaptiveAvgPool", "AvgPool2d")
_WEIGHED = (nn.Linear, nn.Conv1d, nn.Conv2d)
_MOST_LATER = 4  # layers with weights after the map: the longest usual classifier (VGG) has three


@dataclass
class Call:
    """One module's last call in a traced pass: shapes of its first input and output, () where they are no tensors,
    and when it began and ended."""

    path: str
    module: nn.Module
    began: int
    ended: int = -1
    taken: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()

    @property
    def is_convolution(self) -> bool:
        return isinstance(self.module, nn.Conv2d)

    @property
    def is_spatial(self) -> bool:
        """A map with more than one position."""
        return len(self.shape) == 4 and self.shape[2] * self.shape[3] > 1

    @property
    def is_global_pool(self) -> bool:
        """From a map to one value per channel."""
        pools = type(self.module).__name__ in _GLOBAL_POOLS and len(self.taken) == 4
        return pools and (len(self.shape) == 2 or self.shape[2:] == (1, 1))


def trace(backbone: Backbone, batch: Tensor, compute: str) -> tuple[list[Call], Any]:
    """(calls in the order in which they ended, what the network returned). The hooks are gone afterwards.

    TorchScript runs without Python and shows nothing but its output.
    """
    calls: dict[str, Call] = {}
    clock = iter(range(1 << 62))

    def begin(path: str, part: nn.Module) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            calls[path] = Call(path, part, next(clock), taken=_shape(args[0]) if args else ())

        return hook

    def end(path: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            calls[path].ended, calls[path].shape = next(clock), _shape(output)

        return hook

    with contextlib.ExitStack() as handles:
        for path, part in backbone.module.named_modules():
            if not isinstance(part, torch.jit.ScriptModule):
                handles.enter_context(part.register_forward_pre_hook(begin(path, part)))
                handles.enter_context(part.register_forward_hook(end(path)))
        result = backbone.forward(batch, compute)
    return sorted((call for call in calls.values() if call.ended >= 0), key=lambda call: call.ended), result


def _shape(value: Any) -> tuple[int, ...]:
    if isinstance(value, (tuple, list)) and value:
        value = value[0]
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def find_map(calls: list[Call]) -> tuple[str, bool] | None:
    """(path, True if the map is the module's input) of the last map before the pooling; None if there is none.

    The input of the last global pooling, unless a map with more than one position follows it (then that pooling
    belongs to a squeeze-and-excitation gate): else the last such map. None if more than a classifier follows: an
    MLP mixer has a map only before its first block.
    """
    spatial = [call for call in calls if call.is_spatial]
    pools = [call for call in calls if call.is_global_pool]
    if pools and not (spatial and spatial[-1].ended > pools[-1].ended):
        chosen, of_input, at = pools[-1], True, pools[-1].began
    elif spatial:
        chosen, of_input, at = spatial[-1], False, spatial[-1].ended
    else:
        return None
    later = [call for call in calls if call.began > at and isinstance(call.module, _WEIGHED)]
    return (chosen.path, of_input) if len(later) <= _MOST_LATER else None
