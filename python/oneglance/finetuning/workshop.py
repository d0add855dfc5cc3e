"""Where recipes are carried out: the pool's pictures, the labelled ones, and the networks they start from."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .._types import IntArray
from ..adapt import fit_heads
from ..errors import InvalidInput
from ..features.backbones import Backbone
from ..features.progress import Callback
from ..masks.crops import Crops
from ..masks.evaluate import measure_statistics
from ..masks.job import Job
from ..masks.network import Network, statistics_of
from ..masks.pool import Opened
from ..masks.rules import choose_tensors
from ..masks.self_mask import SelfMask, load_mask
from .judging import Outputs, Variant
from .lora import merged, with_adapters
from .recipes import Recipe
from .settings import Tuning
from .train import Diverged, Lesson, tune
from .tunable import LinearHead, Tunable, interpolate

_BATCH = 256
_AT_REST = 4
"""Pictures without gradients that take the memory of one with them, at least."""


@dataclass(frozen=True, eq=False)
class Start:
    """A network before labels are used. features (m, d): of the labelled pictures; facts: how it was made."""

    backbone: Backbone
    features: npt.NDArray[np.float32]
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(eq=False)
class Workshop:
    """numbers (m,) on the pool's shelf and codes (m,) 0 .. n_classes - 1 of the labelled pictures.

    Make it while the pool is open: networks run on its device. starts are made when first asked for; checkpoint is the
    file that self-masking goes on from, callback hears of its progress.
    """

    pool: Opened
    numbers: IntArray
    codes: IntArray
    n_classes: int
    plan: Tuning
    crops: Crops
    checkpoint: Path | None = None
    callback: Callback | None = None
    starts: dict[str, Start] = field(default_factory=dict)
    _probes: dict[tuple[str, bytes], LinearHead] = field(default_factory=dict)

    @property
    def at_once(self) -> int:
        """Pictures per forward pass: fewer where a device is so small that batches are."""
        return min(_BATCH, _AT_REST * self.plan.batch_size)

    def start(self, name: str) -> Start:
        """The network that a recipe starts from. Raises InvalidInput, KeyboardInterrupt (a checkpoint is kept)."""
        if name not in self.starts:
            base = self.pool.net.backbone
            facts: dict[str, object] = {}
            if name == "adabn":
                base = self._with_statistics()
            if name == "self_mask":
                base, facts = self._self_masked()
            self.starts[name] = Start(base, self.features(base, self.numbers), facts)
        return self.starts[name]

    def outputs(self, recipe: Recipe, train: IntArray, held: IntArray, alphas: tuple[float, ...]) -> Outputs:
        """Logits of the held-out pictures (positions among the labelled ones) by a training on the others, for every
        variant of it, more careful ones first. alphas: of WiSE-FT, () without."""
        start = self.start(recipe.start)
        if recipe.training in ("probe", "mask"):
            rows, head = start.features, None
            if recipe.training == "mask":
                rows = self.features(self._masked(start.backbone, train), self.numbers)
                head = self.probe(rows[train], self.codes[train])
            head = head or self.start_probe(recipe.start, train)
            return Outputs((Variant(),), self._all_classes(head, head.logits(rows[held]), recipe.name)[None])
        found: dict[Variant, npt.NDArray[np.float32]] = {}
        if 0.0 in alphas:
            head = self.start_probe(recipe.start, train)
            found[Variant(0.0, 0)] = self._all_classes(head, head.logits(start.features[held]), recipe.name)
        for lr in self.plan.lr:
            self._train(recipe, lr, train, self._collect(recipe, held, lr, alphas, found))
        order = sorted(found, key=lambda v: (v.alpha or 0.0, v.steps or 0, v.lr or 0.0))
        return Outputs(tuple(order), np.stack([found[variant] for variant in order]))

    def final(self, recipe: Recipe, variant: Variant) -> tuple[Backbone, LinearHead, nn.Module | None]:
        """The network and head from all labels; for LoRA also the peft model before merging (its own copy)."""
        every = np.arange(len(self.numbers))
        start = self.start(recipe.start)
        if recipe.training == "probe" or variant.alpha == 0.0:
            return start.backbone, self.start_probe(recipe.start, every), None
        if recipe.training == "mask":
            network = self._masked(start.backbone, every)
            return network, self.probe(self.features(network, self.numbers), self.codes), None
        wanted = variant.steps or self.plan.steps
        net, before = self._train(recipe, variant.lr or self.plan.lr[0], every, lambda *at: at[-1] >= wanted)
        if variant.alpha is not None and variant.alpha < 1.0:
            net.load(interpolate(before, net.state(), variant.alpha))
        adapter = None
        if recipe.training == "lora":
            adapter = copy.deepcopy(net.module)
            net.backbone.module = merged(net.module)
        net.backbone.spec = f"{start.backbone.spec}, tuned by {recipe.name}"
        own = dict(start.backbone.module.named_parameters())
        for name, value in net.backbone.module.named_parameters():
            value.requires_grad_(own[name].requires_grad)
        return net.backbone, net.head(), adapter

    def probe(self, rows: npt.NDArray[np.float32], codes: IntArray) -> LinearHead:
        """The plain probe: og.fit_heads on rows at unit length, its penalty chosen inside these labels."""
        found = next(iter(fit_heads(rows, codes.tolist(), seed=self.plan.seed, calibrate=False).values()))
        return LinearHead(found.arrays["coef"], found.arrays["intercept"], np.unique(codes))

    def start_probe(self, name: str, train: IntArray) -> LinearHead:
        """That of a start's features; every recipe from there begins with it, so it is kept."""
        key = name, train.tobytes()
        if key not in self._probes:
            self._probes[key] = self.probe(self.start(name).features[train], self.codes[train])
        return self._probes[key]

    def features(self, backbone: Backbone, numbers: IntArray) -> npt.NDArray[np.float32]:
        """(m, d) of plain pictures by number on the shelf."""
        parts = torch.from_numpy(numbers).split(self.at_once)  # type: ignore[no-untyped-call]
        found = [backbone.features(self.pool.shelf.plain(part, self.pool.device)).numpy() for part in parts]
        rows = np.concatenate(found)
        if not np.isfinite(rows).all():
            raise Diverged(f'features of backbone "{backbone.name}" have NaN or infinity. Look at its weights.')
        return rows

    def _train(
        self, recipe: Recipe, lr: float, train: IntArray, at_stop: Callable[[Tunable, dict[str, Tensor], int], bool]
    ) -> tuple[Tunable, dict[str, Tensor]]:
        """A trained network, and its state before; at_stop(network, state before, steps) is called at every stop."""
        start = self.start(recipe.start)
        head = self.start_probe(recipe.start, train)
        if head.codes.size < 2:
            raise InvalidInput(f"recipe {recipe.name!r}: labels of one class only, at least two are needed.")
        module = with_adapters(start.backbone, self.plan) if recipe.training == "lora" else None
        net = Tunable(start.backbone, head, self.pool.device, module)
        before = net.state()
        lesson = Lesson(
            self.pool.shelf,
            self.numbers[train],
            np.searchsorted(head.codes, self.codes[train]),
            self.crops,
            start.backbone,
            _training(recipe, lr),
        )
        try:
            tune(net, lesson, recipe.training, lr, self.plan, after=lambda steps: at_stop(net, before, steps))
        except torch.OutOfMemoryError:
            raise InvalidInput(
                f"{_training(recipe, lr)}: the device has no memory for batches of {self.plan.batch_size} pictures. "
                "Lower batch_size / --batch-size, or take another device."
            ) from None
        return net, before

    def _collect(
        self,
        recipe: Recipe,
        held: IntArray,
        lr: float,
        alphas: tuple[float, ...],
        found: dict[Variant, npt.NDArray[np.float32]],
    ) -> Callable[[Tunable, dict[str, Tensor], int], bool]:
        numbers = self.numbers[held]

        def at_stop(net: Tunable, before: dict[str, Tensor], steps: int) -> bool:
            end = net.state() if alphas else {}
            wanted: list[float | None] = [alpha for alpha in alphas if alpha > 0.0]
            for alpha in wanted or [None]:
                if alpha is not None:
                    net.load(interpolate(before, end, alpha))
                logits = net.predict(self.pool.shelf, numbers, self.at_once)
                found[Variant(alpha, steps, lr)] = self._all_classes(net.head(), logits, _training(recipe, lr))
            if alphas:
                net.load(end)
            return False

        return at_stop

    def _all_classes(self, head: LinearHead, logits: npt.NDArray[np.floating], what: str) -> npt.NDArray[np.float32]:
        if not np.isfinite(logits).all():
            raise Diverged(f"{what} has diverged: its outputs have NaN or infinity. Lower lr, or raise l2_sp.")
        whole = np.full((len(logits), self.n_classes), -np.inf, dtype=np.float32)
        whole[:, head.codes] = logits
        return whole

    def _with_statistics(self) -> Backbone:
        base = self.pool.net.backbone
        found = measure_statistics(self.pool.net, self.pool.shelf, {}, self.pool.device)
        changed = copy.copy(base)
        changed.module = copy.deepcopy(base.module)
        with torch.no_grad():
            for name, value in statistics_of(changed.module).items():
                if not name.endswith("num_batches_tracked"):
                    value.copy_(found[name])
        changed.spec = f"{base.spec} with statistics of the pool"
        return changed

    def _self_masked(self) -> tuple[Backbone, dict[str, object]]:
        base = self.pool.net.backbone
        kept = None if self.checkpoint is None else self.checkpoint.with_suffix(".safetensors")
        if kept is not None and kept.exists():
            mask = load_mask(kept, base)
        else:
            job = self._mask_job(base, self.callback, epochs=self.plan.mask_epochs, seed=self.plan.seed)
            mask = job.run(self.pool, guard=False, checkpoint=self.checkpoint, what="self_mask")
            if kept is not None and self.checkpoint is not None:
                mask.save(kept)
                self.checkpoint.unlink(missing_ok=True)
        return mask.apply(base), {"keep_rate": mask.keep_rate}

    def _masked(self, base: Backbone, train: IntArray) -> Backbone:
        """The network under a mask trained on these labels, all of them."""
        if len(np.unique(self.codes[train])) < 2:
            raise InvalidInput("recipe 'mask': labels of one class only, at least two are needed.")
        n_steps = self.plan.steps * self.plan.batch_size
        epochs = max(1, round(n_steps / len(train)))
        job = self._mask_job(base, None, epochs=epochs, batch_size=self.plan.batch_size, seed=self.plan.seed)
        pool = self.pool if base is self.pool.net.backbone else _of(self.pool, base)
        known = (self.numbers[train], self.codes[train].astype(object))
        mask: SelfMask = job.run(pool, known=known, supervised=True, guard=False)
        adapted: Backbone = mask.apply(base)
        return adapted

    def _mask_job(self, base: Backbone, callback: Callback | None, **settings: object) -> Job:
        chosen, crops = choose_tensors(base.module), {"flip": self.crops.flip}
        return Job(base, chosen, crops=crops, callback=callback, held_out=0.0, settings=settings)


def _of(pool: Opened, base: Backbone) -> Opened:
    return Opened(Network(base), pool.shelf, pool.device, pool.ids, pool.folders, pool.words)


def _training(recipe: Recipe, lr: float) -> str:
    return f"recipe {recipe.name!r} with lr {lr:g}"
