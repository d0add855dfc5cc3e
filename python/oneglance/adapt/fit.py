"""fit_heads: one head per backbone from the same labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import positive_int, positive_number, seed_int
from .._types import Float64Array, IntArray, RowShards
from ..errors import InvalidInput
from ..solvers.lp import LpFit, lp_regression
from ..solvers.single_index import SingleIndexFit, single_index
from .classify import LAMBDAS, Problem, fit_linear, fit_nearest_mean, fit_neighbours, make_folds
from .files import as_classes
from .head import ACTIVATIONS, HEADS, SCALES, TASKS, Head, scale_rows
from .heads import Heads
from .labelled import Labelled, as_labelled
from .named import as_named
from .spread import Spread


def fit_heads(
    store_or_arrays: Any,
    labels: Any = None,
    selection: Any = None,
    *,
    task: str = "classification",
    head: str = "linear",
    p: float = 2.0,
    weights: Any = None,
    backbones: Sequence[str] | None = None,
    scale: str | None = None,
    classes: Sequence[Any] | None = None,
    lambdas: float | Sequence[float] | None = None,
    folds: int = 5,
    calibrate: bool = True,
    k: int | None = None,
    ridge: float = 0.0,
    eps: float = 0.0,
    huber: float | None = None,
    activation: str | None = None,
    intercept: bool = True,
    tol: float | None = None,
    seed: int = 0,
) -> Heads:
    """A head on every backbone, from the same labels and their importance weights.

    store_or_arrays  a FeatureStore or its path, one array (n, d), or a list or dict of arrays with the same n
    labels     classes, or targets (n,) or (n, c): one per pick of the selection in its order, one per item of the pool,
               or a dict item id or position -> label. None and NaN are unlabelled. Default: the store's labels
    selection  a Selection: its items, and its weights as factors of their losses. Or positions, ids, a mask.
               Default: every labelled item
    task       "classification" or "regression"
    weights    numbers >= 0 instead of the selection's, or "equal"; only ratios matter
    backbones  names to use, all by default
    scale      "none", "normalise" (rows to unit length) or "standardise" (every feature to mean 0 and spread 1 over
               the pool, without labels). Default: "normalise" for classification, "none" for regression
    tol        of the fit, relative: 1e-6 for classification, 1e-8 for regression

    Classification. head "linear": multinomial logistic regression,  mean CE + lambda / 2 |W|^2, the intercept free;
    "nearest_mean": weighted class means; "knn": votes exp(cos / 0.07), k chosen by leave-one-out.
    classes    all classes that there are, when some have no label yet; those get probability 0
    lambdas    penalties to choose from by held-out log loss, or one. Default: 45 from 100 to 1e-9; stops after two
               decades without gain. With fewer than 4 labels per class 3e-4 times the mean |x|^2, without choice
    folds      at most; spread evenly over classes; a class with one label is never held out
    calibrate  temperature of least held-out log loss (linear), of least leave-one-out log loss (nearest_mean, always)
    k          neighbours of knn

    Regression. The linear fit of `oneglance.solvers.lp_regression`; p, ridge, eps, huber and intercept mean what
    they mean there. The certificate is in Heads[name].info.
    activation "relu", "leaky_relu", "tanh" or "sigmoid": a single-index model f(xB + b). Not convex: see
               `oneglance.solvers.single_index` for what is then promised (a stationary point, no minimum)

    Same input and seed: same heads. Memory: the labelled rows in float32 (classification), O(d^2) for a regression
    of many rows. Raises InvalidInput naming the argument, StoreError.
    Source: arXiv 2405.14121 for heads on picks with weights.
    """
    _check(task, head, scale, activation)
    unfit = {
        'task="regression"': {"p": p != 2, "huber": huber is not None, "activation": activation is not None}
        | {"ridge": ridge != 0, "eps": eps != 0, "intercept": not intercept},
        'task="classification"': {"classes": classes is not None},
        'head="linear" of task="classification"': {"lambdas": lambdas is not None},
        'head="knn"': {"k": k is not None},
    }
    _check_of(unfit, task, head)
    seed = seed_int(seed)
    regression = task == "regression"
    pool, hashes = as_named(store_or_arrays, backbones)
    known = as_labelled(pool, labels, selection, weights, numbers=regression)
    scale = scale or ("none" if regression else "normalise")
    found: dict[str, Head] = {}
    names, codes, seen = (None, None, None) if regression else _as_codes(known.labels, classes)
    tol = positive_number(tol, "tol") if tol is not None else 1e-8 if regression else 1e-6
    folds = positive_int(folds, "folds")
    for name, shards in pool.features.items():
        spread = Spread.of_pool(shards, pool.valid, name) if scale == "standardise" else None
        temperature = 1.0
        if codes is None or seen is None:
            arrays, info = _regress(shards, known, spread, scale, p, ridge, eps, huber, activation, intercept, tol)
        else:
            rows = _finite(shards.take(known.rows), known.rows, name)
            rows = scale_rows(rows, scale) if spread is None else spread.apply(rows)
            if np.abs(rows).max() > np.finfo(np.float32).max:
                raise InvalidInput(
                    f'features of backbone "{name}" are beyond float32, in which heads of classes are fitted. Use '
                    'scale="normalise" or "standardise".'
                )
            problem = Problem(rows.astype(np.float32), codes, int(seen.sum()), known.weights)
            arrays, temperature, info = _classify(problem, head, lambdas, folds, k, calibrate, tol, seed)
            arrays = _all_classes(arrays, seen)
        if spread is not None:
            arrays["coef"], arrays["intercept"] = spread.fold_in(arrays["coef"], arrays["intercept"])
        info = {"n_labelled": int(known.rows.size), "n_unlabelled": known.n_unlabelled} | info
        found[name] = Head(
            name,
            hashes[name],
            shards.shape[1],
            task,
            head,
            names,
            seen,
            scale,
            arrays,
            activation,
            temperature,
            info,
        )
    return Heads(found, task, names)


def _check(task: str, head: str, scale: str | None, activation: str | None) -> None:
    for value, known, name in ((task, TASKS, "task"), (head, HEADS, "head"), (scale, SCALES, "scale")):
        if value not in known and not (value is None and name == "scale"):
            raise InvalidInput(f"{name} must be one of {list(known)}, got {value!r}.")
    if activation is not None and activation not in ACTIVATIONS:
        raise InvalidInput(f"activation must be one of {list(ACTIVATIONS)} or None, got {activation!r}.")
    if task == "regression" and head != "linear":
        raise InvalidInput(f'task="regression" has head="linear" only, got {head!r}.')
    if head == "knn" and scale == "standardise":
        raise InvalidInput('head="knn" goes by angles: scale must be "normalise" or "none".')


def _check_of(unfit: dict[str, dict[str, bool]], task: str, head: str) -> None:
    """unfit: what arguments belong to -> name -> whether it was given. What would be left unread is refused."""
    of = {
        'task="regression"': task == "regression",
        'task="classification"': task == "classification",
        'head="linear" of task="classification"': task == "classification" and head == "linear",
        'head="knn"': head == "knn",
    }
    for owner, asked in unfit.items():
        given = [name for name, there in asked.items() if there]
        if given and not of[owner]:
            verb, pronoun = ("belongs", "it") if len(given) == 1 else ("belong", "them")
            cure = " Use ridge= or eps= for a regression." if given == ["lambdas"] and task == "regression" else ""
            raise InvalidInput(
                f'{" and ".join(given)} {verb} to {owner}. Leave {pronoun} out for task="{task}", head="{head}".{cure}'
            )


def _as_codes(
    labels: npt.NDArray[Any], classes: Sequence[Any] | None
) -> tuple[npt.NDArray[Any], IntArray, npt.NDArray[np.bool_]]:
    """All classes, the code of every label among the seen ones, and which classes were seen."""
    values = [value.item() if isinstance(value, np.generic) else value for value in labels.tolist()]
    try:
        there = sorted(set(values))
    except TypeError:
        raise InvalidInput(f"labels must be of one sort, integers or strings, got {values[:4]}.") from None
    every = there if classes is None else list(classes)
    if len(set(every)) < len(every):
        raise InvalidInput("classes must be different ones.")
    strangers = [value for value in there if value not in set(every)]
    if strangers:
        raise InvalidInput(f"labels hold {strangers[0]!r}, which is not among classes={every[:8]}. Add it.")
    seen_list = [value for value in every if value in set(there)]
    code_of = {value: code for code, value in enumerate(seen_list)}
    codes = np.array([code_of[value] for value in values], dtype=np.int64)
    return as_classes(every), codes, np.array([value in code_of for value in every], dtype=np.bool_)


def _finite(rows: Any, at: IntArray, name: str) -> Any:
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise InvalidInput(
            f'features of backbone "{name}" have NaN or infinity in {bad.size} labelled rows, first row '
            f"{int(at[bad[0]])}. Embed again, or leave these items without a label."
        )
    return rows


def _classify(
    problem: Problem, head: str, lambdas: Any, n_folds: int, k: int | None, calibrate: bool, tol: float, seed: int
) -> tuple[dict[str, Any], float, dict[str, Any]]:
    if head == "knn":
        return fit_neighbours(problem, None if k is None else positive_int(k, "k"))
    if problem.n_classes == 1:
        zeros = np.zeros((problem.rows.shape[1], 1))
        return {"coef": zeros, "intercept": np.zeros(1)}, 1.0, {"one_class": True}
    if head == "nearest_mean":
        return fit_nearest_mean(problem)
    given = LAMBDAS if lambdas is None else np.atleast_1d(np.asarray(lambdas, dtype=np.float64)).tolist()
    if not all(np.isfinite(value) and value > 0 for value in given) or not given:
        raise InvalidInput(f"lambdas must be finite numbers > 0, got {lambdas!r:.80}.")
    folds = make_folds(problem.codes, n_folds, seed) if len(given) > 1 or calibrate else None
    return fit_linear(problem, tuple(given), folds, tol, calibrate, prior=lambdas is None)


def _all_classes(arrays: dict[str, Any], seen: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Columns of zeros, or new codes, for the classes without a label."""
    if "codes" in arrays:
        return arrays | {"codes": np.flatnonzero(seen)[arrays["codes"]]}
    coef, intercept = np.zeros((len(arrays["coef"]), seen.size)), np.zeros(seen.size)
    coef[:, seen], intercept[seen] = arrays["coef"], arrays["intercept"]
    return arrays | {"coef": coef, "intercept": intercept}


