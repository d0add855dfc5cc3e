"""SelfMask: an adapted network as one bit per weight, its file, and the plain module it stands for."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..cuda.mask_bits import library_if_built
from ..errors import InvalidInput
from ..features.backbones import Backbone
from ..store.files import make_folder
from .bits import BitMask, pack_mask, unpack_mask
from .bits import apply_mask as apply_bits
from .hashes import weights_hash
from .layer import apply_mask
from .mask_file import MaskState, read_mask_file, write_mask_file
from .network import statistics_of
from .sizes import MaskSizes

if TYPE_CHECKING:
    from .guard import Verdict
    from .train import History

FILE = "mask.safetensors"
STATISTICS = ("stored", "re-estimate")
_HALF_ERROR = 1e-3


@dataclass(frozen=True, eq=False)
class SelfMask:
    """Which weights of a base network are on, and the batch norms' statistics that go with them.

    state      masks, statistics, metadata: what the file holds
    base_hash  hash of the base's parameters         verdict, history  of the training; None after loading
    scores, head   of the training, to continue from; None after loading      base  the backbone that is adapted
    """

    state: MaskState
    base_hash: str
    verdict: Verdict | None = None
    history: History | None = None
    scores: dict[str, Tensor] | None = None
    head: dict[str, Tensor] | None = None
    base: Backbone | None = None
    report: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        n = sum(mask.n_weights for mask in self.state.masks.values())
        verdict = "" if self.verdict is None else f", {'go' if self.verdict.go else 'no-go'}"
        return f"SelfMask({len(self.state.masks)} tensors, {n:,} weights, {self.keep_rate:.1%} kept{verdict})"

    @property
    def keep_rate(self) -> float:
        """Share of all masked weights that are on."""
        masks = self.state.masks.values()
        return sum(mask.kept for mask in masks) / max(1, sum(mask.n_weights for mask in masks))

    @property
    def keep_rates(self) -> dict[str, float]:
        """The same per tensor."""
        return {name: mask.keep_rate for name, mask in self.state.masks.items()}

    def masks(self) -> dict[str, Tensor]:
        """Bool tensors by parameter name."""
        return {name: _flags(mask) for name, mask in self.state.masks.items()}

    def apply(self, model: Any, images: Any = None) -> Any:
        """A copy of the base with the masked weights and the statistics inside: a plain module, for any use.

        model   the base: an nn.Module, or a Backbone (then a Backbone comes back); it stays as it is
        images  pictures to measure the batch norms' statistics on, where the file says "re-estimate"
        Raises InvalidInput for another base, naming both hashes, and where images are needed and not given.
        """
        module = model.module if isinstance(model, Backbone) else model
        self.check_base(module)
        adapted = copy.deepcopy(module)
        replaced = self.tensors(module)
        own = dict(adapted.named_parameters())
        with torch.no_grad():
            for name, value in replaced.items():
                own[name].copy_(value)
            for name, value in self.statistics(module).items():
                statistics_of(adapted)[name].copy_(value)
        result: Any = adapted
        if isinstance(model, Backbone):
            result = copy.copy(model)
            result.module = adapted
            result.spec = f"{model.spec} with a mask ({self.keep_rate:.1%} kept)"
        if self.state.metadata.get("bn") == "re-estimate":
            if images is None:
                raise InvalidInput(
                    "images are needed: this mask was saved without statistics of the batch norms. Give pictures of "
                    "the target pool, apply(model, images=folder)."
                )
            from .adabn import estimate_statistics

            estimate_statistics(result, images)
        return result

    def merge(self) -> Any:
        """apply() to the backbone that was adapted: the plain module with the same outputs."""
        if self.base is None:
            raise InvalidInput("merge() needs the base, and a loaded mask has none. Use apply(model).")
        return self.apply(self.base.module)

    def chosen(self) -> Any:
        """The adapted module where the verdict says go; otherwise, and in doubt, a copy of the base."""
        if self.base is None or self.verdict is None:
            raise InvalidInput("chosen() needs the base and a verdict, which a loaded mask has not. Use apply(model).")
        return self.merge() if self.verdict.go else copy.deepcopy(self.base.module)

    def check_base(self, module: nn.Module) -> None:
        """Raises InvalidInput unless the module's parameters are those of the base."""
        if not isinstance(module, nn.Module):
            raise InvalidInput(f"model must be a torch.nn.Module or a Backbone, got {type(module).__name__}.")
        found = hash_of(module)
        if found != self.base_hash:
            raise InvalidInput(
                f"model has weights with the hash {found}, the mask belongs to {self.base_hash}. "
                "Give the base as it was before adaptation."
            )
        self.check_statistics(module)

    def check_statistics(self, module: nn.Module) -> None:
        """Raises InvalidInput where the mask goes with the base's own batch norm statistics, and these are others."""
        wanted = self.state.metadata.get("base_statistics")
        found = None if wanted is None else _statistics_hash(module)
        if found != wanted:
            raise InvalidInput(
                f"model has batch norm statistics with the hash {found}, the mask was trained with {wanted} and frozen "
                "batch norms. Give the base as it was before adaptation."
            )

    def tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """The effective weights by parameter name, on the module's device."""
        own = dict(module.named_parameters())
        return {name: _masked(own[name].detach(), mask) for name, mask in self.state.masks.items()}

    def statistics(self, module: nn.Module) -> dict[str, Tensor]:
        """The batch norms' buffers that differ from the base's, on the module's device."""
        own = statistics_of(module)
        return {
            name: torch.as_tensor(np.array(value)).to(own[name].device, own[name].dtype)
            for name, value in self.state.buffers.items()
        }

    def save(
        self,
        path: str | PathLike[str],
        *,
        statistics: str = "stored",
        parent: SelfMask | None = None,
    ) -> MaskSizes:
        """Writes one file: `path` if it ends in .safetensors, else mask.safetensors in the folder `path`.

        statistics  "stored" (float16 where that is exact to 0.1 %), or "re-estimate": left out, to be measured on the
                    target pool by apply(model, images)
        parent      the mask that this one was continued from: what differs is stored where that is shorter
        Returns the sizes. Raises InvalidInput, StoreError.
        """
        if statistics not in STATISTICS:
            raise InvalidInput(f"statistics must be one of {list(STATISTICS)}, got {statistics!r}.")
        state = self.state
        if statistics == "re-estimate" and state.buffers:
            state = MaskState(state.masks, {}, {**state.metadata, "bn": "re-estimate"})
        if self.base is None:
            raise InvalidInput("save() needs the base, whose hash goes into the file. Load with the model given.")
        self.check_base(self.base.module)  # trained further since, it would pass for what the mask belongs to
        target = file_of(path)
        make_folder(target.parent)
        return write_mask_file(
            target,
            state,
            base_weights=dict(self.base.module.named_parameters()),
            parent=None if parent is None else parent.state,
        )

    save_pretrained = save

    @classmethod
    def from_pretrained(cls, path: str | PathLike[str], model: Any, *, parent: SelfMask | None = None) -> SelfMask:
        """load_mask under the name that peft and transformers use."""
        return load_mask(path, model, parent=parent)


