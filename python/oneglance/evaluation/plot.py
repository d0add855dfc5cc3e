"""The picture of a comparison: scores and differences to random with intervals. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from .compare import HIGHER_IS_BETTER, METRICS, Comparison
from .entrants import BASELINE
from .evaluation import Evaluation
from .intervals import Interval

_COLOURS = ("#6b7280", "#d97706", "#1d4ed8", "#047857", "#9d174d")  # told apart by colour-blind readers too
_MARKERS = ("o", "s", "D", "^", "v")
_LABELS = {
    "accuracy": "accuracy, held-out rows\n(ridge heads)",
    "mse": "squared error, held-out rows\n(ridge heads)",
    "pool_mse": "squared error, whole pool\n(heads without penalty)",
}


def plot_comparison(
    comparison: Comparison,
    path: Path,
    *,
    baseline: str = "random",
    names: Mapping[str, str] | None = None,
    title: str = "",
    note: str = "",
) -> None:
    """Write a PNG: above the scores by budget, below the differences to `baseline`, each with 95 % intervals.

    names  {strategy: what the legend calls it}; only these strategies are drawn (all when None)
    The upper axes do not start at 0, and say so; the score with all labels is a dashed line there.
    """
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    names = names or {strategy: strategy for strategy in comparison.strategies}
    if baseline not in names or not set(names) <= set(comparison.strategies):
        raise InvalidInput(
            f"names must be strategies of the comparison ({', '.join(comparison.strategies)}), "
            f"{baseline!r} among them; got {list(names)}."
        )
    figure = Figure(figsize=(12.6, 7.2), dpi=130, layout="constrained")
    axes = figure.subplots(2, len(METRICS), sharex=True)
    for column, metric in enumerate(METRICS):
        _draw_scores(axes[0][column], comparison, metric, names)
        _draw_differences(axes[1][column], comparison, metric, names, baseline)
    axes[0][0].legend(loc="lower right", fontsize=9, frameon=False)
    figure.suptitle(title, fontsize=12)
    figure.supxlabel(note, fontsize=8.5, color="#374151")
    _save(figure, path)


def _draw_scores(axis: Any, comparison: Comparison, metric: str, names: Mapping[str, str]) -> None:
    higher = HIGHER_IS_BETTER[metric]
    for order, (strategy, name) in enumerate(names.items()):
        intervals = [comparison.mean(strategy, budget, metric) for budget in comparison.budgets]
        _bars(axis, comparison, order, len(names), intervals, name)
    ceiling = comparison.ceiling[metric]
    axis.axhline(ceiling, color="#9ca3af", linestyle="--", linewidth=1)
    axis.annotate(
        f"all labels: {ceiling:.3f}",
        (0, ceiling),
        xycoords=("axes fraction", "data"),
        xytext=(4, -3 if higher else 3),
        textcoords="offset points",
        va="top" if higher else "bottom",
        fontsize=8,
        color="#6b7280",
    )
    axis.set_title(_LABELS[metric], fontsize=10)
    axis.set_ylabel(f"{'higher' if higher else 'lower'} is better; axis not from 0", fontsize=9)
    _tidy(axis, comparison)


def _draw_differences(axis: Any, comparison: Comparison, metric: str, names: Mapping[str, str], baseline: str) -> None:
    axis.axhline(0.0, color="#6b7280", linewidth=1.2)
    for order, (strategy, name) in enumerate(names.items()):
        if strategy == baseline:
            continue
        intervals = [comparison.difference(strategy, baseline, budget, metric) for budget in comparison.budgets]
        _bars(axis, comparison, order, len(names), intervals, name)
    side = "above" if HIGHER_IS_BETTER[metric] else "below"
    axis.set_ylabel(f"minus {names[baseline]}; {side} 0: better than {names[baseline]}", fontsize=9)
    axis.set_xlabel("labelled rows (budget)", fontsize=9)
    _tidy(axis, comparison)


def _bars(axis: Any, comparison: Comparison, order: int, n_shown: int, intervals: Any, name: str) -> None:
    """Means with their intervals, strategies side by side within each budget."""
    shift = 0.11 * (order - (n_shown - 1) / 2)
    means = [interval.mean for interval in intervals]
    axis.errorbar(
        [place + shift for place in range(len(comparison.budgets))],
        means,
        yerr=[
            [interval.mean - interval.low for interval in intervals],
            [interval.high - interval.mean for interval in intervals],
        ],
        fmt=_MARKERS[order % len(_MARKERS)],
        color=_COLOURS[order % len(_COLOURS)],
        markersize=6,
        capsize=4,
        linewidth=1.6,
        label=name,
    )


def _tidy(axis: Any, comparison: Comparison) -> None:
    axis.set_xticks(range(len(comparison.budgets)), [str(budget) for budget in comparison.budgets])
    axis.set_xlim(-0.5, len(comparison.budgets) - 0.5)
    axis.margins(y=0.12)
    axis.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axis.tick_params(labelsize=9)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def plot_evaluation(found: Evaluation, path: Path) -> None:
    """Write a PNG: per backbone the learning curves (mean of heads), below them the differences to random."""
    from matplotlib.figure import Figure

    n_views = len(found.backbones)
    figure = Figure(figsize=(1.5 + 4.6 * n_views, 7.6), dpi=120, layout="constrained")
    axes = figure.subplots(2, n_views, sharex=True, squeeze=False)
    for column, view in enumerate(found.backbones):
        for order, strategy in enumerate(found.strategies):
            budgets = found.baseline_budgets if strategy == BASELINE else found.budgets
            means = [found.mean(strategy, budget, backbone=view) for budget in budgets]
            _band(axes[0][column], budgets, means, order, strategy)
            if strategy != BASELINE:
                differences = [found.difference(strategy, budget, backbone=view) for budget in found.budgets]
                _band(axes[1][column], found.budgets, differences, order, strategy)
        axes[1][column].axhline(0.0, color="#6b7280", linewidth=1.2)
        axes[0][column].set_title(view, fontsize=10)
        axes[1][column].set_xlabel("labelled rows (log scale)", fontsize=9)
        for axis in (axes[0][column], axes[1][column]):
            axis.set_xscale("log")
            axis.set_xticks(found.baseline_budgets, [str(budget) for budget in found.baseline_budgets])
            axis.minorticks_off()
            axis.grid(color="#e5e7eb", linewidth=0.8)
            axis.tick_params(labelsize=8)
    axes[0][0].set_ylabel("accuracy, mean of heads; axis not from 0", fontsize=9)
    axes[1][0].set_ylabel("minus random; above 0: better than random", fontsize=9)
    axes[0][-1].legend(loc="lower right", fontsize=8, frameon=False)
    figure.supxlabel(
        f"{len(found.seeds)} seeds, {found.n_splits} splits, {found.n_test:,} test rows; bands: "
        f"{100 * found.level:g} % bootstrap intervals over seeds, each by itself",
        fontsize=8.5,
        color="#374151",
    )
    _save(figure, path)


def _band(axis: Any, budgets: Sequence[int], intervals: Sequence[Interval], order: int, name: str) -> None:
    colour = _COLOURS[order % len(_COLOURS)]
    style = ("-", "--", ":")[order // len(_COLOURS) % 3]
    low, high = [interval.low for interval in intervals], [interval.high for interval in intervals]
    axis.fill_between(budgets, low, high, color=colour, alpha=0.15, linewidth=0)
    means = [interval.mean for interval in intervals]
    marker = _MARKERS[order % len(_MARKERS)]
    axis.plot(budgets, means, style, marker=marker, markersize=4, color=colour, linewidth=1.5, label=name)


def _save(figure: Any, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.part")
    figure.savefig(temporary, format="png", metadata={"Software": None})
    temporary.replace(path)
