"""Run by torchrun in test_pretrain.py: what two processes compute together is what one computes alone."""

import contextlib
import os
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import oneglance as og
from oneglance.features import Backbone, Preprocess
from oneglance.features.encoders import SmallResNet, SmallViT
from oneglance.features.progress import Meter
from oneglance.pretraining import contrastive, nnclr, ranks, swav
from oneglance.pretraining.methods import METHODS
from oneglance.pretraining.objective import Batch, Facts
from oneglance.pretraining.shared_norms import shared_norms

PICTURES = np.random.default_rng(0).normal(size=(20, 1, 8, 8)).astype(np.float32)
FAST = {"epochs": 3, "batch_size": 6, "device": "cpu", "workers": 1, "encoder": "vit-tiny"}


def build(method, encoder):
    torch.manual_seed(0)
    facts = Facts(n_pictures=32, batch_size=8, per_epoch=4, n_steps=8, size=(8, 8), n_channels=1)
    made = SmallViT(16, 1, 2, 2, 1) if encoder == "vit" else SmallResNet((8, 16), 1, 1, 1)
    return METHODS[method].stages[0].build(made, facts, {})


def gradients(objective, batch, around=False):
    called = torch.nn.parallel.DistributedDataParallel(objective, broadcast_buffers=False) if around else objective
    with shared_norms(objective) if around else contextlib.nullcontext():
        loss, _ = called(batch, 0)
        loss.backward()
    found = {name: value.grad.clone() for name, value in objective.named_parameters() if value.grad is not None}
    return found | {name: value for name, value in objective.named_buffers() if "running" in name}


def close(what, one, other):
    scale = max(value.abs().max().item() for value in other.values())
    worst = max((one[name] - other[name]).abs().max().item() for name in other)
    assert one.keys() == other.keys()
    assert worst <= 2e-5 * scale, (what, worst, scale)


def as_one(batch_of, method, encoder):
    """The gradients of one process with the pictures of both."""
    if method == "mae":  # a mean over pictures, each with its own mask
        halves = [gradients(build(method, encoder), batch_of(rank)) for rank in range(2)]
        return {name: (halves[0][name] + halves[1][name]) / 2 for name in halves[0]}
    own = {module: module.gather_rows for module in (swav, contrastive, nnclr)}
    for module in own:
        module.gather_rows = lambda rows: rows
    swav.rank, kept = (lambda: 0), swav.rank
    try:
        both = [batch_of(rank).big.split(4) for rank in range(2)]
        views = torch.cat([torch.cat([both[0][view], both[1][view]]) for view in range(2)])
        return gradients(build(method, encoder), Batch(views, None, 8, torch.Generator().manual_seed(0)))
    finally:
        swav.rank = kept
        for module, function in own.items():
            module.gather_rows = function


def batch_of(rank, n_views=2):
    random = torch.Generator().manual_seed(10 + rank)
    views = torch.randn(n_views * 4, 1, 8, 8, generator=random)
    return Batch(views, None, 4, random)


def check_losses():
    ranks.join(torch.device("cpu"))
    here = ranks.rank()
    rows = torch.arange(3.0).view(3, 1) + 10 * here
    assert ranks.gather_rows(rows).flatten().tolist() == [0, 1, 2, 10, 11, 12]
    assert ranks.mean_of_ranks(torch.tensor(float(here))).item() == 0.5
    assert ranks.any_rank(here == 1) is True
    assert ranks.any_rank(False) is False
    assert ranks.same_everywhere(7) is True
    assert ranks.same_everywhere(here) is False
    for method in ("mae", "swav", "simclr", "nnclr"):
        for encoder in ("vit",) if method == "mae" else ("vit", "resnet"):
            together = gradients(build(method, encoder), batch_of(here), around=True)
            close((method, encoder), together, as_one(batch_of, method, encoder))


def check_run(folder):
    made = og.pretrain(PICTURES, folder / "one", method="mae-ct", **FAST)
    assert [entry["stage"] for entry in made.curve] == ["mae", "head", "tune"]
    steps = []
    advance = Meter.advance

    def stop(self, n_items, n_bad):
        advance(self, n_items, n_bad)
        steps.append(self._what)
        if steps.count("pretrain") == 2 and os.environ["RANK"] == "1":  # one is asked, all stop
            os.kill(os.getpid(), signal.SIGINT)

    Meter.advance = stop
    try:
        og.pretrain(PICTURES, folder / "other", method="mae-ct", **FAST)
        raise AssertionError("not stopped")
    except KeyboardInterrupt:
        pass
    Meter.advance = advance
    og.pretrain(PICTURES, folder / "other", method="mae-ct", **FAST)


class Foreign(torch.nn.Module):
    """A part of it is reached by no loss."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4)
        self.unused = torch.nn.Linear(2, 2)

    def forward(self, pictures):
        return self.norm(self.conv(pictures)).relu()


def check_foreign():
    given = {**FAST, "encoder": "auto", "start": Backbone(Foreign(), Preprocess(size=8)), "method": "swav"}
    made = og.pretrain(PICTURES, **given)
    flat = torch.cat([value.flatten().double() for value in made.backbone.module.state_dict().values()])
    assert torch.equal(ranks.mean_of_ranks(flat), flat)  # both have the same weights and statistics


def check_other_pictures():
    """A file that one process cannot read must not end in a training of two halves, or in one that waits for ever."""
    for given in (PICTURES + ranks.rank(), PICTURES[: 20 - ranks.rank()]):
        with pytest.raises(og.InvalidInput, match="not all processes have the same pictures"):
            og.pretrain(given, **FAST)


def check_quiet():
    """Before all others: torch warns once."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        og.pretrain(PICTURES, method="swav", **{**FAST, "epochs": 1, "encoder": "resnet-tiny"})


check_quiet()
check_losses()
check_other_pictures()
check_run(Path(sys.argv[1]))
check_foreign()
print(f"rank {os.environ['RANK']} done", flush=True)
