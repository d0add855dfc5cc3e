"""Processes that train together (torchrun): who one is, and tensors of all of them."""

from __future__ import annotations

import atexit
import os
from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

# The last collectives. Gloo's threads let go of one after it has woken its caller. Were theirs the last reference, they
# would free Python's tensors, for which they need the GIL: at the end of the process that aborts it (torch 2.13).
_ENDED: deque[Any] = deque(maxlen=8)


def world() -> int:
    """How many processes train together; 1 without a process group."""
    return dist.get_world_size() if _joined() else 1


def expected() -> int:
    """How many processes will train together, also where they have not met yet."""
    return int(os.environ["WORLD_SIZE"]) if asked_for() and not _joined() else world()


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This one's number, 0 .. world() - 1; number 0 writes files and shows progress."""
    return dist.get_rank() if world() > 1 else 0


def join(device: torch.device) -> None:
    """Makes this process one of those that torchrun started, once and until it ends: a second group of the same
    processes would find the first one's addresses."""
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this process reports to the user: the only one, or number 0, also after the process group has ended."""
    return os.environ.get("RANK", "0") == "0" or not asked_for()


def _together(collective: Callable[..., Any], *values: Any, **options: Any) -> None:
    """One call of torch.distributed by all processes; returns when it is done."""
    work = collective(*values, **options, async_op=True)
    work.wait()
    if dist.get_backend() == "gloo":
        _ENDED.append(work)


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(world())]
        _together(dist.all_gather, parts, rows.contiguous())
        ctx.n = len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        whole = grads[0].contiguous().clone()
        _together(dist.all_reduce, whole)
        return whole[rank() * ctx.n : (rank() + 1) * ctx.n]


def gather_rows(rows: Tensor) -> Tensor:
    """(world() * B, ...): the rows of all processes, in their order; differentiable; every process must have B rows.

    With losses that are means over a process's own rows, and gradients averaged over processes, parameters get the
    gradient of the mean loss over all rows.
    """
    if world() == 1:
        return rows
    gathered: Tensor = _GatherRows.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


def mean_of_ranks(value: Tensor) -> Tensor:
    """The mean over processes, without gradient."""
    value = value.detach().clone()
    if world() > 1:
        _together(dist.all_reduce, value)
        value /= world()
    return value


def any_rank(flag: bool) -> bool:
    """Whether it is true in some process; all must ask."""
    if world() == 1:
        return flag
    found = torch.tensor(float(flag))
    if dist.get_backend() == "nccl":
        found = found.cuda()
    _together(dist.all_reduce, found, op=dist.ReduceOp.MAX)
    return bool(found.item() > 0)


def wait_for_all() -> None:
    """Returns when all processes are here: what the first one has written before can be read after."""
    any_rank(False)


def same_everywhere(value: int) -> bool:
    """Whether all processes have the same number; all must ask."""
    if world() == 1:
        return True
    both = torch.tensor([value, -value], dtype=torch.int64)
    if dist.get_backend() == "nccl":
        both = both.cuda()
    _together(dist.all_reduce, both, op=dist.ReduceOp.MAX)
    return bool((both[0] == -both[1]).item())


def asked_for() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ
