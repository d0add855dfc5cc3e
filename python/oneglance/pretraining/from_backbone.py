"""Any backbone that embed takes, as an encoder to be trained on."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InvalidInput
from ..features.backbones import Backbone
from ..features.encoders import SmallResNet, SmallViT
from ..features.pattern_anatomy import block_stacks, final_norm
from ..features.pooling import has_channels_last, pick_output, pool_output, prefix_tokens

_NORMS = nn.modules.batchnorm._BatchNorm


class BackboneEncoder(nn.Module):
    """(B, C, H, W) -> (B, width): a copy of the backbone's module, its output pooled as embed pools it.

    Batch norms see the views while training; whatever else differs between training and use (dropout) stays as in use,
    so that a seed says all. Raises InvalidInput for modules that cannot be trained (TorchScript).
    """

    def __init__(self, backbone: Backbone, n_channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        if isinstance(backbone.module, torch.jit.ScriptModule):
            raise InvalidInput(
                f'start: backbone "{backbone.name}" is TorchScript, whose weights are fixed. Give the module, or a '
                "state dict as torchvision:NAME=FILE or timm:NAME=FILE."
            )
        self.backbone = copy.copy(backbone)
        self.module = copy.deepcopy(backbone.module).cpu().requires_grad_(True)
        self.backbone.module = self.module
        self._n_prefix = prefix_tokens(self.module)
        self.eval()
        self._channels, self._size = n_channels, size
        try:
            self.width = int(self._run(size).shape[1])
        except InvalidInput:  # several outputs, none that can be pooled
            raise
        except Exception as error:
            raise InvalidInput(
                f'start: backbone "{backbone.name}" does not run on pictures of shape {(n_channels, *size)} '
                f"({_first_line(error)}). Give its own size with size= / --size, and float32 weights."
            ) from error

    def train(self, mode: bool = True) -> BackboneEncoder:
        """Training mode for batch norms only."""
        super().train(False)
        self.training = mode
        for part in self.modules():
            if isinstance(part, _NORMS):
                part.training = mode
        return self

    def forward(self, pictures: Tensor) -> Tensor:
        name, pool = self.backbone.name, self.backbone.pool
        tensor, where = pick_output(self._answer(pictures), name, self.backbone.output, pool)
        return pool_output(tensor, name, where, pool, self._n_prefix, has_channels_last(self.module))[0]

    def takes(self, size: tuple[int, int]) -> bool:
        """Whether it runs on pictures of that size beside its own; transformers with fixed positions do not, nor do
        those whose windows shrink with a picture and stay small."""
        trial = copy.deepcopy(self)
        try:
            before = trial._run(self._size)
            trial._run(size)
            return torch.equal(trial._run(self._size), before)
        except Exception:  # each network has its own for a size that it does not take
            return False

    @torch.no_grad()
    def _run(self, size: tuple[int, int]) -> Tensor:
        first = next(iter(self.module.parameters()), None)
        mode = self.training
        try:
            out: Tensor = self.eval()(
                torch.zeros(2, self._channels, *size, device=None if first is None else first.device)
            )
            return out
        finally:
            self.train(mode)

    def _answer(self, pictures: Tensor) -> Any:
        return self.backbone.answer(pictures)


class TransformerEncoder(BackboneEncoder):
    """A transformer with one stack of blocks over (B, prefix + L, d) tokens (see features.pattern_anatomy): its patches
    can be hidden.

    Tokens that are not to be seen are taken out in front of the first block, behind embedding and positions.
    """

    def __init__(self, backbone: Backbone, n_channels: int, size: tuple[int, int]) -> None:
        super().__init__(backbone, n_channels, size)
        path, blocks = next(iter(block_stacks(self.module)))
        self.blocks: Any = blocks
        self._norm = final_norm(self.backbone, path)
        self._grid = self._look(n_channels, size)

    @property
    def norm(self) -> nn.Module | None:
        """Behind the last block, where there is one."""
        return None if self._norm is None else self.module.get_submodule(self._norm)

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches. Raises InvalidInput for another size than it was made for."""
        if tuple(size) != tuple(self._size):
            raise InvalidInput(f"pictures must be {self._size} here, got {size}.")
        return self._grid

    def tokens(self, pictures: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, 1 + L, width) behind the last norm: class token (or the patches' mean, where there is none), patches row
        after row."""
        with self._seeing(keep) as seen:
            self._answer(pictures)
        found = seen[-1] if self.norm is None else self.norm(seen[-1])
        patches = found[:, self._n_prefix :]
        first = found[:, :1] if self._n_prefix else patches.mean(dim=1, keepdim=True)
        return torch.cat([first, patches], dim=1)

    def standardised(self, pictures: Tensor) -> Tensor:
        """As they come: the backbone's preprocessing has standardised them."""
        return pictures

    @contextlib.contextmanager
    def _seeing(self, keep: Tensor | None) -> Iterator[list[Tensor]]:
        """Inside, the first block gets the kept patches only; what the last one returns is put into the list."""
        n_prefix = self._n_prefix
        seen: list[Tensor] = []

        def cut(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            tokens = given[0]
            if keep is None:
                return given
            chosen = tokens[:, n_prefix:].gather(1, keep.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
            return (torch.cat([tokens[:, :n_prefix], chosen], dim=1), *given[1:])

        def note(module: nn.Module, given: Any, out: Any) -> None:
            seen.append(out[0] if isinstance(out, tuple) else out)

        handles = [self.blocks[0].register_forward_pre_hook(cut), self.blocks[-1].register_forward_hook(note)]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    def _look(self, n_channels: int, size: tuple[int, int]) -> tuple[int, int]:
        """The grid, from one traced picture; a trial with half the patches must pass."""
        maps: list[tuple[tuple[int, ...], bool]] = []  # sides, and whether they cover what the convolution was given

        def note(conv: Any, given: tuple[Tensor], out: Tensor) -> None:
            sides = tuple(out.shape[2:])
            covered = tuple(side * step for side, step in zip(sides, conv.stride, strict=True))
            maps.append((sides, covered == tuple(given[0].shape[2:])))

        handles = [part.register_forward_hook(note) for part in self.module.modules() if isinstance(part, nn.Conv2d)]
        picture = torch.zeros(1, n_channels, *size)
        try:
            with torch.no_grad():
                n_patches = self.tokens(picture).shape[1] - 1
        finally:
            for handle in handles:
                handle.remove()
        grids = [(sides, whole) for sides, whole in maps if sides[0] * sides[1] == n_patches]
        if not grids:
            raise InvalidInput(
                f'start: the {n_patches} tokens of backbone "{self.backbone.name}" are no grid of patches that a '
                "convolution made. Take another method (swav, simclr, nnclr)."
            )
        (rows, columns), whole = grids[-1]
        if not whole or size[0] % rows or size[1] % columns:
            raise InvalidInput(
                f"start: pictures of {size} are more than the {rows} x {columns} patches of backbone "
                f'"{self.backbone.name}" cover. Give a multiple of its patches with size= / --size.'
            )
        try:
            with torch.no_grad():
                self.tokens(picture, torch.arange(max(1, n_patches // 2)).unsqueeze(0))
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            raise InvalidInput(
                f'start: backbone "{self.backbone.name}" does not run on a part of its patches ({_first_line(error)}); '
                "positions inside the attention are one reason. Take another method than mae."
            ) from None
        return rows, columns


def _first_line(error: Exception) -> str:
    """Kind and first line of an exception."""
    return f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"


def encoder_of(backbone: Backbone, n_channels: int, size: tuple[int, int], patches: bool) -> nn.Module:
    """An encoder around a copy of the backbone on the CPU; `patches`: its patches will be hidden. One of
    features.encoders is copied as it is.

    Raises InvalidInput for a network without such patches, with the cure.
    """
    own = backbone.module
    if isinstance(own, (SmallViT, SmallResNet)) and (isinstance(own, SmallViT) or not patches):
        if own.n_channels != n_channels:
            raise InvalidInput(
                f"start: the encoder takes {own.n_channels} channels, the pictures have {n_channels}. Give pictures "
                "with as many, or begin a new encoder without start= / --from."
            )
        return copy.deepcopy(own).cpu().requires_grad_(True)
    if not patches:
        return BackboneEncoder(backbone, n_channels, size)
    if len(list(block_stacks(backbone.module))) != 1:
        raise InvalidInput(
            f'method mae hides patches and needs a vision transformer with tokens, backbone "{backbone.name}" '
            f"({type(backbone.module).__name__}) is none. Take a transformer, or another method (swav, simclr, nnclr)."
        )
    return TransformerEncoder(backbone, n_channels, size)
