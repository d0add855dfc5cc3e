"""Options of `select` that are the strategies' own parameters, each named as its parameter."""

from __future__ import annotations

import click

from .._check import METRICS
from ..cluster.activeft import INITS as PARAMETER_INITS
from ..cluster.activeft import OBJECTIVES
from ..cluster.kmeans import INITS as CENTER_INITS
from ..strategies.freesel import RULES
from ..strategies.hierarchical import DRAWS
from ..strategies.prototypes import KEEPS
from ..strategies.sampling import SAMPLERS
from .pool_options import ITEMS_FILE, adding


def _levels(ctx: click.Context, param: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    parts = value.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"must be numbers like 2000,200, got {value!r}.")
    return [int(part) for part in parts]


_OPTIONS = (
    click.option(
        "--sampler",
        type=click.Choice(tuple(SAMPLERS)),
        default="bernoulli",
        show_default=True,
        help="bernoulli: without replacement, unbiased weights. pivotal: the same probabilities, spread over the "
        "features. paper: Algorithm 1, with replacement. unbiased: its draws, with unbiased weights.",
    ),
    click.option(
        "--combine",
        default="max",
        show_default=True,
        help="How backbones share the choice: max, mean, or single:NAME. Example: --combine single:vit_s",
    ),
    click.option(
        "--rule",
        type=click.Choice(RULES),
        help="freesel: prob draws patterns by distance^gamma (default), fds takes the farthest.",
    ),
    click.option("--gamma", type=float, help="freesel: exponent of the distance, 2 by default. Example: --gamma 1"),
    click.option(
        "--metric",
        type=click.Choice(METRICS),
        help="Strategies of coverage: cosine or sqeuclidean (default of farthest and kmeans).",
    ),
    click.option(
        "--start",
        type=ITEMS_FILE,
        help="freesel, farthest: file of items to begin with, in this order; they count. Same formats as --labelled. "
        "Example: --start first.txt",
    ),
    click.option(
        "--clusters",
        type=click.IntRange(1),
        help="kmeans: number of clusters, labelled items + budget by default; prototypes: root of the number of items. "
        "Example: --clusters 1000",
    ),
    click.option(
        "--max-iter",
        type=click.IntRange(1),
        help="Strategies with k-means: most iterations, 100 by default (hierarchical: 50). Example: --max-iter 20",
    ),
    click.option(
        "--max-clusters",
        type=click.IntRange(1),
        help="typiclust: most clusters, 500 by default. Example: --max-clusters 200",
    ),
    click.option(
        "--neighbors",
        type=click.IntRange(1),
        help="typiclust: neighbours that typicality looks at, 20 by default; facility: neighbours that an item counts, "
        "50 by default; bilaf: neighbours of a density, 10. Example: --neighbors 10",
    ),
    click.option(
        "--min-cluster",
        type=click.IntRange(1),
        help="typiclust: clusters of fewer items come last, 6 by default. Example: --min-cluster 3",
    ),
    click.option(
        "--objective",
        type=click.Choice(OBJECTIVES),
        help="activeft: released (default), what the published code minimises, or paper: its formula.",
    ),
    click.option(
        "--temperature", type=float, help="activeft: of both terms, 0.07 by default. Example: --temperature 0.1"
    ),
    click.option(
        "--balance", type=float, help="activeft: weight of the repulsion, 1 by default. Example: --balance 0.5"
    ),
    click.option(
        "--learning-rate", type=float, help="activeft: of Adam, 0.001 by default. Example: --learning-rate 0.01"
    ),
    click.option(
        "--n-iter", type=click.IntRange(1), help="activeft: iterations, 300 by default. Example: --n-iter 100"
    ),
    click.option(
        "--sample-rows",
        type=click.IntRange(1),
        help="activeft: rows per iteration, all by default. Example: --sample-rows 100000",
    ),
    click.option(
        "--init",
        type=click.Choice(sorted({*PARAMETER_INITS, *CENTER_INITS})),
        help="Where iterations start. activeft: random (default) or farthest; kmeans: k-means++ (default) or random.",
    ),
    click.option(
        "--delta",
        type=float,
        help="probcover: radius of the balls in the unit of --metric; a ball holds a share 1/budget by default. "
        "Example: --delta 0.2",
    ),
    click.option(
        "--sigma",
        type=float,
        help="herding: width of the kernel exp(-distance / sigma^2); sigma^2 is the median distance by default. "
        "Example: --sigma 0.5",
    ),
    click.option(
        "--alpha",
        type=float,
        help="herding: weight of being representative, 1 - 1/sqrt(budget) by default. Example: --alpha 1",
    ),
    click.option(
        "--mean-over",
        type=click.IntRange(1),
        help="herding: items that the pool's mean kernel is taken over, 20000 by default. Example: --mean-over 100000",
    ),
    click.option(
        "--levels",
        callback=_levels,
        help="hierarchical: numbers of clusters, lowest level first. Example: --levels 2000,200",
    ),
    click.option(
        "--draw",
        type=click.Choice(DRAWS),
        help="hierarchical: from each lowest cluster the items closest to its centre (default), or random ones.",
    ),
    click.option(
        "--resample",
        type=click.IntRange(0),
        help="hierarchical: times that each level is clustered anew from items close to centres; 0 by default, 10 in "
        "the paper. Example: --resample 10",
    ),
    click.option(
        "--keep",
        type=click.Choice(KEEPS),
        help="prototypes: easy items, near to their cluster centre (default), or hard ones.",
    ),
    click.option(
        "--even/--no-even",
        default=None,
        help="prototypes: every cluster gives alike (default), or the easiest or hardest of all.",
    ),
)

strategy_options = adding(_OPTIONS)
"""A decorator that adds them in this order."""
