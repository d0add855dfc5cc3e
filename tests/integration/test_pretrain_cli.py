"""`oneglance pretrain` as a user meets it."""

import json
import os
import signal

import pytest

torch = pytest.importorskip("torch", reason="pretraining needs torch")

from command_line import run  # noqa: E402

FAST = ("--epochs", 1, "--batch-size", 6, "--device", "cpu", "--workers", 1, "--progress", "none")


@pytest.fixture
def folder(tmp_path, make_pictures):
    make_pictures(tmp_path / "pool", 18, size=8)
    return tmp_path / "pool"


def test_folder_to_backbone_to_store(folder, tmp_path):
    import oneglance as og

    out = tmp_path / "small"
    text, err = run("pretrain", folder, "--out", out, *FAST, "--set", "mask_ratio=0.5", "--set", "norm_pix=no")
    assert "mae on 18 pictures at 8 x 8: vit-tiny, patch 2, 795,136 weights, 3 steps of 6 pictures" in err
    assert text.startswith("mae: 1 epochs, loss ")
    assert f"-> {out}; oneglance embed ... -b {out}" in text
    assert sorted(path.name for path in out.iterdir()) == ["backbone.json", "record.json", "told.png", "weights.pt"]
    stage = json.loads((out / "record.json").read_text())["settings"]["stages"][0]
    assert (stage["mask_ratio"], stage["norm_pix"]) == (0.5, False)
    run("embed", folder, "-b", out, "-o", tmp_path / "store", "--workers", 0, "--progress", "none", "--device", "cpu")
    assert og.open_store(tmp_path / "store").features("small").shape == (18, 128)
    _, err = run("pretrain", folder, "--out", out, *FAST, code=2)
    assert "holds a backbone already. Choose another folder, or overwrite=True / --overwrite" in err
    found, _ = run("pretrain", folder, "--out", out, *FAST, "--from", out, "--overwrite", "--json")
    document = json.loads(found)
    assert document["provenance"]["start"].startswith("pretrained:small (weights ")
    assert len(document["curve"]) == 1


def test_dry_run_says_what_and_how_long_and_writes_nothing(folder, tmp_path):
    out = tmp_path / "b"
    text, _ = run("pretrain", folder, "--out", out, "--method", "mae-ct", "--size", "8x12", "--dry-run")
    assert "seen at   8 x 12 pixels, 3 channels" in text
    assert "encoder   vit-tiny, patch 2" in text
    for row in ("steps ", "memory ", "time ", "mae ", "head ", "tune "):
        assert f"\n{row}" in text
    assert not out.exists()
    found, _ = run("pretrain", folder, "--dry-run", "--method", "swav", "--json", *FAST[:4])
    plan = json.loads(found)["plan"]
    assert plan["n_steps"] == 3
    assert plan["seconds"] > 0
    assert plan["n_bytes"] > 0
    assert plan["stages"][0]["n_prototypes"] == 6  # no more than a batch can use evenly


def test_ctrl_c_keeps_a_checkpoint_and_the_same_command_goes_on(folder, tmp_path, monkeypatch):
    from oneglance.features.progress import Meter

    command = ("pretrain", folder, *FAST, "--method", "swav", "--seed", 3)
    run(*command, "--out", tmp_path / "whole")
    advance, steps = Meter.advance, []

    def interrupted(self, n_items, n_bad):
        advance(self, n_items, n_bad)
        if self._what == "pretrain":
            steps.append(n_items)
            if len(steps) == 2:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Meter, "advance", interrupted)
    _, err = run(*command, "--out", tmp_path / "b", code=4)
    assert "run the same command again" in err
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["checkpoint"]
    run(*command, "--out", tmp_path / "b")
    assert len(steps) == 3
    for name in ("weights.pt", "backbone.json"):
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--method", "mea"), "method must be one of mae, swav, simclr, nnclr, mae-ct, got 'mea'. Did you mean 'mae'?"),
        (("--set", "mask_ratio"), "--set must look like NAME=VALUE, got 'mask_ratio'"),
        (("--set", "eps=1", "--set", "eps=2"), "--set eps is given twice"),
        (("--set", "eps=1"), "method 'mae' has no option 'eps'; it has mask_ratio, norm_pix"),
        (("--method", "swav", "--set", "eps=0"), "eps must be > 0, got '0'"),
        (("--method", "swav", "--set", "n_prototypes=1.5"), "n_prototypes must be an integer >= 2, got '1.5'"),
        (("--encoder", "vgg"), "encoder must be vit, resnet or one of vit-tiny"),
        (("--encoder", "resnet"), "method 'mae' hides patches and needs a vision transformer, got encoder 'resnet'"),
        (("--size", "big"), "size must be a side like 64, or HEIGHTxWIDTH like 48x64, got 'big'"),
        (("--size", "9", "--patch", "2"), "patch must divide the sides of the pictures (9, 9), got 2"),
        (("--from", "timm:x", "--encoder", "vit"), "start (--from) continues a backbone; leave out encoder and patch"),
        (("--from", "nowhere"), "backbone 'nowhere': must look like KIND:NAME"),
        (("--warm-up", "1"), "warm_up must lie in [0, 1), got 1.0"),
        (("--checkpoint-minutes", "-1"), "Invalid value for '--checkpoint-minutes': -1.0 is not in the range x>=0"),
        (("--lr", "0"), "lr must be a finite number > 0, got 0"),
    ],
)
def test_messages(folder, tmp_path, options, words):
    _, err = run("pretrain", folder, "--out", tmp_path / "b", "--dry-run", *options, code=2)
    assert words in err


def test_folders_that_are_no_backbone_are_named(folder, tmp_path):
    out = tmp_path / "b"
    run("pretrain", folder, "--out", out, *FAST)

    def embed(code=2):
        return run("embed", folder, "-b", f"pretrained:{out}", "-o", tmp_path / "s", "--workers", 0, code=code)[1]

    weights = (out / "weights.pt").read_bytes()
    (out / "weights.pt").write_bytes(weights[:-1])
    assert "weights.pt is missing or not the file that backbone.json was written for" in embed()
    (out / "weights.pt").write_bytes(weights)
    described = json.loads((out / "backbone.json").read_text())
    (out / "backbone.json").write_text(json.dumps({**described, "format": 99}))
    assert "has format 99, this version reads 1. Update oneglance" in embed()
    (out / "backbone.json").write_text("{")
    assert "backbone.json cannot be read (JSONDecodeError)" in embed()
    (out / "backbone.json").unlink()
    assert "has no backbone.json; `oneglance pretrain` writes one" in embed()
    _, err = run("pretrain", folder / "000.png", code=2)
    assert "is one picture; a pool is needed" in err


def test_a_folder_that_another_run_writes_is_left_alone(folder, tmp_path):
    from oneglance.store.lock import only_writer

    with only_writer(tmp_path / "busy"):
        _, err = run("pretrain", folder, "--out", tmp_path / "busy", *FAST, code=2)
        assert "busy is being written by another call" in err
    assert not (tmp_path / "busy").exists()
