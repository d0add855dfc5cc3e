"""An evaluation in words: tables of text, and one sentence per strategy that says what may be said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from .entrants import BASELINE
from .evaluation import ALL_HEADS, ON_THIS_TEST_SET, Contrast, Evaluation
from .intervals import NO_DIFFERENCE, Interval

Table: TypeAlias = tuple[str, list[str], list[list[str]]]
"""Title, header, rows."""


def score_tables(found: Evaluation, contrasts: Sequence[Contrast]) -> list[Table]:
    """Per backbone and head: a row per strategy and budget, and for the area; random's own rows first."""
    percent = f"[{100 * found.level:g} %]"
    header = ["labels", "strategy", f"accuracy {percent}", f"minus random {percent}", "p", "labels saved", "verdict"]
    tables = []
    for backbone, head in dict.fromkeys((contrast.backbone, contrast.head) for contrast in contrasts):
        here = [c for c in contrasts if (c.backbone, c.head) == (backbone, head)]
        rows = []
        for budget in (*found.baseline_budgets, None):
            if budget is not None:
                mean = found.mean(BASELINE, budget, head=head, backbone=backbone)
                rows.append([f"{budget:,}", BASELINE, interval_text(mean), "", "", "", ""])
            rows.extend(_row(contrast) for contrast in here if contrast.budget == budget)
        what = "mean of the heads " + ", ".join(found.heads) if head == ALL_HEADS else f"head {head}"
        tables.append((f"{backbone}: accuracy, {what}", header, rows))
    return tables


def _row(contrast: Contrast) -> list[str]:
    return [
        "area" if contrast.budget is None else f"{contrast.budget:,}",
        contrast.strategy,
        interval_text(contrast.mean),
        interval_text(contrast.difference, signed=True),
        f"{contrast.p_holm:.2g}" if contrast.p_holm >= 1e-4 else "<1e-4",
        "" if contrast.saving is None else str(contrast.saving),
        contrast.verdict,
    ]


def interval_text(interval: Interval, *, signed: bool = False) -> str:
    """ "0.412 [0.405, 0.419]" """
    digits = "+.3f" if signed else ".3f"
    if interval.low != interval.low:
        return f"{interval.mean:{digits}} [{'one run' if interval.n_values == 1 else f'{interval.n_values} runs'}]"
    return f"{interval.mean:{digits}} [{interval.low:{digits}}, {interval.high:{digits}}]"


def coverage_tables(found: Evaluation) -> list[Table]:
    """Per backbone: mean and largest distance of a pool row to its nearest pick, means over seeds."""
    tables = []
    for backbone in found.backbones:
        rows = []
        for strategy in found.strategies:
            cells = [strategy]
            for budget in found.budgets:
                mean, largest = (
                    found.per_seed(strategy, budget, backbone=backbone, metric=name).mean()
                    for name in ("coverage_mean", "coverage_max")
                )
                cells.append(f"{mean:.3f} / {largest:.3f}")
            rows.append(cells)
        title = f"{backbone}: distance to the nearest pick, mean / largest over the pool (rows at unit length)"
        tables.append((title, ["strategy", *(f"{budget:,} labels" for budget in found.budgets)], rows))
    return tables


def conclusions(contrasts: Sequence[Contrast]) -> list[str]:
    """A sentence per backbone, head and strategy, made from the verdicts alone."""
    sentences = []
    for place in dict.fromkeys((c.backbone, c.head, c.strategy) for c in contrasts):
        here = [c for c in contrasts if (c.backbone, c.head, c.strategy) == place and c.budget is not None]
        where: dict[str, list[str]] = {}
        for contrast in here:
            where.setdefault(contrast.verdict, []).append(f"{contrast.budget:,}")
        if list(where) == [NO_DIFFERENCE]:
            text = "no difference found at any budget"
        else:
            text = "; ".join(f"{word} at {', '.join(budgets)}" for word, budgets in where.items()) + " labels"
        head = "" if place[1] == ALL_HEADS else f", head {place[1]}"
        sentences.append(f"{place[2]} against {BASELINE} on {place[0]}{head}: {text}.")
    return sentences


def warnings_of(found: Evaluation, contrasts: Sequence[Contrast]) -> list[str]:
    """What keeps these numbers from meaning more: small test sets, few seeds, and the evaluation's own notes."""
    out = list(found.notes)
    weak = [c for c in contrasts if c.verdict.endswith(ON_THIS_TEST_SET)]
    if weak:
        margin = max(c.test_margin for c in weak)
        out.append(
            f"{found.n_test:,} test rows are few: chance in them alone moves a difference by up to {margin:.3f}, and "
            f'{len(weak)} of the differences found are smaller than theirs ("{ON_THIS_TEST_SET.strip()}"). '
            "Hold out more, or use folds"
        )
    wide = [c for c in contrasts if c.verdict == NO_DIFFERENCE and c.difference.mean and _covers_effect(c)]
    if len(wide) * 2 > len(contrasts):
        out.append(
            f"{len(wide)} of {len(contrasts)} differences are smaller than the chance in seeds and test rows: "
            "absence of a finding is not a finding of absence. More seeds or test rows would tell"
        )
    if len(found.seeds) < 8:
        out.append(f"intervals from {len(found.seeds)} seeds are too narrow; use 8 or more, better 20")
    return out


def _covers_effect(contrast: Contrast) -> bool:
    half = (contrast.difference.high - contrast.difference.low) / 2
    return abs(contrast.difference.mean) < max(half, contrast.test_margin)


def reading_aid(found: Evaluation, contrasts: Sequence[Contrast]) -> list[str]:
    """How to read the tables, in two sentences."""
    pairs = f"{len(found.seeds)} seeds over {found.n_splits} split{'s' * (found.n_splits > 1)}"
    return [
        f"Means over {pairs}, differences in pairs, bootstrap over seeds; p: paired t test, Holm over the "
        f"{len(contrasts)} comparisons with random shown. Better or worse needs both to say so.",
        "Labels saved: labels that random needs for this accuracy, divided by ours; >= where random never got there "
        "within its budgets, <= where it was there at its smallest.",
    ]
