"""Codes of a batch: prototypes used equally often, by Sinkhorn's rescaling in the logarithm."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cuda import device_rows
from ..cuda.mask_bits import library_if_built
from ..cuda.sinkhorn import sinkhorn

_FLOOR = -1e30  # of log weights: any finite float64 below it would change nothing


def sinkhorn_codes(scores: Tensor, eps: float, n_iterations: int = 3) -> Tensor:
    """Codes q (B, K), each row a distribution, the columns of nearly equal sum B / K.

    scores        (B, K) cosines with the prototypes, any float type; eps > 0 the temperature of the transport
    n_iterations  rescalings of columns, then rows; rows come last and are exact

    Computed in float64 with log-sum-exp: finite scores of any size, any eps > 0 and any B >= 1 give finite codes whose
    rows sum to 1. The columns' common factor B / K is left out, as the rows undo it. No gradient. Cost O(B K).
    On a CUDA device by kernels of its own where they are built: two launches per iteration.
    Source: arXiv 2006.09882, section 3.1.
    """
    with torch.no_grad():
        dtype = scores.dtype if scores.dtype == torch.float64 else torch.float32
        library = library_if_built(scores, "scores")
        if library is not None and scores.numel():
            codes: Tensor = sinkhorn(device_rows(scores, "scores", library), eps, n_iterations)
            return codes.to(dtype)
        plan = scores.detach().double()
        plan = ((plan - plan.max()) / eps).clamp(min=_FLOOR)
        for _ in range(n_iterations):
            plan = torch.log_softmax(torch.log_softmax(plan, dim=0), dim=1)
        return plan.exp().to(dtype)
