"""What an audit would cost, without doing it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from .clusters import SAMPLE as CLUSTER_SAMPLE
from .near import MOST_PRODUCTS
from .opening import Material
from .picture_pass import default_workers, n_tasks, score_rows
from .spectrum import SAMPLE

READINGS = 28
"""Of the rows of every backbone at most: rows and columns 1, repeats 1, near duplicates 5, k-means up to 21."""

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


def plan_audit(mine: Material, theirs: Material | None, *, sample_rows: int, workers: int | None) -> AuditPlan:
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
    read, largest = 0, 0
    if mine.pool is not None:
        for name, rows in mine.pool.features.items():
            d, item = rows.shape[1], rows.dtype.itemsize
            n = sum(len(one.pool.features[name]) for one in both if one.pool and name in one.pool.features)
            backbones[name] = {"d": d, "dtype": str(rows.dtype)}
            read += n * d * item
            sample = min(n, SAMPLE)
            flops = 2.0 * n * d * MOST_PRODUCTS + 2.0 * n * d * 50 * 20 + 6.0 * sample * d * min(sample, d)
            seconds += flops / _FLOPS + READINGS * n * d * item / _SCAN_BYTES_PER_S
            seconds += 2.0 * CLUSTER_SAMPLE**2 * d / _FLOPS + _KINDS_S
            tests = 32 * sample_rows * d + 16 * sample_rows * 512 if theirs is not None else 0
            largest = max(largest, sample * d * item + 40 * d * d + 40_000 * d + 40 * CLUSTER_SAMPLE**2 + tests)
    return AuditPlan(
        n_items, n_pictures, backbones, READINGS if backbones else 0, read, ram + largest, 100 * n_items, seconds
    )
