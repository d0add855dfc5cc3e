"""A one-shot evaluation in words: tables of text, and sentences that say what may be said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..entrants import BASELINE
from ..intervals import NO_DIFFERENCE
from ..report import Table, interval_text
from .cell import PLAIN
from .result import OneShot, OneShotContrast

LEWIS = "lewis"
_METRIC_NAMES = {"accuracy": "accuracy", "pool_loss": "loss on all rows of the pool"}


def score_table(found: OneShot, contrasts: Sequence[OneShotContrast]) -> Table:
    """Means over all heads of one metric; a row per strategy, weighting and budget, the baseline's own first."""
    metric, against = contrasts[0].metric, contrasts[0].against
    percent = f"[{100 * found.level:g} %]"
    what = _METRIC_NAMES.get(metric, found.loss)
    header = [
        "picks",
        "strategy",
        "heads",
        f"{what} {percent}",
        f"minus {against} {percent}",
        "relative",
        "p",
        "verdict",
    ]
    rows = []
    for budget in found.budgets:
        for weighting in dict.fromkeys(c.against_weighting for c in contrasts):
            mean = found.mean(against, budget, metric=metric, weighting=weighting)
            rows.append([f"{budget:,}", against, weighting, interval_text(mean), "", "", "", ""])
        rows.extend(_row(contrast) for contrast in contrasts if contrast.budget == budget)
    title = f"{what}, mean over {len(found.backbones)} heads, {found.n_initial:,} initial labels and the picks"
    return title, header, rows


def _row(contrast: OneShotContrast) -> list[str]:
    return [
        f"{contrast.budget:,}",
        contrast.strategy,
        contrast.weighting,
        interval_text(contrast.mean),
        interval_text(contrast.difference, signed=True),
        f"{100 * contrast.relative:+.1f} %",
        f"{contrast.p_holm:.2g}" if contrast.p_holm >= 1e-4 else "<1e-4",
        contrast.verdict,
    ]


def tables(found: OneShot) -> list[Table]:
    """All tables: every metric against random, what the maximum gains, agreement, balance of classes, time."""
    out = [score_table(found, found.contrasts(metric)) for metric in found.metrics]
    if maximum := maximum_contrasts(found):
        title, header, rows = score_table(found, maximum)
        out.append((f"What the maximum over backbones gains: {title}", header, rows))
    out += [agreement_table(found), kappa_table(found)]
    if found.task == "classification":
        out.append(balance_table(found))
    return [*out, time_table(found)]


def maximum_contrasts(found: OneShot) -> list[OneShotContrast]:
    """Other ways to combine the backbones' weights against "lewis", which takes their maximum."""
    return (
        [c for c in found.contrasts("loss", LEWIS) if c.strategy.startswith(LEWIS)] if LEWIS in found.strategies else []
    )


def head_tables(found: OneShot) -> list[Table]:
    """The loss of every backbone's head, means over seeds."""
    header = ["strategy", "heads", *(f"{budget:,} picks" for budget in found.budgets)]
    out = []
    for backbone in found.backbones:
        rows = []
        for strategy in found.strategies:
            for weighting in found.weightings(strategy):
                which = {"weighting": weighting, "backbone": backbone}
                means = (found.mean(strategy, budget, **which) for budget in found.budgets)
                rows.append([strategy, weighting, *(interval_text(mean) for mean in means)])
        out.append((f"{backbone}: {found.loss}", header, rows))
    return out


def agreement_table(found: OneShot) -> Table:
    """T(k) against its bound, as backbones are added in their order."""
    agreed = found.agreement
    rows = [
        [str(k + 1), name, f"{agreed.ranks[k]:,}", f"{agreed.totals[k]:,.0f}", f"{agreed.bounds[k]:,}"]
        for k, name in enumerate(agreed.backbones)
    ]
    title = f"T(k), the sum of the largest Lewis weight over the first k backbones (p={agreed.p:g})"
    return title, ["k", "backbone", "rank", "T(k)", "min(sum of ranks, n)"], rows


