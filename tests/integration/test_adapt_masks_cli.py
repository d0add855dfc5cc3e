"""`oneglance adapt masks` as a user meets it."""

import csv
import json
import os
import signal

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="masks need torch")

from command_line import run  # noqa: E402

BACKBONE = "timm:test_resnet=random?size=32"
FAST = ("--epochs", 1, "--batch-size", 6, "--device", "cpu", "--workers", 1, "--progress", "none")


@pytest.fixture
def folder(tmp_path, make_pictures, torchvision):
    pytest.importorskip("timm", reason="a small network by name")
    for number, name in enumerate(("cats", "dogs")):
        make_pictures(tmp_path / "pool" / name, 9, size=32, seed=number)
    return tmp_path / "pool"


def test_folder_to_mask_and_back(folder, tmp_path):
    import oneglance as og

    out = tmp_path / "mask"
    text, _ = run("adapt", "masks", folder, "-b", BACKBONE, "--out", out, "--labels", "label", *FAST)
    assert "go: accuracy changes by" in text
    assert "adabn: view consistency" in text
    assert "times smaller than float32" in text
    assert sorted(path.name for path in out.iterdir()) == ["mask.safetensors", "report.json"]
    report = json.loads((out / "report.json").read_text())
    assert report["pictures"] == 18
    assert report["settings"]["epochs"] == 1
    mask = og.load_mask(out, BACKBONE)
    assert mask.base_hash == report["base_hash"]
    assert mask.apply(mask.base).module is not mask.base.module
    _, err = run("adapt", "masks", folder, "-b", BACKBONE, "--out", out, *FAST, code=2)
    assert "holds mask.safetensors already" in err
    found, _ = run("adapt", "masks", folder, "-b", BACKBONE, "--out", out, *FAST, "--overwrite", "--json")
    assert json.loads(found)["go"] in (True, False)


def test_labels_from_a_file_and_supervised(folder, tmp_path):
    known = tmp_path / "done.csv"
    with open(known, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "label"])
        rows.writerows([f"{name}/{i:03d}.png", name] for name in ("cats", "dogs") for i in range(8))
    out = tmp_path / "m"
    run("adapt", "masks", folder, "-b", BACKBONE, "--out", out, "--labels", known, "--supervised", *FAST)
    assert json.loads((out / "report.json").read_text())["settings"]["warm_up"] > 0
    _, err = run("adapt", "masks", folder, "-b", BACKBONE, "--supervised", code=2)
    assert "--supervised needs --labels" in err
    _, err = run("adapt", "masks", folder, "-b", BACKBONE, "--labels", "nowhere.csv", code=2)
    assert "--labels: 'nowhere.csv' is neither" in err


def test_ctrl_c_keeps_a_checkpoint_and_the_same_command_goes_on(folder, tmp_path, monkeypatch):
    from oneglance.features.progress import Meter

    command = ("adapt", "masks", folder, "-b", BACKBONE, *FAST, "--seed", 3)
    run(*command, "--out", tmp_path / "whole")
    advance, steps = Meter.advance, []

    def interrupted(self, n_items, n_bad):
        advance(self, n_items, n_bad)
        if self._what == "adapt":
            steps.append(n_items)
            if len(steps) == 2:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Meter, "advance", interrupted)
    _, err = run(*command, "--out", tmp_path / "m", code=4)
    assert "run the same command again" in err
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["checkpoint"]
    run(*command, "--out", tmp_path / "m")
    assert len(steps) == 3  # of 18 pictures in batches of 6
    names = ("whole", "m")
    first, second = ((tmp_path / name / "mask.safetensors").read_bytes() for name in names)
    assert first == second


def test_a_mask_that_cannot_be_written_leaves_the_training(folder, tmp_path, monkeypatch):
    from oneglance import StoreError
    from oneglance.masks import self_mask

    command = ("adapt", "masks", folder, "-b", BACKBONE, *FAST, "--out", tmp_path / "m")
    steps = []
    monkeypatch.setattr("oneglance.features.progress.Meter.advance", lambda *_: steps.append(1))

    def full(*_, **__):
        raise StoreError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(self_mask, "write_mask_file", full)
        _, err = run(*command, code=2)
    assert "disk full" in err
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["checkpoint"]
    before = len(steps)
    run(*command)
    assert len(steps) - before == 18  # read again, not trained again
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["mask.safetensors", "report.json"]


