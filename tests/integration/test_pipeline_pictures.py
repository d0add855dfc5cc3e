"""A pipeline from pictures: embedded, pretrained on, adapted."""

import functools
import importlib
import os
from pathlib import Path

import numpy as np
import pytest
from pipeline_pool import CLASSES, listed, og_record, states, to_the_end, why, write

import oneglance as og

pytest.importorskip("safetensors", reason="the step adapt saves heads")


def pictures(folder, n, seed):
    """Rings, blobs and bars on noise, 24 x 24."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :24]
    for i in range(n):
        kind = CLASSES[i % 3]
        cx, cy = rng.uniform(9, 15, 2)
        far = np.hypot(x - cx, y - cy)
        shape = {"blob": far < 5, "ring": abs(far - 6) < 1.5, "bar": abs(x - cx) < 2}[kind]
        pixels = rng.integers(0, 60, (24, 24, 3)) + 180 * shape[..., None]
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / kind / f"{i:03d}.bmp")


def network(path, seed):
    """A small random network as TorchScript."""
    import warnings

    torch = pytest.importorskip("torch")
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 24, 5, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveMaxPool2d(3),
                              torch.nn.Flatten())  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch wants torch.export instead
        torch.jit.trace(net.eval(), torch.zeros(1, 3, 24, 24)).save(str(path))


PICTURES = """
[pool]
source = "pool"
backbones = ["torchscript:one.pt?size=24&mean=0.5&std=0.5"]
[test]
source = "test"
[audit]
workers = 0
permutations = 199
sample_rows = 100
clusters = 3
hamming = 0
near = 0.9999
[embed]
workers = 0
shard_rows = 32
[select]
budget = 18
[adapt]
head = "nearest_mean"
scale = "standardise"
[evaluate]
repeats = 3
curve = [1.0]
"""


def test_pictures_from_the_files_to_the_report(tmp_path):
    pictures(tmp_path / "pool", 90, 0)
    pictures(tmp_path / "test", 30, 1)
    network(tmp_path / "one.pt", 0)
    path = write(tmp_path, PICTURES)
    found = to_the_end(path)
    folder = found.folder
    rows = listed(path)
    assert all(Path(row["path"]).is_file() for row in rows)
    shipped = sum(os.stat(row["path"]).st_size for row in rows) + os.stat(folder / "to_label.csv").st_size
    assert found.ledger["steps"]["select"]["shipped"] == shipped
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert html.count("data:image/jpeg") == len(rows)
    assert found.gates[-1].go

    # Another backbone: the first one's shards stay as they are.
    shards = {one: os.stat(one).st_ino for one in sorted((folder / "store" / "features").rglob("*.npy"))}
    network(tmp_path / "two.pt", 1)
    two = PICTURES.replace('std=0.5"]', 'std=0.5", "torchscript:two.pt?size=24&mean=0.5&std=0.5"]')
    write(tmp_path, two)
    found = og.run_pipeline(path)
    assert (found.state, states(found)["audit"], states(found)["embed"]) == ("finished", "kept", "done")
    assert {one: os.stat(one).st_ino for one in shards} == shards
    assert og.open_store(folder / "store").backbones == ("one", "two")

    # A picture of the same size with other pixels; one that cannot be read.
    victim = tmp_path / "pool" / "blob" / "001.bmp"
    pixels = bytearray(victim.read_bytes())
    pixels[-600:] = bytes(600)
    victim.write_bytes(bytes(pixels))
    before = np.array(og.open_store(folder / "store").features("one"), dtype=np.float32)
    found = og.run_pipeline(path)
    assert "pool changed (001.bmp)" in why(found, "embed")
    assert {"audit", "embed"} <= set(found.ran)
    after = np.array(og.open_store(folder / "store").features("one"), dtype=np.float32)
    assert np.flatnonzero((before != after).any(axis=1)).size == 1
    (tmp_path / "pool" / "ring" / "002.bmp").write_bytes(b"BM no picture")
    write(tmp_path, two + "[gates]\nunusable = 0.0\n")
    found = og.run_pipeline(path)
    assert found.state == "stopped"
    assert "1 of 90 items cannot be used" in found.message
    found = og.run_pipeline(path, force=["unusable"])
    assert found.state == "finished"
    assert [entry["step"] for entry in found.ledger["forced"]] == ["audit", "embed", "audit_features"]

    # No picture is so small: what counts as unreadable has changed.
    write(tmp_path, two.replace("[test]", "max_pixels = 100\n[test]"))
    with pytest.raises(og.BadData, match="90 of 90|pixels"):
        og.run_pipeline(path, until="embed", force=["unusable"])
    write(tmp_path, two)

    # Other weights in the same file: the store is begun anew.
    network(tmp_path / "two.pt", 2)
    assert "backbones changed" in why(og.run_pipeline(path, force=["unusable"]), "embed")


OWN = """
[pool]
source = "pool"
[pretrain]
method = "simclr"
encoder = "resnet-tiny"
epochs = 1
size = 24
[test]
source = "test"
[audit]
pictures = false
features = false
[embed]
workers = 0
[select]
budget = 12
[adapt]
method = "finetune"
recipe = "lp_ft"
steps = 6
folds = 2
[evaluate]
repeats = 3
curve = [1.0]
[gates]
majority = "off"
"""


@pytest.mark.slow  # trains: a minute on one busy core
@pytest.mark.parametrize("method", ["finetune", "masks"])
def test_pretrained_and_adapted(tmp_path, monkeypatch, method):
    """A backbone from the pool's pictures, then adapted, and used whatever the verdict says."""
    pytest.importorskip("torch")
    home = importlib.import_module(f"oneglance.pipeline.methods.{method}")
    pictures(tmp_path / "pool", 48, 0)
    pictures(tmp_path / "test", 15, 1)
    path = write(tmp_path, OWN, ('method = "finetune"', f'method = "{method}"\nepochs = 1'))
    if method == "finetune":
        monkeypatch.setattr(home, "finetune", functools.partial(home.finetune, roll_back=False, repeats=1))
    else:
        plain = home._train
        monkeypatch.setattr(home, "_train", lambda *args: plain(*args) | {"go": True})
    found = to_the_end(path)
    told = {name: og_record(found.folder, name)["summary"] for name in ("pretrain", "adapt", "evaluate")}
    assert told["pretrain"]["n_pictures"] == 48
    assert found.ledger["steps"]["adapt"]["stored"] > 0
    place = {"finetune": "finetuned", "masks": "masks"}[method]
    adapted = told["adapt"]
    if method == "finetune":
        assert adapted["compared"]["tuned"][0]["recipe"] == "lp_ft"
        assert told["evaluate"]["curve_of"] == "frozen backbones"
        assert adapted["store"].startswith(place)
    assert set(adapted["compared"]) >= {"frozen"}
    store = og.open_store(found.folder / adapted["store"])
    assert store.backbones == ("pretrained",)
    frozen, other = (
        np.array(og.open_store(folder).features("pretrained"), dtype=np.float32)
        for folder in (found.folder / "store", next((found.folder / place).glob("*/store")))
    )
    assert not np.array_equal(frozen, other)
    assert og.run_pipeline(path).ran == ()
    monkeypatch.undo()
    write(tmp_path, path.read_text(encoding="utf-8"), (f'method = "{method}"', 'method = "heads"'))
    found = og.run_pipeline(path)
    assert found.ran == ("adapt", "evaluate")
    assert not list((found.folder / place).glob("*")), "what the other method left is cleared away"


