"""Strategy "lewis": one weighted sample that serves several backbones at once (Huang et al., ICLR 2024)."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from .._check import positive_int, positive_number
from .._types import BoolArray, Float64Array, FloatArray, IntArray, RowShards
from ..errors import InvalidInput
from ..linalg import LewisWeights, lewis_weights
from ..store.files import digest
from .agreement import coherence_total, kappa, largest
from .drawing import drawn
from .joint import joint_space
from .principal import principal_coordinates
from .request import Picks, Request
from .sampling import SAMPLERS
from .unusable import unusable_rows

_PLACES = 8
"""Directions along which "pivotal" spreads. 16 or 32 of real features estimated losses no better, or worse."""


class NotConverged(UserWarning):
    """Lewis weights stopped short of their tolerance; the selection is made, its certificate says so."""


def lewis(
    request: Request,
    *,
    p: float = 2.0,
    tol: float = 1e-3,
    max_passes: int = 100,
    ridge: float = 0.0,
    combine: str = "max",
    sampler: str = "bernoulli",
) -> Picks:
    """Samples items in proportion to their largest l_p Lewis weight over the backbones.

    p           the norm of the loss the heads will minimise, > 0; 2 (squares) gives leverage scores
    tol         bound asked of the certificate of the weights. Sampling is unbiased whatever they are, and its theory
                holds with weights that are wrong by a constant factor; 1e-3 is more than it needs
    max_passes  most readings of the features per backbone
    ridge       lambda >= 0 of ridge heads, in the units of A'A for p = 2
    combine     "max" (the paper: serves every backbone), "mean", or "single:NAME" (that backbone only)
    sampler     "bernoulli" (probability min(1, c w_i), exactly the budget), "pivotal" (the same probabilities, spread
                over the features: the joint space of strategy "kernel" in its 8 main directions), "paper"
                (Algorithm 1) or "unbiased" (the same draws, with weights that have no bias)

    Weights are computed on the candidates only: the valid, unlabelled, not excluded rows. scores are the
    combined Lewis weights. With a priority the draw is in proportion to their product; with groups or costs see
    sampling.capped and sampling.priced (sampler "bernoulli" only). A backbone that stops short of tol warns with
    NotConverged. The certificate holds, per backbone, rank, passes, residual, converged, precision and condition;
    T = sum_i max_j w_i beside its bound min(sum of ranks, n); and kappa at 10 % (spread of agreement between
    backbones).
    Cost: the passes of lewis_weights per backbone, then O(n log n).
    """
    if sampler not in SAMPLERS:
        raise InvalidInput(f"sampler must be one of {list(SAMPLERS)}, got {sampler!r}.")
    if not request.pool.features:
        raise InvalidInput(
            f'strategy "lewis" needs global features, and {request.pool.where} holds patterns only. '
            'Use strategy="freesel", or give one row of features per item.'
        )
    features = _chosen(request.pool.features, combine)
    n_candidates = int(np.count_nonzero(request.candidates))
    settings: dict[str, Any] = {"p": p, "tol": tol, "max_passes": max_passes, "ridge": ridge}
    key = ("lewis", *features, *settings.values(), digest(request.candidates.tobytes()))
    results = request.pool.kept.get(key) or backbone_weights(features, request.candidates, request.note, **settings)
    if all(result.converged for result in results.values()):  # others warn every time
        request.pool.kept[key] = results
    weights = [result.weights for result in results.values()]
    combined = np.mean(weights, axis=0) if combine == "mean" else largest(weights)
    points = _places(request, features) if sampler == "pivotal" else None
    samples = drawn(request, combined, sampler=sampler, points=points)
    indices = np.concatenate([sample.indices for sample in samples])
    inclusion = np.concatenate([sample.inclusion_prob for sample in samples])
    certificate = weights_certificate(features, results, request.candidates)
    if sampler in ("paper", "unbiased"):
        certificate["n_draws"] = int(sum(sample.n_draws or 0 for sample in samples))
    request.note(f"drew {indices.size} of {n_candidates} items")
    return Picks(
        indices,
        np.concatenate([sample.weights for sample in samples]),
        inclusion,
        combined[indices],
        _reasons(results, combined, indices, inclusion),
        certificate,
    )


def _places(request: Request, features: dict[str, RowShards]) -> FloatArray:
    """(n_items, k): the candidates' places along which "pivotal" spreads; kept for further selections."""
    key = ("places", *features, digest(request.candidates.tobytes()))
    if key not in request.pool.kept:
        request.note(f"main directions of {'+'.join(features)} ...")
        space = joint_space(replace(request.pool, features=features), request.candidates, request.note)
        request.pool.kept[key] = principal_coordinates(space.rows, request.candidates, _PLACES)
    return np.asarray(request.pool.kept[key])


