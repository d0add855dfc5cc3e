"""Strategy "auto": what to take when one does not want to choose."""

from __future__ import annotations

from dataclasses import replace

from .freesel import freesel
from .joint import joint_shape
from .kernel import kernel
from .pool import Pool
from .request import Picks, Request
from .space import Space, pattern_space

ALL_EVALUATED = 50_000
"""Items up to which the coverage of every one is counted."""

PER_PICK = 10
"""Above that, a sample of so many items per pick is counted, and `ALL_EVALUATED` at least."""


def evaluated(n_items: int, n_picks: int) -> int | None:
    """Of how many items the coverage is counted; None: of all."""
    n_sampled = max(ALL_EVALUATED, PER_PICK * n_picks)
    return n_sampled if n_items > n_sampled else None


def auto_space(pool: Pool, metric: str, strategy: str) -> Space:
    """The space without its values, for plans."""
    return joint_shape(pool, metric, strategy) if pool.features else pattern_space(pool, metric, strategy)


def auto(request: Request) -> Picks:
    """Kernel coverage of all backbones as one (`kernel`), set by the size of the pool; FreeSel where a pool holds
    patterns only.

    One rule for all budgets: in docs/strategies.md it was never worse than random picks and never below k-means by
    more than chance, at any budget up to a tenth of the pool. The coverage of all items is counted up
    to 50,000, else that of a fixed sample of 50,000 items or of 10 per pick, whichever is more. certificate["auto"]
    says what was taken. No randomness, except for FreeSel's.
    """
    if not request.pool.features:
        picks, taken = freesel(request), 'strategy "freesel": the pool holds patterns only'
    else:
        n_items = int(request.candidates.sum()) + request.labelled.size
        evaluate = evaluated(n_items, sum(part.count for part in request.parts))
        picks = kernel(request, evaluate=evaluate)
        sampled = "every item" if evaluate is None else f"a sample of {evaluate} items"
        taken = f'strategy "kernel" over {", ".join(request.pool.features)}, coverage of {sampled}'
    return replace(picks, certificate={"auto": taken, **picks.certificate})
