"""The quickstart's small backbones: shapes, determinism, and that training does what it says."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the small backbones need torch")

from oneglance.errors import InvalidInput  # noqa: E402
from oneglance.features.small import N_DIMS, RECIPES, patches, train_small_backbone  # noqa: E402


def pictures(n: int = 65, seed: int = 0) -> np.ndarray:
    """Bright bars on a dark ground, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, 1, 8, 8), dtype=np.float32)
    for image, column, tall in zip(images, rng.integers(0, 7, n), rng.integers(3, 9, n), strict=True):
        image[0, :tall, column : column + 2] = 1.0
    return images


@pytest.mark.parametrize("name", list(RECIPES))
def test_features_are_finite_and_differ_between_pictures(name: str) -> None:
    data = pictures()
    trained = train_small_backbone(name, data, epochs=1)
    features = trained.module(torch.tensor(data)).numpy()
    assert features.shape == (65, N_DIMS)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert np.unique(features.round(5), axis=0).shape[0] > 10
    assert not trained.module.training
    assert not any(parameter.requires_grad for parameter in trained.module.parameters())


@pytest.mark.parametrize("name", list(RECIPES))
def test_same_seed_same_weights_whatever_the_callers_random_state(name: str) -> None:
    data = pictures(33)
    torch.manual_seed(1)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    one = train_small_backbone(name, data, epochs=2, seed=5).module.state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads
    torch.manual_seed(2)
    two = train_small_backbone(name, data, epochs=2, seed=5).module.state_dict()
    other = train_small_backbone(name, data, epochs=2, seed=6).module.state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("name", "share"), [("denoiser", 0.8), ("patches", 0.8), ("contrast", 0.95)])
def test_training_lowers_its_own_loss(name: str, share: float) -> None:
    data = pictures(128)
    short, long = (train_small_backbone(name, data, epochs=epochs).loss for epochs in (1, 30))
    assert long < share * short


def test_a_features_row_does_not_depend_on_its_batch() -> None:
    data = torch.tensor(pictures(17))
    for name in RECIPES:
        module = train_small_backbone(name, data, epochs=0).module
        apart = torch.cat([module(data[:1]), module(data[1:])])
        assert (apart - module(data)).abs().max() <= 1e-5


def test_patches_are_two_by_two_row_by_row() -> None:
    image = torch.arange(64.0).view(1, 1, 8, 8)
    assert patches(image)[0, :2].tolist() == [[0, 1, 8, 9], [2, 3, 10, 11]]
    assert patches(image)[0, 4].tolist() == [16, 17, 24, 25]


def test_zero_epochs_is_the_drawn_network() -> None:
    assert np.isnan(train_small_backbone("denoiser", pictures(), epochs=0).loss)


def test_bad_input() -> None:
    with pytest.raises(InvalidInput, match="name must be one of denoiser, patches, contrast; got 'resnet50'"):
        train_small_backbone("resnet50", pictures())
    with pytest.raises(InvalidInput, match=r"pictures must have shape \(n >= 2, 1, 8, 8\), got \(65, 8, 8\)"):
        train_small_backbone("denoiser", pictures()[:, 0])
    with pytest.raises(InvalidInput, match="epochs must be an integer >= 0, got -1"):
        train_small_backbone("denoiser", pictures(), epochs=-1)
