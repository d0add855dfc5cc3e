"""What to label: one file per strategy, one door (`select`), one result (`Selection`)."""

from __future__ import annotations

from .agreement import coherence_total, kappa
from .choose import select
from .lewis import NotConverged
from .pool import Pool, as_pool
from .registry import STRATEGIES, strategy_names
from .result import Selection

__all__ = [
    "STRATEGIES",
    "NotConverged",
    "Pool",
    "Selection",
    "as_pool",
    "coherence_total",
    "kappa",
    "select",
    "strategy_names",
]
