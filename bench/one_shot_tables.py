"""What the one-shot protocol found on real features, as Markdown: a table per question, or two rows."""

import numpy as np

from oneglance.evaluation.intervals import NO_DIFFERENCE
from oneglance.evaluation.one_shot.report import maximum_contrasts, notes_of
from oneglance.evaluation.report import interval_text


def markdown(title, found):
    """The loss against random, every strategy and weighting down, budgets across."""
    lines = [f"## {title}, {len(found.seeds)} seeds", ""]
    lines += [
        f"{len(found.backbones)} heads ({', '.join(found.backbones)}), loss: {found.loss}. Pool {found.n_pool:,}, "
    ]
    lines[-1] += f"test rows {found.n_test:,}, {found.n_initial:,} initial labels."
    agreed = found.agreement
    bounds = [f"T({k + 1}) = {agreed.totals[k]:,.0f} of {bound:,}" for k, bound in enumerate(agreed.bounds)]
    kappas = ", ".join(f"{100 * value:.0f} % at {100 * share:g} %" for share, value in agreed.kappas.items())
    lines += ["", f"{'; '.join(bounds)}. kappa: {kappas}.", ""]
    lines += budget_header("strategy, heads", found)
    means = (interval_text(found.mean("random", budget)) for budget in found.budgets)
    lines += ["| random: its loss | " + " | ".join(means) + " |"]
    lines += rows(found.contrasts(), found.budgets, "")
    lines += rows(maximum_contrasts(found), found.budgets, " against lewis")
    if found.task == "classification":
        lines += rows(found.contrasts("accuracy"), found.budgets, ", accuracy")
        lines += ["", *budget_header("largest / smallest class", found)]
        lines += [
            f"| {name} | " + " | ".join(balance(found, name, b) for b in found.budgets) + " |"
            for name in found.strategies
        ]
    lines += ["", *(f"- Note: {text}." for text in notes_of(found))]
    return "\n".join(lines) + "\n"


def budget_header(first, found):
    """A heading with the budgets, and the rule below it."""
    return [
        f"| {first} | " + " | ".join(f"{budget:,} picks" for budget in found.budgets) + " |",
        "|---" * (1 + len(found.budgets)) + "|",
    ]


def summary(target, head, found):
    """The loss after `lewis` against random, plain and weighted heads: two rows."""
    heads = "" if target == "classes" else f", {head}"
    for weighting in ("plain", "weighted"):
        wanted = [c for c in found.contrasts() if (c.strategy, c.weighting) == ("lewis", weighting)]
        (row,) = rows(wanted, found.budgets, "")
        yield row.replace(f"| lewis, {weighting} |", f"| {target}{heads}, {weighting} |")


def rows(contrasts, budgets, suffix):
    """ "**-3.1 %** [-5.0, -1.2]": the difference in parts of the baseline's mean."""
    out = []
    for strategy, weighting in dict.fromkeys((c.strategy, c.weighting) for c in contrasts):
        cells = []
        for budget in budgets:
            found = next(c for c in contrasts if (c.strategy, c.weighting, c.budget) == (strategy, weighting, budget))
            unit = 100 * found.relative / found.difference.mean if found.difference.mean else 0.0
            mark = "" if found.verdict == NO_DIFFERENCE else "**"
            low, high = found.difference.low * unit, found.difference.high * unit
            cells.append(f"{mark}{100 * found.relative:+.1f} %{mark} [{low:+.1f}, {high:+.1f}]")
        out.append(f"| {strategy}, {weighting}{suffix} | " + " | ".join(cells) + " |")
    return out


def balance(found, strategy, budget):
    ratios = found.per_seed(strategy, budget, metric="imbalance")
    whole = ratios[np.isfinite(ratios)]
    lacking = f" ({ratios.size - whole.size} runs lack a class)" if whole.size < ratios.size else ""
    return (f"{whole.mean():.2f}" if whole.size else "-") + lacking