def _regress(
    shards: RowShards,
    known: Labelled,
    spread: Spread | None,
    scale: str,
    p: float,
    ridge: float,
    eps: float,
    huber: float | None,
    activation: str | None,
    intercept: bool,
    tol: float,
) -> tuple[dict[str, Any], dict[str, Any]]:
    in_order = np.array_equal(known.rows, np.arange(len(shards)))  # as many picks may come in another order
    rows: Any = shards if in_order and scale == "none" else shards.take(known.rows)
    if scale != "none":
        rows = scale_rows(rows, scale) if spread is None else spread.apply(rows)
    targets: Float64Array = np.asarray(known.labels, dtype=np.float64).reshape(known.rows.size, -1)
    same: dict[str, Any] = {"weights": known.weights, "ridge": ridge, "eps": eps, "intercept": intercept, "tol": tol}
    info: dict[str, Any]
    fit: LpFit | SingleIndexFit
    if activation is None:
        fit = lp = lp_regression(rows, targets, p, huber=huber, **same)
        info = {"gap": lp.gap.tolist(), "rank": lp.rank}
    else:
        if huber is not None:
            raise InvalidInput("huber and activation do not go together. Drop one.")
        fit = index = single_index(rows, targets, activation, p, **same)
        info = {"slope": index.slope.tolist()}
    info |= {
        "p": "inf" if np.isinf(p) else float(p),
        "value": fit.value.tolist(),
        "steps": fit.steps.tolist(),
        "converged": fit.converged.tolist(),
    }
    return {"coef": fit.coef, "intercept": fit.intercept}, info