def load_mask(path: str | PathLike[str], model: Any, *, parent: SelfMask | None = None) -> SelfMask:
    """A mask as saved.

    path    its file, or the folder with mask.safetensors      model  the base: an nn.Module, a Backbone, or a string
    parent  the mask it was saved against
    Raises StoreError (missing, damaged), InvalidInput (another base or parent, naming both hashes).
    """
    from ..features.backbones import as_backbones

    (base,) = as_backbones([model])
    weights = dict(base.module.named_parameters())
    state = read_mask_file(file_of(path), base_weights=weights, parent=None if parent is None else parent.state)
    there = {*weights, *statistics_of(base.module)}
    strange = [name for name in (*state.masks, *state.buffers) if name not in there]
    if strange:
        raise InvalidInput(f"model has no tensor {strange[0]!r}, which the mask at {path} is for.")
    loaded = SelfMask(state, hash_of(base.module), base=base)
    loaded.check_statistics(base.module)
    return loaded


def make_mask(
    base: Backbone,
    masks: Mapping[str, Tensor],
    statistics: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
    **facts: Any,
) -> SelfMask:
    """A SelfMask whose statistics are already rounded as its file will hold them."""
    buffers = {name: as_stored(value) for name, value in statistics.items() if not name.endswith("num_batches_tracked")}
    packed = {name: pack_mask(mask) for name, mask in masks.items()}
    facts_of_norms: dict[str, Any] = {"bn": "stored" if buffers else "base"}
    if not buffers and statistics_of(base.module):
        facts_of_norms["base_statistics"] = _statistics_hash(base.module)
    state = MaskState(packed, buffers, {**facts_of_norms, **metadata})
    return SelfMask(state, hash_of(base.module), base=base, **facts)


def _flags(mask: BitMask) -> Tensor:
    return torch.from_numpy(np.array(unpack_mask(mask)))


def _masked(weight: Tensor, mask: BitMask) -> Tensor:
    """The effective weight, where the weight is; to a device only the bits go."""
    if library_if_built(weight, "weight") is None:
        return apply_mask(weight, _flags(mask).to(weight.device))
    masked: Tensor = apply_bits(weight, mask)
    return masked


def as_stored(value: Tensor) -> np.ndarray[Any, Any]:
    """float16 where every value keeps 0.1 %, else float32."""
    exact = value.detach().float().cpu().numpy()
    with np.errstate(over="ignore"):
        half = exact.astype(np.float16)
    return half if bool((np.abs(half.astype(np.float32) - exact) <= _HALF_ERROR * np.abs(exact)).all()) else exact


def hash_of(module: nn.Module) -> str:
    """Of all parameters: the base's mark in the file."""
    return weights_hash(dict(module.named_parameters()))


def _statistics_hash(module: nn.Module) -> str:
    """Of the means and variances of the batch norms."""
    found = statistics_of(module).items()
    return weights_hash({name: value for name, value in found if not name.endswith("num_batches_tracked")})


def file_of(path: str | PathLike[str]) -> Path:
    """The file meant by a file's or a folder's name."""
    place = Path(path)
    return place if place.suffix == ".safetensors" else place / FILE
