"""What an audit would cost, without doing it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from .clusters import SAMPLE as CLUSTER_SAMPLE
from .near import MOST_PRODUCTS, PANEL
from .opening import Material, common_backbones
from .picture_pass import default_workers, n_tasks, score_rows
from .spectrum import SAMPLE

READINGS = 28
"""Of the rows of every backbone at most: rows and columns 1, repeats 1, near duplicates 5, k-means up to 21. A second
pool adds one, and one per 16,384 of its rows (leakage)."""

_PROBED = 32
_FLOPS = 1e10
_KINDS_S = 2.0  # trials of the number of clusters
_SCAN_BYTES_PER_S = 1e9


@dataclass(frozen=True)
class AuditPlan:
    """n_items, n_pictures (both pools); backbones: name -> {"d", "dtype"}; passes over each backbone's rows at most;
    read_bytes of one pass over all; ram_bytes beside the features; seconds, rough; disk_bytes at most."""

    n_items: int
    n_pictures: int
    backbones: dict[str, dict[str, Any]]
    passes: int
    read_bytes: int
    ram_bytes: int
    disk_bytes: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def plan_audit(
    mine: Material, theirs: Material | None, *, sample_rows: int, permutations: int, workers: int | None
) -> AuditPlan:
    """The plan of audit() of the same. Decodes up to 32 pictures to time them."""
    both = [one for one in (mine, theirs) if one is not None]
    n_items = sum(one.n_items for one in both)
    n_pictures = sum(len(one.pictures) for one in both if one.pictures is not None)
    seconds, ram = 0.5, 200 * n_items + 150 * n_pictures
    for one in both:
        if one.pictures is not None:
            size = min(_PROBED, len(one.pictures))
            start_s = time.perf_counter()
            score_rows(one.pictures, 0, size)
            each = (time.perf_counter() - start_s) / size
            n_workers = default_workers(n_tasks(len(one.pictures))) if workers is None else workers
            seconds += each * len(one.pictures) / max(1, n_workers)
    backbones: dict[str, dict[str, Any]] = {}
    read, largest, passes = 0, 0, 0
    if mine.pool is not None:
        passes = READINGS
        common = {} if theirs is None else common_backbones(mine, theirs)
        for name, rows in mine.pool.features.items():
            d, item = rows.shape[1], rows.dtype.itemsize
            n = n_mine = len(rows)
            n_theirs = 0
            if theirs is not None and theirs.pool is not None and name in common:
                n_theirs = len(theirs.pool.features[common[name]])
                n += n_theirs
                passes = max(passes, READINGS + 1 + -(-n_theirs // PANEL))
                tested = min(sample_rows, n_mine) + min(sample_rows, n_theirs)
                seconds += 2.5 * tested**2 * (d + permutations) / _FLOPS
            backbones[name] = {"d": d, "dtype": str(rows.dtype)}
            read += n * d * item
            sample = min(n_mine, SAMPLE)
            flops = 2.0 * n_mine * d * (MOST_PRODUCTS + 50 * 20 + n_theirs) + 6.0 * sample * d * min(sample, d)
            seconds += flops / _FLOPS + READINGS * n * d * item / _SCAN_BYTES_PER_S
            seconds += 2.0 * CLUSTER_SAMPLE**2 * d / _FLOPS + _KINDS_S
            tests = 32 * sample_rows * d + 16 * sample_rows * 512 if theirs is not None else 0
            largest = max(largest, sample * d * item + 40 * d * d + 40_000 * d + 40 * CLUSTER_SAMPLE**2 + tests)
    return AuditPlan(n_items, n_pictures, backbones, passes, read, ram + largest, 100 * n_items, seconds)
