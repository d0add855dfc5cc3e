"""Heads of several backbones together: predictions, their mean, calibration, files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._types import Float64Array
from ..errors import InvalidInput
from ..solvers.lp import as_weights
from .files import read_heads, write_heads
from .head import Head, softmax
from .named import as_named
from .temperature import best_temperature
from .uncertainty import spread_of, uncertainty_of


@dataclass(frozen=True, eq=False)
class Heads(Mapping[str, Head]):
    """One head per backbone, by name, in the order of the store.

    heads  backbone -> Head      task  "classification" or "regression"
    classes  (K,) or None, the same for all
    """

    heads: dict[str, Head]
    task: str
    classes: npt.NDArray[Any] | None

    def __getitem__(self, name: str) -> Head:
        if name not in self.heads:
            raise InvalidInput(f'there is no head for backbone "{name}". There are {list(self.heads)}.')
        return self.heads[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.heads)

    def __len__(self) -> int:
        return len(self.heads)

    def __repr__(self) -> str:
        return f"Heads({self.task}, {', '.join(f'{name}: {head.kind}' for name, head in self.heads.items())})"

    def only(self, backbones: Sequence[str]) -> Heads:
        """The heads of these backbones, in this order. Raises InvalidInput for one that is not there."""
        if not backbones:
            raise InvalidInput(f"backbones must name at least one of {list(self.heads)}.")
        return replace(self, heads={name: self[name] for name in backbones})

    def outputs(self, source: Any, *, rows: Any = None) -> dict[str, Float64Array]:
        """Per backbone (n, K): logits or predicted targets.

        source  a store or its path, a dict of arrays by backbone, or one array where there is one head
        rows    positions or a mask of what to predict; default all items, which must have features

        Raises InvalidInput for a missing backbone, another width, or a store whose backbone of this name was computed
        otherwise (model, preprocessing, pooling): both hashes are named.
        """
        return {name: self.heads[name].outputs(X, rows=rows) for name, X in self._features(source).items()}

    def _features(self, source: Any) -> dict[str, Any]:
        pool, hashes = as_named(source, None)
        if len(self) == 1 and list(pool.features) == ["features"]:  # one array for one head
            name = next(iter(self))
            pool, hashes = replace(pool, features={name: pool.features["features"]}), {name: hashes["features"]}
        if len(self) == len(hashes) == 1:  # a folder may have been renamed: what it holds is told by its hash
            (name, head), (other, found) = next(iter(self.heads.items())), next(iter(hashes.items()))
            if name != other and found and found == head.hash:
                pool, hashes = replace(pool, features={name: pool.features[other]}), {name: found}
        for name, head in self.heads.items():
            if name not in pool.features:
                raise InvalidInput(
                    f'{pool.where} has no backbone "{name}", only {list(pool.features)}. Embed with the backbone of '
                    f'the heads under that name: -b "SPEC?name={name}".'
                )
            width, found = pool.features[name].shape[1], hashes[name]
            if (found and head.hash and found != head.hash) or width != head.n_dims:
                raise InvalidInput(
                    f'backbone "{name}" of {pool.where} is another one than its head was fitted on: hash '
                    f"{(found or 'unknown')[:16]} and {width} columns, the head has {(head.hash or 'unknown')[:16]} "
                    f"and {head.n_dims}. Fit heads on this store, or embed with the same model and preprocessing."
                )
        return {name: pool.features[name] for name in self.heads}

    def predict_proba(self, source: Any, *, rows: Any = None) -> dict[str, Float64Array]:
        """Per backbone (n, K) probabilities. Raises as `outputs`, and for a regression."""
        self._classes  # noqa: B018  raises for a regression
        return {name: softmax(out) for name, out in self.outputs(source, rows=rows).items()}

    def predict(self, source: Any, *, rows: Any = None) -> dict[str, npt.NDArray[Any]]:
        """Per backbone: classes (n,), or targets (n, c)."""
        return {name: self._named(out) for name, out in self.outputs(source, rows=rows).items()}

    def ensemble(self, source: Any, *, rows: Any = None) -> Float64Array:
        """(n, K): the mean over backbones of the probabilities, or of the predicted targets."""
        if self.task == "regression":
            answers = list(self.outputs(source, rows=rows).values())
        else:
            answers = list(self.predict_proba(source, rows=rows).values())
        return np.asarray(np.mean(answers, axis=0))

    def predict_ensemble(self, source: Any, *, rows: Any = None) -> npt.NDArray[Any]:
        """Classes (n,) of the largest mean probability, ties to the lower one; or mean targets (n, c)."""
        return self._named(self.ensemble(source, rows=rows))

    def uncertainty(self, source: Any, kind: str = "entropy", *, rows: Any = None) -> Float64Array:
        """(n,) how unsure the heads are of every item, larger is less sure: what `select(priority=)` takes.

        kind  "entropy" or "margin" of the mean probabilities, or "disagreement" of the heads, each in [0, 1]. Of a
              regression: the standard deviation between the heads, whatever kind says

        Raises InvalidInput as `outputs`, for an unknown kind, and where one head alone cannot disagree.
        """
        if self.task == "regression":
            return spread_of(list(self.outputs(source, rows=rows).values()))
        return uncertainty_of(list(self.predict_proba(source, rows=rows).values()), kind)

    def _named(self, out: Float64Array) -> npt.NDArray[Any]:
        return out if self.classes is None else np.asarray(self.classes[out.argmax(axis=1)])

    @property
    def _classes(self) -> npt.NDArray[Any]:
        if self.classes is None:
            raise InvalidInput("heads of a regression have no probabilities. Use predict or ensemble.")
        return self.classes

    def calibrated(self, source: Any, labels: Any, *, rows: Any = None, weights: Any = None) -> Heads:
        """The same heads with the temperature of least log loss on labelled items that they were not fitted on.

        labels (n,) of the items or of `rows`, classes the heads have seen; weights (n,) >= 0. Raises InvalidInput.
        """
        truth = list(labels.tolist() if hasattr(labels, "tolist") else labels)
        code_of = {label: code for code, label in enumerate(self._classes.tolist())}
        unknown = [label for label in truth if label not in code_of]
        if unknown:
            raise InvalidInput(
                f"labels hold {unknown[0]!r}, which is no class of the heads. They have {list(code_of)[:8]}. "
                "Leave such items out with rows=."
            )
        codes = np.array([code_of[label] for label in truth], dtype=np.int64)
        weights = None if weights is None else as_weights(weights, len(codes), "weights")
        for head in self.heads.values():
            blank = np.flatnonzero(~head.seen[codes]) if head.seen is not None else codes[:0]
            if blank.size:
                raise InvalidInput(
                    f"labels hold {truth[blank[0]]!r}, of which the heads had no label: no temperature gives it a "
                    "chance. Leave such items out with rows=, or fit heads with a label of it."
                )
        cooled = {}
        for name, out in self.outputs(source, rows=rows).items():
            if len(out) != len(codes):
                raise InvalidInput(f"labels must have one entry per predicted item ({len(out)}), got {len(codes)}.")
            head = self.heads[name]
            t = best_temperature(out, codes, weights)
            cooled[name] = replace(head, temperature=head.temperature * t)
        return replace(self, heads=cooled)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Writes `heads.safetensors` and `heads.json` into the folder, each whole or not at all; returns the folder.

        Raises MissingDependency without safetensors, StoreError where it cannot write, InvalidInput for classes that
        are neither texts nor numbers nor booleans.
        """
        write_heads(Path(folder), self.heads, self.task, self.classes)
        return Path(folder)


def load_heads(folder: str | PathLike[str]) -> Heads:
    """Heads as saved: the same bytes of coefficients. Raises StoreError (missing, damaged), MissingDependency."""
    heads, task, classes = read_heads(Path(folder))
    return Heads(heads, task, classes)
