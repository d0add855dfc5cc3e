"""The picture of a comparison: scores and differences to random with intervals. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from .compare import HIGHER_IS_BETTER, METRICS, Comparison

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
    temporary = path.with_name(f".{path.name}.part")
    figure.savefig(temporary, format="png", metadata={"Software": None})
    temporary.replace(path)


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
