"""Go or no-go: is the adapted network better than the base, and is AdaBN alone as good? In doubt: no-go.

Adaptation without labels can lose (the paper's own tables show three sets of eight where it does, if one compares with
the base). Nothing without labels tells that for certain; a few labels do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .._types import BoolArray, Float64Array, FloatArray
from ..adapt import fit_heads
from ..adapt.classify import make_folds
from ..evaluation.intervals import Interval, mean_interval
from ..reference.suitability import rank_me

KEPT = (0.5, 0.999)
"""Keep-rates outside say that too much was cut, or that nothing was learnt."""

RANK_SHARE = 0.75
"""RankMe may fall to this share of the base's."""

LN_K_SHARE = 0.98
"""A loss above this share of ln K tells nothing apart."""

N_LOOKED_AT = 2000
_PENALTY, _FOLDS, _REPEATS, _FEW = 3e-4, 5, 5, 10
STATES = ("base", "adabn", "mask")


@dataclass(frozen=True)
class Verdict:
    """What was measured and what follows.

    go           use the adapted network      reasons  why or why not, one sentence each
    consistency  network -> share of pictures whose other view is nearest of all views (views from the same cuts)
    rank_me      network -> RankMe of the features
    probe        network -> cross-validated accuracy on the labelled pictures, with its interval; empty without labels
    gain, gain_over_adabn  of the mask in that accuracy, paired by picture; None without labels
    networks: "base", "adabn" (the base with batch norm statistics of the pool; absent without batch norms), "mask"
    """

    go: bool
    reasons: tuple[str, ...]
    keep_rate: float
    loss: float
    ln_k: float
    consistency: dict[str, float]
    rank_me: dict[str, float]
    probe: dict[str, Interval] = field(default_factory=dict)
    gain: Interval | None = None
    gain_over_adabn: Interval | None = None

    def __str__(self) -> str:
        lines = [f"{'go' if self.go else 'no-go'}: {' '.join(self.reasons)}"]
        for name in self.consistency:
            accuracy = ""
            if name in self.probe:
                found = self.probe[name]
                accuracy = f", accuracy {found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"
            lines.append(
                f"{name:>6}: view consistency {self.consistency[name]:.3f}, RankMe {self.rank_me[name]:.1f}{accuracy}"
            )
        lines.append(f"  kept {self.keep_rate:.1%}, loss {self.loss:.3f} of ln K = {self.ln_k:.3f}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Looked:
    """One network's features: of the plain pictures (n, d), and of two views of each."""

    plain: FloatArray
    views: tuple[FloatArray, FloatArray]


def judge(
    looked: Mapping[str, Looked],
    *,
    keep_rate: float,
    emptied: int,
    loss: float,
    ln_k: float,
    classes: npt.NDArray[np.generic] | None = None,
    labelled_features: Mapping[str, FloatArray] | None = None,
    supervised: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> Verdict:
    """The verdict.

    looked    network -> its features, "base" and "mask" at least, of the same pictures in the same order
    emptied   tensors whose weights are all off
    classes, labelled_features   (m,) and network -> (m, d): the labelled pictures, which the training must not have
                                 used as labelled
    With labels: go where the mask's accuracy is above the base's by more than chance and not below AdaBN's. Without:
    go where views became more consistent by more than chance, by the interval and by an exact sign test of the pictures
    that changed (a bootstrap takes four of four for certain), and RankMe, keep-rate and loss are as they should be.
    """
    hits = {name: view_hits(*found.views) for name, found in looked.items()}
    consistency = {name: float(found.mean()) if found.size else 0.0 for name, found in hits.items()}
    rank = {name: _rank(found.plain) for name, found in looked.items()}
    against = _faults(keep_rate, emptied, rank, None if supervised else loss, ln_k)
    probe: dict[str, Interval] = {}
    gain = over = None
    finite = {name: rows for name, rows in (labelled_features or {}).items() if np.isfinite(rows).all()}
    if not np.isfinite(looked["mask"].plain).all() or len(finite) < len(labelled_features or {}):
        against.append("Features are not finite.")
    if classes is not None and {"base", "mask"} <= set(finite):
        right = held_out_hits(finite, classes, seed)
        if right is not None:
            probe = {name: mean_interval(found, level=level) for name, found in right.items()}
            gain = mean_interval(right["mask"] - right["base"], level=level)
            over = mean_interval(right["mask"] - right["adabn"], level=level) if "adabn" in right else None
    reasons: list[str] = []
    if gain is not None:
        words = f"accuracy changes by {gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}) on {gain.n_values} labels"
        better = gain.low > 0
        reasons.append(f"{words}{'' if better else ', which is not a gain for certain'}.")
        if over is not None and over.high < 0:
            against.append("AdaBN alone is better.")
        elif over is not None and over.low <= 0:
            reasons.append("AdaBN alone is not told apart from it.")
    else:
        if classes is not None and {"base", "mask"} <= set(finite):
            reasons.append(f"Too few labels to judge by: {_FEW} in two classes with two each are needed.")
        change = _change(hits["base"], hits["mask"], level)
        better = change is not None and change.low > 0 and _sign_test(hits["base"], hits["mask"]) <= 1 - level
        if change is None:
            reasons.append("Fewer than three pictures say nothing.")
        else:
            reasons.append(
                f"View consistency changes by {change.mean:+.3f} ({change.low:+.3f} to {change.high:+.3f})"
                f"{'' if better else ', which is not a gain for certain'}; no labels to check it."
            )
    return Verdict(
        better and not against,
        (*reasons, *against),
        keep_rate,
        loss,
        ln_k,
        consistency,
        rank,
        probe,
        gain,
        over,
    )


def _faults(keep_rate: float, emptied: int, rank: Mapping[str, float], loss: float | None, ln_k: float) -> list[str]:
    found = []
    if not KEPT[0] <= keep_rate <= KEPT[1]:
        found.append(f"Kept {keep_rate:.2%} of the weights, outside {KEPT[0]:.0%} to {KEPT[1]:.1%}.")
    if emptied:
        found.append(f"{emptied} tensors are all off.")
    if rank["mask"] < RANK_SHARE * rank["base"]:
        found.append(f"RankMe fell from {rank['base']:.1f} to {rank['mask']:.1f}.")
    if loss is not None and loss > LN_K_SHARE * ln_k:
        found.append(f"The loss {loss:.3f} sits at ln K = {ln_k:.3f}: the prototypes tell nothing apart. Train longer.")
    return found


def _change(before: BoolArray, after: BoolArray, level: float) -> Interval | None:
    if before.size < 3:
        return None
    return mean_interval(after.astype(np.float64) - before.astype(np.float64), level=level)


def _sign_test(before: BoolArray, after: BoolArray) -> float:
    """Two-sided p of so many gains among the pictures that changed, were gain and loss equally likely."""
    gains, losses = int((after & ~before).sum()), int((before & ~after).sum())
    changed = gains + losses
    ways: int = sum(math.comb(changed, count) for count in range(gains, changed + 1))
    return min(1.0, float(2 * ways / (1 << changed)))


def _rank(features: FloatArray) -> float:
    """RankMe, Garrido et al. 2023 (arXiv 2210.02885); 0 for features that are all zero, or not finite."""
    return rank_me(np.asarray(features, dtype=np.float64)) if features.any() and np.isfinite(features).all() else 0.0


def view_hits(first: FloatArray, second: FloatArray) -> BoolArray:
    """(n,): is the nearest of all second views, by cosine, that of the same picture? Equal cosines count as a miss."""
    a, b = unit_rows(first), unit_rows(second)
    cosines = a @ b.T
    own = cosines.diagonal().copy()
    np.fill_diagonal(cosines, -np.inf)
    best = cosines.max(axis=1) if len(own) > 1 else np.full(1, -np.inf)
    return np.asarray(own > best)


def unit_rows(rows: FloatArray) -> Float64Array:
    """Rows at length 1; rows of zeros stay."""
    wide = np.asarray(rows, dtype=np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(length > 0, length, 1.0))


def held_out_hits(
    features: Mapping[str, FloatArray], classes: npt.NDArray[np.generic], seed: int
) -> dict[str, Float64Array] | None:
    """network -> (m,) how often each labelled picture was named rightly by heads fitted without it, over several
    divisions into folds, the same for all networks. None where there are too few labels.

    Linear heads on unit rows with the fixed penalty for few labels, og.fit_heads.
    """
    names, codes = np.unique(classes, return_inverse=True)
    if codes.size < _FEW or len(names) < 2:
        return None
    right = {name: np.zeros(codes.size) for name in features}
    seen = np.zeros(codes.size)
    stacked = {name: np.asarray(rows, dtype=np.float32) for name, rows in features.items()}
    for repeat in range(_REPEATS):
        folds = make_folds(codes.astype(np.int64), _FOLDS, seed + repeat)
        if folds is None:
            return None
        for fold in range(int(folds.max()) + 1):
            test = np.flatnonzero(folds == fold)
            known: list[int | None] = [None if folds[row] == fold else int(codes[row]) for row in range(codes.size)]
            heads = fit_heads(stacked, known, lambdas=_PENALTY, calibrate=False)
            for name, guess in heads.predict(stacked, rows=test).items():
                right[name][test] += guess == codes[test]
            seen[test] += 1
    judged = seen > 0
    if judged.sum() < _FEW:
        return None
    return {name: found[judged] / seen[judged] for name, found in right.items()}