def test_a_cascade(folder, tmp_path):
    pytest.importorskip("sklearn", reason="the router is fitted by scikit-learn")
    out = tmp_path / "m"
    text, _ = run("adapt", "masks", folder, "-b", BACKBONE, "--out", out, "--experts", 2, *FAST, "--labels", "label")
    assert "Cascade(2 experts of" in text
    assert "unconditional: accuracy" in text
    names = ["dispatcher.safetensors", "expert-0.safetensors", "expert-1.safetensors", "report.json", "router.npz"]
    assert sorted(path.name for path in out.iterdir() if path.is_file()) == names


def test_dry_run_says_what_would_be_masked(folder, tmp_path):
    text, _ = run("adapt", "masks", folder, "-b", BACKBONE, "--out", tmp_path / "m", "--dry-run")
    assert "resnet:" in text
    assert "18, image folder pool" in text
    assert not (tmp_path / "m").exists()
    found, _ = run("adapt", "masks", folder, "-b", BACKBONE, "--tensors", "conv1.*", "--dry-run", "--json")
    assert all(name.startswith("conv1.") for name in json.loads(found)["plan"]["tensors"])
    _, err = run("adapt", "masks", folder, "-b", BACKBONE, "--tensors", "nothing*", "--dry-run", code=2)
    assert "matches no parameter. The module has" in err


def test_embed_with_a_mask_on(folder, tmp_path):
    """The base and the adapted network side by side in one store."""
    import oneglance as og

    again = ("-b", f"{BACKBONE}&name=adapted")
    once = ("embed", folder, "-b", BACKBONE, "--device", "cpu", "--workers", 1, "--progress", "none")
    for statistics in ("stored", "re-estimate"):
        out = tmp_path / statistics
        run("adapt", "masks", folder, "-b", BACKBONE, "--out", out, *FAST, "--statistics", statistics)
        text, _ = run(*once, *again, "--mask", f"adapted={out}", "-o", tmp_path / f"{statistics}.store")
        assert 'backbone "adapted"' in text
        found = og.open_store(tmp_path / f"{statistics}.store")
        base, adapted = (np.asarray(found.features(name)) for name in found.backbones)
        assert abs(base - adapted).max() > 1e-3
        mask = og.load_mask(out, BACKBONE)
        own = og.embed(folder, mask.apply(mask.base, folder), tmp_path / f"{statistics}.own", device="cpu")
        assert (np.asarray(own.features(own.backbones[0])) == adapted).all()
    run(*once, "--mask", out, "-o", tmp_path / "one.store")
    run(*once, "--mask", out, "-o", tmp_path / "none.store", "--dry-run")
    assert not (tmp_path / "none.store").exists()
    for given, message in [
        ((*again, "--mask", out), "--mask must say which backbone"),
        ((*again, "--mask", "adapted="), "--mask 'adapted=' names no file"),
        ((*again, "--mask", f"adapted={out}", "--mask", f"adapted={out}"), "two masks for the backbone"),
        (("--mask", tmp_path / "nowhere"), "no mask file at"),
    ]:
        _, err = run(*once, *given, "-o", tmp_path / "bad.store", code=2)
        assert message in err
    _, err = run("embed", folder, "--mask", out, "-o", tmp_path / "bad.store", code=2)
    assert "--mask needs --backbone" in err


def test_a_folder_that_another_run_writes_is_left_alone(folder, tmp_path):
    from oneglance.store.lock import only_writer

    with only_writer(tmp_path / "busy"):
        _, err = run("adapt", "masks", folder, "-b", BACKBONE, "--out", tmp_path / "busy", *FAST, code=2)
        assert "busy is being written by another call" in err
    assert not (tmp_path / "busy").exists()
