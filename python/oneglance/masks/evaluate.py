"""Features of a shelf under given tensors, and statistics of batch norms measured over it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import InvalidInput
from .crops import Crops, make_views
from .network import Network, reset_statistics
from .shelf import Shelf
from .train import seeded

_BATCH = 256


def _parts(n_rows: int) -> list[Tensor]:
    """Row numbers in parts of nearly one size, so that a mean over parts is one over rows."""
    return list(torch.arange(n_rows).tensor_split(max(1, -(-n_rows // _BATCH))))


def _mixed_parts(n_rows: int) -> list[Tensor]:
    """The same number of parts of a fixed random order: sources are mostly sorted by class, and batch norms that see
    one class at a time measure its spread, not the pool's."""
    order = torch.randperm(n_rows, generator=seeded(0, "statistics"))
    return [numbers.sort().values for numbers in order.tensor_split(len(_parts(n_rows)))]


@torch.no_grad()
def measure_statistics(
    net: Network, shelf: Shelf, replaced: Mapping[str, Tensor], device: torch.device, compute: str = "float32"
) -> dict[str, Tensor]:
    """AdaBN: means and variances of every batch norm over the plain pictures, from scratch, in batches of up to 256
    that are drawn from the whole pool. One pass."""
    statistics = net.copy_statistics()
    reset_statistics(statistics)
    with net.norms_in_training(momentum=None):
        for numbers in _mixed_parts(len(shelf)):
            try:
                net.features(shelf.plain(numbers, device), replaced, statistics, compute)
            except ValueError as error:  # one picture, and a map of one place
                raise InvalidInput(
                    f"images: {len(shelf)} pictures are too few for the statistics of batch norms ({error}). "
                    'Give more, or bn="frozen".'
                ) from None
    return statistics


@torch.no_grad()
def features_of(
    net: Network,
    shelf: Shelf,
    replaced: Mapping[str, Tensor],
    statistics: Mapping[str, Tensor],
    device: torch.device,
    compute: str = "float32",
) -> npt.NDArray[np.float32]:
    """(n, d) of the plain pictures, batch norms at rest."""
    found = [
        net.features(shelf.plain(numbers, device), replaced, statistics, compute).cpu()
        for numbers in _parts(len(shelf))
    ]
    return np.asarray(torch.cat(found).numpy(), dtype=np.float32)


@torch.no_grad()
def view_features(
    net: Network,
    shelf: Shelf,
    replaced: Mapping[str, Tensor],
    statistics: Mapping[str, Tensor],
    crops: Crops,
    device: torch.device,
    seed: int,
    compute: str = "float32",
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(n, d) twice: of two views of every picture; the same views for every network."""
    first, second = [], []
    for at, numbers in enumerate(_parts(len(shelf))):
        big, _ = make_views(shelf.unit(numbers, device), crops, seeded(seed, "guard", at))
        both = net.features(shelf.levels.to_input(big), replaced, statistics, compute).cpu()
        first.append(both[: len(numbers)])
        second.append(both[len(numbers) :])
    return np.asarray(torch.cat(first).numpy()), np.asarray(torch.cat(second).numpy())
