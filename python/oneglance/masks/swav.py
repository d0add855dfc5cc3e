"""SwAV: views of a picture predict each other's codes over prototypes. Projection, prototypes, queue and loss.

Source: arXiv 2006.09882; with the single linear projection of arXiv 2409.07577.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .sinkhorn import sinkhorn_codes

N_CODED = 2
"""Views that get codes: the two big ones."""


class SwavHead(nn.Module):
    """features (B, d) -> embeddings (B, p) of unit length; scores are their cosines with the prototypes (K, p).

    Used in training only and thrown away afterwards. Drawn from `generator`, so that a seed says all.
    """

    def __init__(self, n_dims: int, n_projected: int, n_prototypes: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = n_dims**-0.5
        weight = (torch.rand(n_projected, n_dims, generator=generator) * 2 - 1) * bound
        bias = (torch.rand(n_projected, generator=generator) * 2 - 1) * bound
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        drawn = torch.randn(n_prototypes, n_projected, generator=generator)
        self.prototypes = nn.Parameter(functional.normalize(drawn, dim=1))

    def forward(self, features: Tensor) -> Tensor:
        return functional.normalize(functional.linear(features, self.weight, self.bias), dim=1)

    def scores(self, embeddings: Tensor) -> Tensor:
        """(B, K) cosines."""
        return embeddings @ self.prototypes.T

    @torch.no_grad()
    def renormalise(self) -> None:
        """Prototypes back to unit length; before every step."""
        self.prototypes.copy_(functional.normalize(self.prototypes, dim=1))


class Queue:
    """The newest embeddings of each coded view, so that small batches get even codes.

    rows   (N_CODED, length, p), newest first     filled  how many of them are there; used only when full
    """

    def __init__(self, length: int, n_projected: int, device: torch.device) -> None:
        self.rows = torch.zeros(N_CODED, length, n_projected, device=device)
        self.filled = 0

    @property
    def ready(self) -> bool:
        return 0 < self.rows.shape[1] <= self.filled

    def push(self, embeddings: Sequence[Tensor]) -> None:
        """One (B, p) per coded view."""
        length = self.rows.shape[1]
        if not length:
            return
        new = torch.stack([view.detach()[:length] for view in embeddings])
        self.rows = torch.cat([new, self.rows], dim=1)[:, :length].contiguous()
        self.filled = min(length, self.filled + new.shape[1])


def swav_loss(
    head: SwavHead,
    embeddings: Sequence[Tensor],
    eps: float,
    temperature: float,
    queue: Queue | None = None,
    everyone: Callable[[Tensor], tuple[Tensor, int]] | None = None,
) -> tuple[Tensor, Tensor]:
    """The loss of one batch, and the codes' mean over the batch (K,).

    embeddings  one (B, p) per view, the coded ones first
    loss = 1/2 sum_a 1/(V-1) sum_{v != a} mean_i - sum_k q_a[i, k] log softmax(scores_v[i] / temperature)_k
    queue       its rows join the coded views in the transport, where it is full; it is not changed
    everyone    scores of this process -> those of all that train together, and the place of its own first row: the
                transport is then over all of them
    """
    scores = [head.scores(view) for view in embeddings]
    logs = [functional.log_softmax(view / temperature, dim=1) for view in scores]
    total = torch.zeros((), device=scores[0].device)
    use = torch.zeros(scores[0].shape[1], device=scores[0].device)
    for a in range(N_CODED):
        known, first = scores[a].detach(), 0
        if everyone is not None:
            known, first = everyone(known)
        if queue is not None and queue.ready:
            known = torch.cat([known, head.scores(queue.rows[a]).detach()])
        codes = sinkhorn_codes(known, eps)[first : first + len(scores[a])]
        use += codes.mean(dim=0) / N_CODED
        others = [log for v, log in enumerate(logs) if v != a]
        total = total - torch.stack([(codes * log).sum(dim=1).mean() for log in others]).mean() / N_CODED
    return total, use
