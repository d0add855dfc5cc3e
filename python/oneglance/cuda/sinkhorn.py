"""Sinkhorn's codes on the device: csrc/cuda/sinkhorn.h."""

from __future__ import annotations

from typing import Any

from .arrays import DeviceRows


def sinkhorn(scores: DeviceRows, eps: float, n_iterations: int) -> Any:
    """(B, K) float64 codes on the device, rows of sum 1. No wait; memory 8 B K bytes."""
    library, device = scores.library, scores.device
    with library.guard(device):
        plan = library.empty((scores.n_rows, scores.n_dims), "float64", device)
        column = library.empty((2, scores.n_dims), "float64", device)
        largest = library.zeros(1, "int64", device)
        library.kernels.sinkhorn(
            *scores.args,
            eps,
            n_iterations,
            library.address(plan),
            library.address(column),
            library.address(largest),
            library.stream(device),
        )
    return plan
