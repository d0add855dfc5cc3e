"""The cascade: dispatcher, router, experts, whitening, files."""

import os
import signal
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="masks need torch")
pytest.importorskip("sklearn", reason="the router is fitted by scikit-learn")

from torch import nn  # noqa: E402

from oneglance import InvalidInput, MissingDependency, StoreError, adapt_cascade, load_cascade  # noqa: E402
from oneglance.masks.whitening import fit_router, fit_whitening  # noqa: E402

FAST = {"epochs": 2, "batch_size": 8, "device": "cpu", "workers": 1, "n_experts": 2, "lr": 200.0}


def net(seed=0):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 10, 3, 2, 1), nn.BatchNorm2d(10)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def pictures(n=48, seed=1):
    rng = np.random.default_rng(seed)
    found = rng.normal(0, 0.3, (n, 3, 12, 12)).astype(np.float32)
    found[::2] += np.sin(np.arange(12) * 1.5)[:, None].astype(np.float32)
    return found


@pytest.fixture(scope="module")
def cascade():
    return adapt_cascade(net(), pictures(), labels=[row % 2 for row in range(48)], **FAST)


def test_modes_have_the_layout_and_whitening_of_the_paper(cascade):
    given = pictures()
    assert sum(cascade.sizes) == 48
    for mode in ("dispatcher", "conditional", "unconditional"):
        rows = cascade.embed(given, mode, device="cpu")
        assert rows.shape[0] == 48
        assert rows.shape[1] <= 10  # the backbone's own number at most
        assert float(np.abs(np.cov(rows.T) - np.eye(rows.shape[1])).max()) < 0.02  # float16 directions
    with pytest.raises(InvalidInput, match="mode must be one of"):
        cascade.embed(given, "all")
    assert set(cascade.probe) == {"base", "dispatcher", "conditional", "unconditional"}


def test_conditional_features_are_zero_for_experts_not_asked(cascade):
    from oneglance.features import Backbone
    from oneglance.masks.pool import opened

    given = pictures()
    sent = cascade.route(given, device="cpu")
    assert set(sent) <= {0, 1}
    with opened(Backbone(net()), given, device="cpu") as pool:
        conditional, whole = cascade._raw(pool, "conditional"), cascade._raw(pool, "unconditional")
    for expert in (0, 1):
        block = slice(10 * (expert + 1), 10 * (expert + 2))
        assert not conditional[sent != expert, block].any()
        assert np.allclose(conditional[sent == expert, block], whole[sent == expert, block], atol=1e-5)


def test_saved_and_loaded_give_the_same_bits(cascade, tmp_path):
    n_bytes = cascade.save(tmp_path)
    assert set(n_bytes) == {"dispatcher.safetensors", "expert-0.safetensors", "expert-1.safetensors", "router.npz"}
    assert all((tmp_path / name).stat().st_size == size for name, size in n_bytes.items())
    loaded = load_cascade(tmp_path, net())
    for mode in ("dispatcher", "conditional", "unconditional"):
        given = pictures(seed=4)
        assert np.array_equal(cascade.embed(given, mode, device="cpu"), loaded.embed(given, mode, device="cpu"))
    assert loaded.sizes == cascade.sizes
    with pytest.raises(InvalidInput, match="hash"):
        load_cascade(tmp_path, net(seed=3))
    (tmp_path / "router.npz").write_bytes(b"PK nothing")
    with pytest.raises(StoreError, match=r"router.npz cannot be read"):
        load_cascade(tmp_path, net())


def test_an_interrupted_cascade_goes_on(cascade, tmp_path):
    def stop(now):
        if now.what == "expert 1":
            os.kill(os.getpid(), signal.SIGINT)

    given = {**FAST, "checkpoint": tmp_path, "labels": [row % 2 for row in range(48)]}
    with pytest.raises(KeyboardInterrupt):
        adapt_cascade(net(), pictures(), **given, progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.pt", "1.pt", "dispatcher.pt"]
    seen = []
    again = adapt_cascade(net(), pictures(), **given, progress=lambda now: seen.append(now.what))
    assert set(seen) == {"read", "expert 1"}
    for a, b in zip((cascade.dispatcher, *cascade.experts), (again.dispatcher, *again.experts), strict=True):
        assert all(torch.equal(value, b.masks()[name]) for name, value in a.masks().items())
    assert not list(tmp_path.iterdir())


def test_too_few_pictures_for_the_experts():
    seen = []
    with pytest.raises(InvalidInput, match="n_experts=5 needs 10 pictures at least, got 6"):
        adapt_cascade(net(), pictures(6), epochs=1, device="cpu", progress=lambda now: seen.append(now.what))
    assert set(seen) == {"read"}  # nothing has been trained for it


def test_a_missing_scikit_learn_is_told_before_the_training(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    seen = []
    with pytest.raises(MissingDependency, match="fitting a cascade needs scikit-learn"):
        adapt_cascade(net(), pictures(), **FAST, progress=lambda now: seen.append(now.what))
    assert not seen


def test_a_router_of_a_later_version_is_refused(cascade, tmp_path):
    cascade.save(tmp_path)
    with np.load(tmp_path / "router.npz") as arrays:
        kept = dict(arrays)
    kept["facts"] = np.array(str(kept["facts"]).replace('"version": 1', '"version": 2'))
    np.savez(tmp_path / "router.npz", **kept)
    with pytest.raises(StoreError, match="version 2, this oneglance reads 1"):
        load_cascade(tmp_path, net())


def test_router_agrees_with_scikit_learn_and_finds_groups():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 0.1, (100, 6)) + 3 * np.eye(6)[group] for group in range(3)])
    router = fit_router(rows, 3, 20, 0)
    sent = router(rows)
    groups = np.repeat(np.arange(3), 100)
    assert sorted(np.bincount(sent)) == [100, 100, 100]
    assert len({(a, b) for a, b in zip(sent, groups, strict=True)}) == 3


def test_whitening_leaves_out_directions_of_noise():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 9))
    assert fit_whitening(rows, 9, 0).directions.shape == (9, 3)
    assert np.isfinite(fit_whitening(np.ones((4, 3)), 2, 0)(np.ones((4, 3)))).all()
    tiny = fit_whitening(rows * 1e-8, 9, 0)
    assert float(np.abs(np.cov(tiny(rows * 1e-8).T) - np.eye(3)).max()) < 0.02