def _chosen(features: Any, combine: str) -> dict[str, RowShards]:
    if combine in ("max", "mean"):
        return dict(features)
    kind, _, name = str(combine).partition(":")
    if kind != "single" or name not in features:
        raise InvalidInput(
            f'combine must be "max", "mean" or "single:NAME" with NAME one of {list(features)}, got {combine!r}.'
        )
    return {name: features[name]}


def backbone_weights(
    features: dict[str, RowShards], candidates: BoolArray, note: Any, **settings: Any
) -> dict[str, LewisWeights]:
    """Lewis weights per backbone over the candidates, with warnings for those that did not converge.

    Raises UnusableRows, naming such rows under all these backbones, so that one further try is enough.
    """
    positive_number(settings["p"], "p")  # before the first note says that work has begun
    positive_number(settings["tol"], "tol")
    positive_int(settings["max_passes"], "max_passes")
    positive_number(settings["ridge"], "ridge", zero_ok=True)
    mask = None if candidates.all() else candidates
    results: dict[str, LewisWeights] = {}
    for name, rows in features.items():
        note(f"Lewis weights of {name} ({int(np.count_nonzero(candidates))} x {rows.shape[1]}) ...")
        try:
            result: LewisWeights = lewis_weights(rows, mask=mask, **settings)
        except InvalidInput as error:
            raise unusable_rows(features, candidates) or error from None
        if not result.converged:
            warnings.warn(
                f'Lewis weights of backbone "{name}" stopped after {result.passes} passes at residual '
                f"{result.residual:.1e}, asked for {result.tol:.1e}. The selection is usable, its guarantee "
                f"is weaker by that much. Allow more with max_passes=, or ask for less with tol=.",
                NotConverged,
                stacklevel=2,
            )
        results[name] = result
    return results


def weights_certificate(
    features: dict[str, RowShards], results: dict[str, LewisWeights], candidates: BoolArray
) -> dict[str, Any]:
    """Evidence about the weights: per backbone, and T, its bound and kappa over the candidates."""
    n_candidates = int(np.count_nonzero(candidates))
    backbones: dict[str, Any] = {}
    for name, result in results.items():
        entry: dict[str, Any] = {
            "n": n_candidates,
            "d": features[name].shape[1],
            "rank": result.rank,
            "passes": result.passes,
            "residual": float(result.residual),
            "converged": bool(result.converged),
            "precision": result.precision,
            "condition": float(result.condition) if np.isfinite(result.condition) else None,
        }
        if result.rank >= n_candidates:
            entry["note"] = (
                f"{n_candidates} rows span only {result.rank} of {entry['d']} dimensions: every row is "
                "indispensable to this backbone, all its weights are 1 and it picks uniformly. "
                "Use ridge= / --ridge, or a larger pool."
            )
        backbones[name] = entry
    weights = [result.weights[candidates] for result in results.values()]
    return {
        "converged": all(result.converged for result in results.values()),
        "backbones": backbones,
        "total": coherence_total(weights),
        "total_bound": min(sum(result.rank for result in results.values()), n_candidates),
        "kappa_10": kappa(weights, 0.1),
    }


def _reasons(
    results: dict[str, LewisWeights], combined: Float64Array, indices: IntArray, inclusion: Float64Array
) -> list[str]:
    """ "certain: Lewis weight 0.93 under vit_s" or "drawn: probability 0.12, highest under cnn_b"."""
    names = list(results)
    table = np.stack([results[name].weights[indices] for name in names])
    winner = np.argmax(table, axis=0)
    reasons = []
    for column, row in enumerate(indices):
        under = f" under {names[winner[column]]}" if len(names) > 1 else ""
        if inclusion[column] >= 1.0:
            reasons.append(f"certain: Lewis weight {table[winner[column], column]:.2g}{under}")
        elif under:
            reasons.append(f"drawn: probability {inclusion[column]:.2g}, highest{under}")
        else:
            reasons.append(f"drawn: probability {inclusion[column]:.2g}, Lewis weight {combined[row]:.2g}")
    return reasons
