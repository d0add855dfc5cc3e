"""A cascade: one mask for the whole pool (the dispatcher), and experts continued from it on parts of the pool.

Source: arXiv 2409.07577, section on cascades, with the control it lacks: the dispatcher whitened in the same way.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import positive_int
from .._types import Float64Array, IntArray
from ..errors import InvalidInput, StoreError
from ..evaluation.intervals import Interval, mean_interval
from ..features.backbones import Backbone, as_backbones
from ..features.listfile import Columns
from ..features.progress import Callback, as_callback
from ..store.files import make_folder, write_atomic
from .evaluate import features_of
from .guard import held_out_hits
from .job import Job
from .pool import Opened, opened
from .rules import choose_tensors
from .self_mask import SelfMask, load_mask
from .train import EVERY_S
from .whitening import Router, Whitening, fit_router, fit_whitening, scikit_learn

MODES = ("dispatcher", "conditional", "unconditional")
"""dispatcher: its features alone (the control). conditional: beside them those of the expert that a picture is sent to,
zeros for the others. unconditional: those of all experts. All of them whitened."""

_ROUTER = "router.npz"
_FEW = 8
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Cascade:
    """A dispatcher, its experts, the router between them and a whitening per mode.

    sizes   pictures that each expert was trained on      probe  features -> cross-validated accuracy with its interval,
                                                                 where labels were given: "base" and MODES
    """

    dispatcher: SelfMask
    experts: tuple[SelfMask, ...]
    router: Router
    whitenings: dict[str, Whitening]
    sizes: tuple[int, ...] = ()
    probe: dict[str, Interval] = field(default_factory=dict)

    def __repr__(self) -> str:
        dims = {mode: found.directions.shape[1] for mode, found in self.whitenings.items()}
        return f"Cascade({len(self.experts)} experts of {self.sizes} pictures, features {dims})"

    def embed(self, images: Any, mode: str = "conditional", *, device: Any = "auto") -> Float64Array:
        """(n, c) features of pictures; conditional ones cost two forward passes, unconditional ones 1 + experts.

        Raises InvalidInput: unknown mode, and pictures that cannot be used.
        """
        if mode not in MODES:
            raise InvalidInput(f"mode must be one of {list(MODES)}, got {mode!r}.")
        with opened(self._base, images, device=device, max_bad_fraction=0.0) as pool:
            return self.whitenings[mode](self._raw(pool, mode))

    def route(self, images: Any, *, device: Any = "auto") -> IntArray:
        """(n,) the expert that each picture is sent to."""
        with opened(self._base, images, device=device, max_bad_fraction=0.0) as pool:
            return self.router(_features(pool, self.dispatcher))

    def save(self, folder: str | os.PathLike[str]) -> dict[str, int]:
        """Writes dispatcher.safetensors, expert-0.safetensors ... (as differences from the dispatcher where that is
        shorter) and router.npz; returns bytes by file."""
        place = Path(folder)
        make_folder(place)
        n_bytes = {"dispatcher.safetensors": self.dispatcher.save(place / "dispatcher.safetensors").file_bytes}
        for number, expert in enumerate(self.experts):
            name = f"expert-{number}.safetensors"
            n_bytes[name] = expert.save(place / name, parent=self.dispatcher).file_bytes
        arrays: dict[str, npt.NDArray[Any]] = {
            "router.mean": self.router.whitening.mean,
            "router.directions": self.router.whitening.directions,
            "means": self.router.means,
            "factors": self.router.factors,
            "logs": self.router.logs,
            "facts": np.array(json.dumps({"version": _VERSION, "sizes": self.sizes})),
        }
        for mode, found in self.whitenings.items():
            arrays |= {f"{mode}.mean": found.mean, f"{mode}.directions": found.directions}
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=False, **arrays)
        write_atomic(place / _ROUTER, [stream.getvalue()])
        return {**n_bytes, _ROUTER: stream.getbuffer().nbytes}

    @property
    def _base(self) -> Backbone:
        if self.dispatcher.base is None:
            raise InvalidInput("the cascade has no base; use load_cascade(folder, model).")
        return self.dispatcher.base

    def _raw(self, pool: Opened, mode: str) -> Float64Array:
        first = _features(pool, self.dispatcher)
        if mode == "dispatcher":
            return first.astype(np.float64)
        parts = [first]
        sent = self.router(first)
        for number, expert in enumerate(self.experts):
            rows = np.arange(len(first)) if mode == "unconditional" else np.flatnonzero(sent == number)
            own = np.zeros_like(first)
            if rows.size:
                own[rows] = _features(replace(pool, shelf=pool.shelf.part(rows.tolist())), expert)
            parts.append(own)
        return np.concatenate(parts, axis=1).astype(np.float64)


def adapt_cascade(
    backbone: Any,
    images: Any,
    *,
    n_experts: int = 5,
    n_dims: int | None = None,
    n_router_dims: int = 20,
    labels: Any = None,
    tensors: Any = "auto",
    shortcut_norms: bool = False,
    crops: Mapping[str, Any] | None = None,
    n_classes: int | None = None,
    device: Any = "auto",
    compute: str = "auto",
    columns: Columns | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every_s: float = EVERY_S,
    keep_checkpoint: bool = False,
    max_bad_fraction: float = 0.1,
    workers: int | None = None,
    progress: bool | Callback = False,
    **settings: Any,
) -> Cascade:
    """A dispatcher for the whole pool, then experts, each continued from its scores, projection and prototypes on the
    pictures that a mixture of n_experts Gaussians sends to it, for as many steps as the dispatcher.

    n_dims         of the whitened features in each mode; default: the backbone's own, at most 128. The output matrix is
                   stored: (1 + n_experts) d x n_dims float16 are easily more than the masks
    n_router_dims  principal directions that the mixture sees; fewer for small pools
    labels         for `probe`: the accuracy of base, dispatcher and both embeddings, cross-validated
    checkpoint     folder for the checkpoints of all stages; the same call goes on from them; removed at the end
                   unless keep_checkpoint
    other arguments as for adapt_masks. A part of fewer than 8 pictures keeps the dispatcher's mask.
    Raises as adapt_masks, and MissingDependency without scikit-learn.
    """
    n_experts, n_router_dims = positive_int(n_experts, "n_experts"), positive_int(n_router_dims, "n_router_dims")
    n_dims = None if n_dims is None else positive_int(n_dims, "n_dims")
    scikit_learn()  # before the training, not after it
    (base,) = as_backbones([backbone])
    callback = as_callback(progress)
    chosen = choose_tensors(base.module, tensors, shortcut_norms=shortcut_norms)
    folder = None if checkpoint is None else Path(checkpoint)
    job = Job(
        base,
        chosen,
        crops=crops,
        n_classes=n_classes,
        compute=compute,
        every_s=checkpoint_every_s,
        callback=callback,
        settings=settings,
    )
    places = [None if folder is None else folder / f"{name}.pt" for name in ("dispatcher", *map(str, range(n_experts)))]
    with opened(
        base,
        images,
        device=device,
        columns=columns,
        max_bad_fraction=max_bad_fraction,
        workers=workers,
        callback=callback,
    ) as pool:
        if len(pool.shelf) < 2 * n_experts:
            raise InvalidInput(
                f"n_experts={n_experts} needs {2 * n_experts} pictures at least, got {len(pool.shelf)}. Take fewer "
                "experts, or more pictures."
            )
        known = pool.labels(labels)
        dispatcher = job.run(pool, known=known, checkpoint=places[0], what="dispatcher")
        seed = int(settings.get("seed", 0))
        features = _features(pool, dispatcher)
        router = fit_router(features, n_experts, n_router_dims, seed)
        sent = router(features)
        experts, sizes = [], []
        for number in range(n_experts):
            rows = np.flatnonzero(sent == number)
            sizes.append(int(rows.size))
            experts.append(_expert(job, pool, rows, dispatcher, places[number + 1], f"expert {number}"))
        cascade = Cascade(dispatcher, tuple(experts), router, {}, tuple(sizes))
        wanted = min(128, features.shape[1]) if n_dims is None else n_dims
        found = {}
        for mode in MODES:
            raw = cascade._raw(pool, mode)
            cascade.whitenings[mode] = fit_whitening(raw, wanted, seed)
            found[mode] = cascade.whitenings[mode](raw)
        if known is not None:
            numbers, classes = known
            found["base"] = features_of(pool.net, pool.shelf, {}, {}, pool.device).astype(np.float64)
            hits = held_out_hits({name: rows[numbers] for name, rows in found.items()}, classes, seed)
            cascade.probe.update({name: mean_interval(right) for name, right in (hits or {}).items()})
    for place in places:
        if place is not None and not keep_checkpoint:
            place.unlink(missing_ok=True)
    return cascade


def _expert(job: Job, pool: Opened, rows: IntArray, dispatcher: SelfMask, place: Path | None, what: str) -> SelfMask:
    if rows.size < _FEW:
        return dispatcher
    settings = dispatcher.report["settings"]
    epochs = max(1, round(len(pool.shelf) / rows.size * settings["epochs"]))
    fixed = {"epochs": epochs, "n_prototypes": settings["n_prototypes"], "n_projected": settings["n_projected"]}
    own = replace(job, settings={**job.settings, **fixed})
    part = replace(pool, shelf=pool.shelf.part(rows.tolist()))
    return own.run(part, start=dispatcher, guard=False, checkpoint=place, what=what)


def _features(pool: Opened, mask: SelfMask) -> npt.NDArray[np.float32]:
    module = pool.net.backbone.module
    return features_of(pool.net, pool.shelf, mask.tensors(module), mask.statistics(module), pool.device)


def load_cascade(folder: str | os.PathLike[str], model: Any) -> Cascade:
    """A cascade as saved. model: its base. Raises StoreError (missing, damaged), InvalidInput (another base)."""
    place = Path(folder)
    dispatcher = load_mask(place / "dispatcher.safetensors", model)
    try:
        with np.load(place / _ROUTER, allow_pickle=False) as arrays:
            kept = {name: arrays[name] for name in arrays.files}
        facts = json.loads(str(kept["facts"]))
        if facts["version"] != _VERSION:
            raise ValueError(f"version {facts['version']}, this oneglance reads {_VERSION}")
        whitenings = {mode: Whitening(kept[f"{mode}.mean"], kept[f"{mode}.directions"]) for mode in ("router", *MODES)}
        router = Router(whitenings.pop("router"), kept["means"], kept["factors"], kept["logs"])
    except Exception as error:  # zip's, zlib's and NumPy's errors
        raise StoreError(
            f"{place / _ROUTER} cannot be read ({type(error).__name__}: {error}). Save it again."
        ) from error
    experts = tuple(
        load_mask(place / f"expert-{number}.safetensors", model, parent=dispatcher)
        for number in range(len(router.means))
    )
    return Cascade(dispatcher, experts, router, whitenings, tuple(facts["sizes"]))
