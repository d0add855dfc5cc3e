"""Collapse planted into a real training is said, with its cure, and the same training without it is quiet."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pretraining needs torch")

import oneglance as og  # noqa: E402
from oneglance.features import Backbone  # noqa: E402
from oneglance.features.encoders import SmallResNet  # noqa: E402

PICTURES = np.random.default_rng(0).random((48, 1, 8, 8)).astype(np.float32)


class Planted(torch.nn.Module):
    """A small network with what is planted behind it."""

    def __init__(self, plant):
        super().__init__()
        torch.manual_seed(0)
        self.net, self.plant = SmallResNet((8, 16), 1, 1, 1), plant

    def forward(self, pictures):
        return self.plant(self.net(pictures))


def trained(plant, method):
    start = Backbone(Planted(plant).eval(), name="planted")
    return og.pretrain(PICTURES, method=method, start=start, epochs=6, batch_size=16, device="cpu", workers=1)


PLANTS = {
    "constant": (lambda rows: 0 * rows + 1, "collapsed: all pictures get the same"),
    "line": (lambda rows: rows.mean(dim=1, keepdim=True) * torch.linspace(-1, 2, 16) + 1, "one direction only"),
}


@pytest.mark.parametrize("method", ["swav", "simclr"])
@pytest.mark.parametrize("name", PLANTS)
def test_planted_collapse_is_said_once_in_the_first_epochs(name, method):
    plant, words = PLANTS[name]
    said = [text for text in trained(plant, method).alarms if words in text]
    assert len(said) == 1
    assert said[0].startswith(f"{method}, epoch 1: ")
    assert "lr" in said[0]


def test_constant_features_leave_the_loss_at_guessing():
    said = trained(PLANTS["constant"][0], "swav").alarms
    assert any("stays at that of guessing" in text for text in said)


@pytest.mark.parametrize("method", ["swav", "simclr", "nnclr"])
def test_the_same_network_without_it_is_quiet(method):
    assert [text for text in trained(torch.nn.Identity(), method).alarms if "guessing" not in text] == []
