"""Contrastive losses on tensors, and the queue of neighbours: differentiable, finite for finite rows. In the type of
their rows, whatever autocast makes of the network: cosines over a temperature of 0.1 are no matter of three digits.

Sources: NT-Xent of SimCLR (arXiv 2002.05709), InfoNCE with neighbours as positives of NNCLR (arXiv 2104.14548).
Definitions in NumPy: oneglance.reference.contrastive.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def unit(rows: Tensor) -> Tensor:
    """Rows (B, p) at length 1, whatever their length; rows of zeros stay and get no gradient."""
    top = rows.detach().abs().amax(dim=1, keepdim=True)
    scaled = rows / torch.where(top > 0, top, 1.0)
    squares = (scaled * scaled).sum(dim=1, keepdim=True)
    return scaled / torch.where(squares > 0, squares, 1.0).sqrt() * (top > 0)


def exact(rows: Tensor) -> torch.autocast:
    """Inside, products are computed in the type of their factors."""
    return torch.autocast(rows.device.type, enabled=False)


def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Mean over 2B views of -log softmax of the cosines / temperature with all other views, at the other view of the
    same picture. a, b (B, p), B >= 2; ln(2B - 1) for rows that are all alike. Cost 4 B^2 p."""
    rows = unit(torch.cat([a, b]))
    with exact(rows):
        logits = rows @ rows.T / temperature
    own = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    logs = torch.log_softmax(logits.masked_fill(own, float("-inf")), dim=1)
    partner = torch.arange(len(rows), device=rows.device).roll(len(a))
    return -logs.gather(1, partner[:, None]).mean()


def info_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Mean over rows i of -log softmax_j of the cosines of query i with keys j / temperature, at j = i.

    queries, keys  (B, p), B >= 2; ln B for rows that are all alike. Cost B^2 p.
    """
    with exact(queries):
        logits = unit(queries) @ unit(keys).T / temperature
    return -torch.log_softmax(logits, dim=1).diagonal().mean()


class NeighbourQueue(nn.Module):
    """The newest embeddings (length, p), of length 1 each, newest first; positives are drawn from those that are there.

    rows, filled  buffers, so that they are saved and moved with the rest
    """

    rows: Tensor
    filled: Tensor

    def __init__(self, length: int, n_dims: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(length, n_dims))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, embeddings: Tensor) -> None:
        """(B, p) any length; the oldest go."""
        new = unit(embeddings.detach().to(self.rows.dtype))
        length = len(self.rows)
        self.rows.copy_(torch.cat([new, self.rows])[:length])
        self.filled.copy_((self.filled + len(new)).clamp(max=length))

    @torch.no_grad()
    def positives(self, embeddings: Tensor, k: int = 1, ranks: Tensor | None = None) -> Tensor:
        """(B, p) for every row one of its k nearest by cosine: that of `ranks` (B,) in 0 .. k - 1, the nearest without
        them. An empty queue gives the rows back; one with fewer than k rows takes ranks modulo their number.

        Equal cosines: in any, yet always the same, order. Cost 2 B q p.
        """
        n_rows = int(self.filled)
        if not n_rows:
            return unit(embeddings.detach())
        known = self.rows[:n_rows]
        k = min(k, n_rows)
        with exact(known):
            near = (unit(embeddings.detach()).to(known.dtype) @ known.T).topk(k, dim=1).indices
        rank = torch.zeros(len(near), dtype=torch.int64) if ranks is None else ranks % k
        return known[near.gather(1, rank.to(near.device)[:, None]).flatten()]


def nnclr_loss(predicted: tuple[Tensor, Tensor], positives: tuple[Tensor, Tensor], temperature: float) -> Tensor:
    """Half of InfoNCE of each view's predictions (B, p) against the positives (B, p) of the other view."""
    a, b = predicted
    return (info_nce(b, positives[0], temperature) + info_nce(a, positives[1], temperature)) / 2


@torch.no_grad()
def follow(target: nn.Module, source: nn.Module, momentum: float) -> None:
    """Exponential moving average: every parameter of `target` becomes momentum * its own + (1 - momentum) * source's;
    buffers are copied. Same shapes in the same order."""
    for mine, theirs in zip(target.parameters(), source.parameters(), strict=True):
        mine.lerp_(theirs.detach().to(mine.dtype), 1 - momentum)
    for kept, newest in zip(target.buffers(), source.buffers(), strict=True):
        kept.copy_(newest)
