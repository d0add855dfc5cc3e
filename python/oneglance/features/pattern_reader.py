"""Patches, attention and ordinary features of a batch, by hooks in one forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..cuda.mask_bits import library_if_built
from ..errors import InvalidInput, OneglanceError
from ..store import PatternInfo
from .backbones import Backbone
from .pattern_anatomy import Anatomy, find_anatomy, unreachable
from .pattern_attention import batch_first, class_row, kind_of, matches, mean_attention
from .pattern_filter import Patches
from .pattern_spec import PatternSpec
from .pooling import pick_output


@dataclass
class _Caught:
    """What the hooks of one forward pass saw. Their errors wait here, else the network would seem to have failed."""

    rows: Tensor | None = None
    attention: Tensor | None = None
    fits: bool = True
    error: Exception | None = None


class PatternReader:
    """Reads the patches of one backbone. Modules must be running() already.

    backbone  spec       as given
    anatomy   where the patches are          n_dims      their width
    n_patches patches per picture of the picture that prepare() saw
    """

    def __init__(self, backbone: Backbone, spec: PatternSpec) -> None:
        self.backbone, self.spec = backbone, spec
        self.anatomy = Anatomy(None)
        self.n_dims = self.n_patches = 0

    def prepare(self, batch: Tensor, compute: str) -> None:
        """Finds the patches with a batch of one picture, and measures that the attention is read right.

        Two forward passes. Raises InvalidInput for a network whose patches or attention cannot be had.
        """
        self.anatomy = find_anatomy(self.backbone, self.spec, batch, compute)
        self.n_dims = 0
        _, patches = self._run(batch, compute, check=True)
        self.n_patches, self.n_dims = patches.rows.shape[1], patches.rows.shape[2]

    def info(self, dtype: str) -> PatternInfo:
        """For the manifest; after prepare()."""
        words = f"{self.anatomy.words()}; {self.spec.words(self.anatomy.attention is not None)}"
        return PatternInfo(words, self.n_dims, self.spec.n_patterns, dtype)

    def read(self, batch: Tensor, compute: str = "float32") -> tuple[Tensor, Patches]:
        """(features (N, d) as Backbone.features gives them, patches) of a batch, in one forward pass.

        Raises what Backbone.features raises, and InvalidInput where the hooked modules behave otherwise than
        with prepare()'s picture. The hooks are gone afterwards, also after an error.
        """
        return self._run(batch, compute, check=False)

    def _run(self, batch: Tensor, compute: str, check: bool) -> tuple[Tensor, Patches]:
        caught = _Caught()
        with self._hooked(caught, check):
            result = self.backbone.forward(batch, compute)
        if caught.error is not None:
            self._refuse(caught.error)
        with torch.inference_mode():
            if self.anatomy.patches is None:
                tensor, _ = pick_output(result, self.backbone.name, self.backbone.output, self.backbone.pool)
                self._keep(caught, tensor, None, None)
            rows, attention = self._checked(caught, len(batch))
            found = Patches(rows, attention)
            if library_if_built(rows, "patches") is None:
                found = found.on_host()
        return self.backbone.pooled(result, batch), found

    def _checked(self, caught: _Caught, n_pictures: int) -> tuple[Tensor, Tensor | None]:
        name, anatomy = self.backbone.name, self.anatomy
        for value, path in ((caught.rows, anatomy.patches), (caught.attention, anatomy.attention)):
            if value is None and path is not None:
                raise InvalidInput(
                    f'patterns of backbone "{name}": its {path!r} was not called as a Python module in the forward '
                    "pass (a compiled or fused path?). Pass the plain module, or name others with "
                    "Backbone(..., hooks=PatternHooks(...))."
                )
        if caught.rows is None:
            raise RuntimeError("no patches")
        if not caught.fits:
            raise unreachable(
                self.backbone,
                f"attention times values of {anatomy.attention!r}, computed from its projections, is not what it "
                "returned; it has a bias, mask or layer that is not known here",
            )
        rows, attention = caught.rows, caught.attention
        shape = tuple(rows.shape)
        if rows.shape[0] != n_pictures or rows.shape[1] == 0 or rows.shape[2] != (self.n_dims or rows.shape[2]):
            raise InvalidInput(
                f'patterns of backbone "{name}": {n_pictures} pictures gave patches of shape {shape}, '
                f"({n_pictures}, at least 1, {self.n_dims or 'd'}) is needed. Name the modules with "
                "Backbone(..., hooks=PatternHooks(...))."
            )
        if attention is not None and attention.shape != rows.shape[:2]:
            raise unreachable(self.backbone, f"it has shape {tuple(attention.shape)}, its patches {shape}")
        return rows, attention

    @contextlib.contextmanager
    def _hooked(self, caught: _Caught, check: bool) -> Iterator[None]:
        module, anatomy = self.backbone.module, self.anatomy
        with contextlib.ExitStack() as handles:
            if anatomy.patches is not None:
                self._hook_patches(handles, module, caught)
            if anatomy.attention is not None:
                self._hook_attention(handles, module.get_submodule(anatomy.attention), caught, check)
            yield

    def _hook_patches(self, handles: contextlib.ExitStack, module: nn.Module, caught: _Caught) -> None:
        anatomy = self.anatomy
        part = module.get_submodule(anatomy.patches or "")
        norm = module.get_submodule(anatomy.norm) if anatomy.norm is not None else None
        attention = module.get_submodule(anatomy.attention) if anatomy.attention is not None else None
        if attention is None:  # tokens may stand before pictures all the same
            attention = next((inner for inner in part.modules() if kind_of(inner) is not None), None)

        def taken(_: nn.Module, args: tuple[Any, ...]) -> None:
            self._guard(caught, lambda: self._keep(caught, args[0], norm, attention))

        def given(_: nn.Module, __: Any, output: Any) -> None:
            self._guard(caught, lambda: self._keep(caught, output, norm, attention))

        if anatomy.of_input:
            handles.enter_context(part.register_forward_pre_hook(taken))
        else:
            handles.enter_context(part.register_forward_hook(given))

    def _hook_attention(self, handles: contextlib.ExitStack, part: nn.Module, caught: _Caught, check: bool) -> None:
        def seen(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            def keep() -> None:
                caught.attention = mean_attention(part, args, kwargs, self.anatomy.n_prefix)
                if check:
                    row = class_row(part, args, kwargs, values=True)
                    caught.fits = matches(part, row, args, kwargs, output)

            self._guard(caught, keep)

        handles.enter_context(part.register_forward_hook(seen, with_kwargs=True))

    def _keep(self, caught: _Caught, value: Any, norm: nn.Module | None, attention: nn.Module | None) -> None:
        """Computed here and now: a later layer may write over its input."""
        tensor = value[0] if isinstance(value, (tuple, list)) else value
        shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
        if isinstance(tensor, Tensor) and tensor.ndim == 4:
            rows = tensor if self.anatomy.channels_last else tensor.permute(0, 2, 3, 1)
            caught.rows = rows.flatten(1, 2).float()
        elif isinstance(tensor, Tensor) and tensor.ndim == 3 and not self.anatomy.is_map:
            rows = tensor if attention is None else batch_first(tensor, attention)
            rows = rows[:, self.anatomy.n_prefix :]
            if norm is not None:
                with torch.autocast(rows.device.type, enabled=False):
                    rows = norm(rows.to(next((weight.dtype for weight in norm.parameters()), rows.dtype)))
            caught.rows = rows.float().contiguous()
        else:
            need = "a map (N, C, h, w)" if self.anatomy.is_map else "tokens (N, T, d)"
            raise ValueError(f"{self.anatomy.patches or 'its output'} holds {shape}, {need} is needed")

    def _guard(self, caught: _Caught, action: Callable[[], None]) -> None:
        try:
            action()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            caught.error = caught.error or error

    def _refuse(self, error: Exception) -> None:
        if isinstance(error, OneglanceError):
            raise error
        first = str(error).strip().split("\n")[0]
        raise unreachable(self.backbone, first) from error