def test_a_network_called_like_a_folder_of_the_run(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from oneglance.features import Backbone, Preprocess
    from oneglance.features.encoders import build_encoder, choose_shape
    from oneglance.features.saved import backbone_files

    home = importlib.import_module("oneglance.pipeline.methods.finetune")
    monkeypatch.setattr(home, "finetune", functools.partial(home.finetune, roll_back=False, repeats=1))
    pictures(tmp_path / "pool", 36, 0)
    (tmp_path / "store").mkdir()
    network = Backbone(build_encoder(choose_shape("resnet-tiny", (24, 24))), Preprocess(24))
    for name, content in backbone_files(network, {}).items():
        (tmp_path / "store" / name).write_bytes(content)
    text = OWN.partition("[pretrain]")[0] + 'backbones = ["store"]\n[audit]' + OWN.partition("[audit]")[2]
    path = write(tmp_path, text, ("steps = 6", "steps = 1"), ("[select]", '[select]\nstrategy = "random"'))
    found = to_the_end(path)
    adapted = og_record(found.folder, "adapt")["summary"]
    assert adapted["heads_folder"].startswith("finetuned/")
    assert adapted["notes"][-1].startswith("Tuned networks and their heads count all labels alike")
    heads, store = (found.folder / adapted[name] for name in ("heads_folder", "store"))
    assert og.load_heads(heads).predict_ensemble(store).size == 36
    assert og.run_pipeline(path).ran == ()
    next(found.folder.glob("finetuned/*/networks/store/weights.pt")).unlink()
    again = og.run_pipeline(path)
    assert "weights.pt is missing" in why(again, "adapt")
    assert og_record(found.folder, "adapt")["summary"] == adapted
    monkeypatch.setattr(home, "finetune", lambda *_, **__: pytest.fail("tuned again"))
    for old, new in (("[evaluate]", "[evaluate]\nlevel = 0.9"), ("steps = 1", 'steps = 1\nhead = "nearest_mean"')):
        write(tmp_path, path.read_text(encoding="utf-8"), (old, new))
        assert "adapt" in og.run_pipeline(path).ran, "heads are fitted anew, networks are kept"