def kappa_table(found: OneShot) -> Table:
    """kappa(t) of all backbones."""
    shares = found.agreement.kappas
    title = "kappa(t): overlap of a backbone's top t with the maximum's top t (t itself for unrelated ones)"
    return (
        title,
        ["t", *(f"{100 * share:g} %" for share in shares)],
        [["kappa", *(f"{100 * value:.1f} %" for value in shares.values())]],
    )


def balance_table(found: OneShot) -> Table:
    """Largest over smallest number of labels of a class, initial labels included; says where one has none."""
    rows = []
    for strategy in found.strategies:
        cells = [strategy]
        for budget in found.budgets:
            ratios = found.per_seed(strategy, budget, metric="imbalance")
            whole = np.isfinite(ratios)
            text = f"{ratios[whole].mean():.2f}" if whole.any() else "-"
            lacking = f" ({int((~whole).sum())} of {whole.size} runs lack a class)"
            cells.append(text + ("" if whole.all() else lacking))
        rows.append(cells)
    title = "largest / smallest class among the labels, mean over runs that have every class"
    return title, ["strategy", *(f"{budget:,} picks" for budget in found.budgets)], rows


def time_table(found: OneShot) -> Table:
    """Mean seconds of a run at the largest budget."""
    budget = found.budgets[-1]
    features = "not known" if found.features_s is None else f"{found.features_s:,.2f}"
    rows = []
    for strategy in found.strategies:
        names = ("weights_s", "sampling_s", "heads_s")
        means = (found.per_seed(strategy, budget, metric=name, weighting=PLAIN).mean() for name in names)
        rows.append([strategy, features, *(f"{mean:,.2f}" for mean in means)])
    title = f"seconds at {budget:,} picks; the heads of all weightings together, those of rounds under selection"
    return title, ["strategy", "features", "weights", "selection", "heads"], rows


def sentences(found: OneShot) -> list[str]:
    """A sentence per strategy and weighting from the verdicts of the loss: against random, then of the maximum."""
    return [
        *(_sentence(contrasts) for contrasts in _grouped(found.contrasts())),
        *(_sentence(contrasts) for contrasts in _grouped(maximum_contrasts(found))),
    ]


def _grouped(contrasts: Sequence[OneShotContrast]) -> list[list[OneShotContrast]]:
    groups: dict[tuple[str, str], list[OneShotContrast]] = {}
    for contrast in contrasts:
        groups.setdefault((contrast.strategy, contrast.weighting), []).append(contrast)
    return list(groups.values())


def _sentence(contrasts: Sequence[OneShotContrast]) -> str:
    first, where = contrasts[0], dict[str, list[str]]()
    for contrast in contrasts:
        where.setdefault(contrast.verdict, []).append(f"{contrast.budget:,}")
    if list(where) == [NO_DIFFERENCE]:
        text = "no difference found at any budget"
    else:
        text = "; ".join(f"{word} at {', '.join(budgets)}" for word, budgets in where.items()) + " picks"
    return f"{first.strategy}, {first.weighting} heads, against {first.against}: {text}."


def notes_of(found: OneShot) -> list[str]:
    """What keeps these numbers from meaning more."""
    out = list(found.notes)
    if not found.agreement.converged:
        out.append("Lewis weights behind T(k) and kappa stopped short of their tolerance")
    if found.task == "classification":
        lacking = [
            strategy
            for strategy in found.strategies
            if any(found.per_seed(strategy, budget, metric="n_missing_classes").any() for budget in found.budgets)
        ]
        if lacking:
            out.append(f"in some runs a class has no label under {', '.join(lacking)}")
    if len(found.seeds) < 8:
        out.append(f"intervals from {len(found.seeds)} seeds are too narrow; use 8 or more, better 20")
    return out


def reading_aid(found: OneShot) -> list[str]:
    """How to read the tables."""
    pairs = f"{len(found.seeds)} seeds over {found.n_splits} split{'s' * (found.n_splits > 1)}"
    return [
        f"Means over {pairs}, differences in pairs, bootstrap over seeds; p: paired t test, Holm over the comparisons "
        f"of a table. Better or worse needs both to say so. {BASELINE} has plain heads only: its weights are equal.",
        "Heads: plain, all labels alike; weighted, picks by their importance weights, 1 on average; paper, initial "
        "labels 1 and picks their weights, which makes little of the initial labels where picks are few.",
    ]
