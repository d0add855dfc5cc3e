"""How the paper measures features: kNN and a linear probe, on nested random parts of the labels.

Source: arXiv 2409.07577, evaluation. Features are those of plain pictures; nothing is chosen on the test part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import as_matrix, positive_int, positive_number, seed_int
from .._types import BoolArray, FloatArray, IntArray
from ..adapt import fit_heads
from ..errors import InvalidInput
from ..search.nearest import nearest
from .guard import unit_rows

LABEL_SEED = 42


def knn_hits(
    known: FloatArray,
    classes: npt.ArrayLike,
    asked: FloatArray,
    truth: npt.ArrayLike,
    *,
    k: int = 200,
    temperature: float = 0.1,
) -> BoolArray:
    """(t,) is the class with the most votes the true one? Votes of the k nearest rows, exp(cosine / temperature) each.

    known (n, d) with classes (n,), asked (t, d) with truth (t,); k is n at most; equal votes go to the smaller class.
    Raises InvalidInput.
    """
    known, asked = as_matrix(known, "known"), as_matrix(asked, "asked")
    names, codes = np.unique(_classes(classes, "classes", len(known)), return_inverse=True)
    wanted = _classes(truth, "truth", len(asked))
    temperature = positive_number(temperature, "temperature")
    found = nearest(unit_rows(asked), unit_rows(known), k=min(positive_int(k, "k"), len(known)), metric="cosine")
    near, distances = (np.asarray(part).reshape(len(asked), -1) for part in (found.indices, found.distances))
    votes = np.zeros((len(asked), len(names)))
    np.add.at(votes, (np.arange(len(asked))[:, None], codes[near]), np.exp((1 - distances) / temperature))
    return np.asarray(names[votes.argmax(axis=1)] == wanted)


def probe_hits(
    known: FloatArray, classes: npt.ArrayLike, asked: FloatArray, truth: npt.ArrayLike, *, penalty: float = 0.01
) -> BoolArray:
    """(t,) does a linear probe name the true class? Multinomial logistic regression on the rows as they are, with the
    penalty / n for n labels, which nothing chooses. Raises InvalidInput."""
    known, asked = as_matrix(known, "known"), as_matrix(asked, "asked")
    labels = _classes(classes, "classes", len(known))
    wanted = _classes(truth, "truth", len(asked))
    strength = positive_number(penalty, "penalty") / len(known)
    heads = fit_heads(known, labels.tolist(), lambdas=strength, scale="none", calibrate=False)
    return np.asarray(next(iter(heads.predict(asked).values())) == wanted)


def label_parts(n_items: int, shares: Sequence[float], seed: int = LABEL_SEED) -> list[IntArray]:
    """Positions labelled at each share, ascending: prefixes of one random order, so that smaller parts lie in larger
    ones. Random, not spread over classes, as in the paper: small parts may lack a class."""
    order = np.random.default_rng(seed_int(seed)).permutation(positive_int(n_items, "n_items"))
    if not all(0 < share <= 1 for share in shares):
        raise InvalidInput(f"shares must lie in (0, 1], got {list(shares)}. 0.1 is ten percent.")
    return [np.sort(order[: max(1, round(share * n_items))]) for share in shares]


def _classes(values: npt.ArrayLike, name: str, n_rows: int) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.shape != (n_rows,):
        raise InvalidInput(f"{name} must have one entry per row ({n_rows}), got shape {array.shape}.")
    return array
