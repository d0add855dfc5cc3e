"""`oneglance plan`: how many labels heads of a given accuracy need."""

from __future__ import annotations

from pathlib import Path

import click

from ..adapt import LabelPlan, plan_labels
from .output import collected_warnings, note, print_json, print_table, say
from .pool_options import some_pool_options
from .pool_text import opened


@click.command(short_help="How many labels a given accuracy needs.")
@click.option(
    "--eps",
    type=float,
    default=0.1,
    show_default=True,
    help="Loss allowed over that of heads fitted with all labels: 0.1 is 10 %. Example: --eps 0.2",
)
@click.option(
    "--repeats",
    type=click.IntRange(2),
    default=8,
    show_default=True,
    help="Trial targets; more make the interval narrower. Example: --repeats 30",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, another trial.")
@some_pool_options(
    "inputs", "p", "labelled", "exclude", "backbones", "vector_columns", "id_column", "verify", "as_json"
)
def plan(
    inputs: tuple[Path, ...],
    eps: float,
    repeats: int,
    seed: int,
    p: float,
    labelled: Path | None,
    exclude: Path | None,
    backbones: tuple[str, ...] | None,
    vector_columns: tuple[str, ...],
    id_column: str | None,
    verify: bool,
    as_json: bool,
) -> None:
    """Labels that linear heads on every backbone need, for a loss within EPS of that with all labels.

    Two answers: orders of magnitude from theory (constants taken as 1), and a trial on these features with
    simulated targets, linear plus noise, whose learning curve is fitted and solved for EPS.

    \b
    Examples:
      oneglance plan store --eps 0.1
      oneglance plan vit.npy resnet.npy --eps 0.2 --p 1
    """
    found = opened(
        inputs,
        backbones=backbones,
        vector_columns=vector_columns,
        id_column=id_column,
        verify=verify,
        labelled=labelled,
        exclude=exclude,
    )
    with collected_warnings() as warned:
        answer = plan_labels(found.pool, eps=eps, p=p, exclude=~found.left, repeats=repeats, seed=seed, note=note)
    for text in warned:
        note(f"warning: {text}")
    if as_json:
        print_json({"warnings": warned, **answer.as_dict()})
        return
    _show(answer)


def _show(answer: LabelPlan) -> None:
    rows = [(name, f"{count:,.0f}") for name, count in answer.theory.items()]
    widest = max(answer.ranks.values())
    about = f"orders from theory (all constants 1); rank {widest}, T {answer.total:.0f}"
    print_table(("bound", "labels"), rows, about)
    if answer.estimate is None or answer.interval is None:
        say(f"note: {answer.note}")
        return
    curve = [(name, *(f"{value:.3g}" for value in values.mean(axis=0))) for name, values in answer.excess.items()]
    print_table(("loss over the least, less 1", *(f"{size} labels" for size in answer.sizes)), curve)
    how = "extrapolated" if answer.extrapolated else "within the sizes tried"
    off = max(answer.last_error.values(), key=lambda ratio: abs(ratio - 1))
    say(
        f"labels for {answer.eps:.0%} over the least loss: about {answer.estimate:,} of {answer.n_candidates:,} "
        f"({answer.interval[0]:,} to {answer.interval[1]:,}, 95 % of resampled repeats and sizes), {how}"
    )
    say(f"the other sizes foretell {off:.2f} times the excess measured at the largest; {answer.note}")
