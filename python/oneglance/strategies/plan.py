"""What a selection will cost, before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._check import positive_number
from .pool import Pool
from .space import Space

_SQUARES = 24  # d x d float64 matrices that the iteration keeps (half of them the mixing history): about 200 d^2 bytes
_SQUARES_PER_THREAD = 2  # sums that wait for their turn
_PANEL_ROWS = 1024
_BYTES_PER_PICK = 200
_BYTES_PER_ITEM = 24  # of represented.parquet, compressed
_PICKS_PER_READING = 30  # of farthest points and weighted draws, at least, on features of networks
_EXPLAINING = 25  # points of the curve of radii, each a reading


@dataclass(frozen=True, slots=True)
class Plan:
    """Estimates for one run; sizes in bytes, time in seconds on this machine.

    passes      readings of the features of each backbone, at most
    read_bytes  features of all backbones, once
    ram_bytes   beyond the features, which are read in panels (memory-mapped where they are files)
    disk_bytes  of the files written
    """

    n_items: int
    n_candidates: int
    backbones: dict[str, dict[str, Any]]
    passes: int
    read_bytes: int
    ram_bytes: int
    disk_bytes: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "n_items": self.n_items,
            "n_candidates": self.n_candidates,
            "backbones": self.backbones,
            "passes": self.passes,
            "read_bytes": self.read_bytes,
            "ram_bytes": self.ram_bytes,
            "disk_bytes": self.disk_bytes,
            "seconds": self.seconds,
        }


def plan_lewis(pool: Pool, n_candidates: int, n_rows_written: int, *, p: float, max_passes: int) -> Plan:
    """Plan of the Lewis weights of every backbone, and of writing n_rows_written rows.

    Flops are 2 n d^2 per pass; the rate is measured here with a small matrix product (about 50 ms).
    """
    passes = min(max_passes, expected_passes(positive_number(p, "p")))
    backbones: dict[str, dict[str, Any]] = {}
    flops, read_bytes, widest = 0.0, 0, 0
    for name, rows in pool.features.items():
        n_rows, width = rows.shape
        size = n_rows * width * rows.dtype.itemsize
        backbones[name] = {"d": width, "dtype": str(rows.dtype), "bytes": size}
        flops += 2.0 * n_candidates * width * width * passes
        read_bytes += size
        widest = max(widest, width)
    square = 8 * widest**2
    n_threads = int(_core.build_info()["threads"])
    per_thread = _SQUARES_PER_THREAD * square + 8 * _PANEL_ROWS * widest
    ram = _SQUARES * square + n_threads * per_thread + 8 * pool.n_items * (len(backbones) + 12)
    return Plan(
        n_items=pool.n_items,
        n_candidates=n_candidates,
        backbones=backbones,
        passes=passes,
        read_bytes=read_bytes,
        ram_bytes=ram,
        disk_bytes=_BYTES_PER_PICK * n_rows_written,
        seconds=flops / flops_per_second() if flops else 0.0,
    )


def plan_coverage(
    space: Space,
    n_items: int,
    n_candidates: int,
    n_picks: int,
    *,
    n_iter: int | None = None,
    all_pairs: float = 0.0,
) -> Plan:
    """Plan of a strategy of coverage in this space, and of saying who represents whom.

    n_iter     most iterations, for k-means; None: picks come one after the other
    all_pairs  float32 products of all rows with all rows that the strategy needs beforehand

    Flops: every row with every picked row once for the choice (k-means: once per iteration), once to explain it.
    """
    n_rows, width = space.rows.shape
    each = max(1, round(n_rows / max(1, n_items)))
    size = n_rows * width * space.rows.dtype.itemsize
    entry = {"d": width, "dtype": str(space.rows.dtype), "bytes": size}
    if space.offsets is not None:
        entry["n_patterns"] = n_rows
    rounds = 1 if n_iter is None else n_iter
    choosing = n_iter + 2 if n_iter is not None else n_picks // _PICKS_PER_READING + 1
    centers = 8 * n_picks * each * width
    n_threads = int(_core.build_info()["threads"])
    return Plan(
        n_items=n_items,
        n_candidates=n_candidates,
        backbones={space.backbone: entry},
        passes=choosing + min(_EXPLAINING, n_picks),
        read_bytes=size,
        ram_bytes=6 * 8 * n_rows + 4 * 8 * n_items + 2 * centers + n_threads * 8 * _PANEL_ROWS * width,
        disk_bytes=_BYTES_PER_PICK * n_picks + _BYTES_PER_ITEM * n_items,
        seconds=2.0 * n_rows * width * (n_picks * each * (rounds + 1) + all_pairs * n_rows) / flops_per_second(),
    )


def expected_passes(p: float) -> int:
    """Readings of the features per backbone that were enough in tests at tolerance 1e-6.

    For p = 2 it is 2 when well conditioned; rank deficient features were seen to need 8.
    """
    if p == 2:
        return 8
    return 15 if p < 4 else 20 if p <= 6 else 35


def flops_per_second() -> float:
    a, b = np.ones((1024, 384), dtype=np.float32), np.ones((384, 384), dtype=np.float32)
    best = np.inf
    for _ in range(4):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2.0 * a.shape[0] * b.size / best
