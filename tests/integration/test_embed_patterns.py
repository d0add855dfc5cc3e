"""embed(patterns=) and `oneglance embed --patterns` from pictures to a store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import oneglance as og
from oneglance.cli.main import cli
from oneglance.errors import InvalidInput, StoreError

torch = pytest.importorskip("torch")

from oneglance import features  # noqa: E402


class Tiny(torch.nn.Module):
    """Two blocks of torch's own attention over 4 x 4 patches of a 16 x 16 picture, with a class token."""

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.attn = torch.nn.LayerNorm(8), torch.nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Any) -> Any:
            y = self.norm1(x)
            return x + self.attn(y, y, y, need_weights=False)[0]

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.cls_token = torch.nn.Parameter(torch.randn(1, 1, 8))
        self.embed = torch.nn.Conv2d(3, 8, 4, 4)
        self.blocks = torch.nn.ModuleList(Tiny.Block() for _ in range(2))
        self.norm = torch.nn.LayerNorm(8)

    def forward(self, x: Any) -> Any:
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), self.embed(x).flatten(2).transpose(1, 2)], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]


def vit(name: str = "vit", seed: int = 0) -> Any:
    return features.Backbone(Tiny(seed), features.Preprocess(size=16), name=name)


def cnn(name: str = "cnn") -> Any:
    torch.manual_seed(1)
    layers = torch.nn.Conv2d(3, 6, 3, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    return features.Backbone(torch.nn.Sequential(*layers), features.Preprocess(size=16), name=name)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def inodes(folder: Path) -> dict[Path, int]:
    return {path: os.stat(path).st_ino for path in folder.rglob("*") if path.is_file()}


def test_store_holds_what_extract_patterns_gives(tmp_path: Path, make_pictures: Any) -> None:
    paths = make_pictures(tmp_path / "pool", 11)
    spec = features.PatternSpec(n_patterns=3, tau=0.6, seed=2)
    store = og.embed(tmp_path / "pool", [vit(), cnn()], tmp_path / "s", patterns=spec, shard_rows=4, batch_size=3)
    opened = [Image.open(path) for path in paths]
    for backbone in (vit(), cnn()):
        kept = store.patterns(backbone.name)
        direct = features.extract_patterns(backbone, opened, spec)
        assert kept.offsets.tolist() == direct.offsets.tolist()
        np.testing.assert_allclose(np.asarray(kept.rows), np.asarray(direct.rows), rtol=2e-3, atol=1e-3)
        assert kept.counts().max() <= 3
        assert kept.counts().min() >= 1
        wanted = features.extract(backbone, opened)
        np.testing.assert_allclose(np.asarray(store.features(backbone.name)), wanted, rtol=2e-3, atol=1e-4)
    how = {name: store.manifest["backbones"][name]["patterns"]["how"] for name in store.backbones}
    assert how["vit"] == (
        "tokens, output of blocks.0 through norm without the first 1; attention of the class token in blocks.1.attn; "
        "tau 0.6; at most 3 per picture by k-means, seed 2"
    )
    assert how["cnn"] == "positions of the map, input of 2; L2 norm over 0.0; at most 3 per picture by k-means, seed 2"
    assert og.open_store(tmp_path / "s", verify=True).content_hash() == store.content_hash()


def test_batches_workers_and_order_of_adding_do_not_matter(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 13)
    og.embed(tmp_path / "pool", vit(), tmp_path / "at_once", patterns=2, shard_rows=5, batch_size=4)
    og.embed(tmp_path / "pool", vit(), tmp_path / "later", shard_rows=5, batch_size=4, workers=1)
    before = inodes(tmp_path / "later/features")
    store = og.embed(tmp_path / "pool", vit(), tmp_path / "later", patterns=2, batch_size=4, workers=1)
    assert store.has_patterns("vit")
    assert inodes(tmp_path / "later/features") == before
    assert contents(tmp_path / "later") == contents(tmp_path / "at_once")
    all_inodes = inodes(tmp_path / "later/patterns")
    og.embed(tmp_path / "pool", vit(), tmp_path / "later", patterns=2)
    og.embed(tmp_path / "pool", vit(), tmp_path / "later")
    assert inodes(tmp_path / "later/patterns") == all_inodes
    whole = og.embed(tmp_path / "pool", vit(), tmp_path / "one_shard", patterns=2, batch_size=13).patterns("vit")
    kept = store.patterns("vit")
    assert whole.offsets.tolist() == kept.offsets.tolist()
    np.testing.assert_allclose(np.asarray(whole.rows), np.asarray(kept.rows), rtol=2e-3, atol=2e-3)


def test_other_settings_or_another_picture_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    for value in (1, 2):
        Image.new("L", (16, 16), value).save(tmp_path / f"pool/{value}.bmp")
    og.embed(tmp_path / "pool", vit(), tmp_path / "s", patterns=True)
    with pytest.raises(StoreError, match=r"with another choice: the store has 'tau 0.5', this run 'tau 0.7'"):
        og.embed(tmp_path / "pool", vit(), tmp_path / "s", patterns={"tau": 0.7})
    with pytest.raises(StoreError, match=r"'at most 5 per picture by k-means, seed 0', this run 'at most 2 per pict"):
        og.embed(tmp_path / "pool", vit(), tmp_path / "s", patterns=2)
    og.embed(tmp_path / "pool", cnn(), tmp_path / "s")
    Image.new("L", (16, 16), 9).save(tmp_path / "pool/2.bmp")  # the same size in bytes
    with pytest.raises(StoreError, match=r'pictures of rows 0..1 changed since backbone "vit" was computed'):
        og.embed(tmp_path / "pool", cnn(), tmp_path / "s", patterns=True)


def test_bad_items_have_no_patterns(tmp_path: Path, make_pictures: Any) -> None:
    class Odd(torch.nn.Module):
        """Map that is not finite for white pictures, zero for black ones."""

        def forward(self, batch: Any) -> Any:
            mean = batch.mean(dim=(1, 2, 3), keepdim=True)
            return torch.where(mean > 0.9, batch / 0.0, torch.where(mean < 0.1, batch * 0, batch))

    plain = features.Preprocess(size=8, mean=(0, 0, 0), std=(1, 1, 1))
    make_pictures(tmp_path / "pool", 4, size=8)
    for name, value in (("white", 255), ("black", 0)):
        Image.new("RGB", (8, 8), (value,) * 3).save(tmp_path / f"pool/{name}.png")
    (tmp_path / "pool/text.png").write_text("no picture")
    odd = features.Backbone(Odd(), plain, name="odd")
    store = og.embed(tmp_path / "pool", [odd, vit()], tmp_path / "s", patterns=True, max_bad_fraction=0.5)
    names = [str(name) for name in store.item_ids]
    counts = {name: dict(zip(names, store.patterns(name).counts().tolist(), strict=True)) for name in ("odd", "vit")}
    for name, reason in (("white", "not finite"), ("black", "all zero"), ("text", "not a picture in a format")):
        assert reason in store.column("reason")[names.index(f"{name}.png")]
        assert counts["odd"][f"{name}.png"] == 0
    assert counts["vit"]["white.png"] > 0  # only the other backbone could not use it: `valid` is the mask
    assert counts["vit"]["text.png"] == 0
    assert np.isfinite(np.asarray(store.patterns("odd").rows)).all()


def test_patches_that_are_not_finite_mark_the_item_and_keep_its_features(tmp_path: Path) -> None:
    class Half(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.pool = torch.nn.Identity(), torch.nn.AdaptiveAvgPool2d(1)
            self.body.register_forward_hook(lambda _, __, out: torch.where(out > 0.9, torch.inf, out))

        def forward(self, batch: Any) -> Any:
            self.pool(self.body(batch))
            return batch.mean(dim=(2, 3))

    plain = features.Preprocess(size=8, mean=(0, 0, 0), std=(1, 1, 1))
    pool = [Image.new("RGB", (8, 8), (value,) * 3) for value in (100, 255, 50)]
    store = og.embed(pool, features.Backbone(Half(), plain, name="h"), tmp_path, patterns=1, max_bad_fraction=0.5)
    assert store.valid.tolist() == [True, False, True]
    assert store.column("reason")[1] == 'backbone "h": patches are not finite'
    assert store.patterns("h").counts().tolist() == [1, 0, 1]
    assert np.isfinite(np.asarray(store.features("h"))).all()


def test_large_patterns_widen_to_float32(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 8)
    large = cnn()
    with torch.no_grad():
        large.module[0].weight.mul_(1e6)
    store = og.embed(tmp_path / "pool", large, tmp_path / "s", patterns=2, shard_rows=3)
    assert (store.features("cnn").dtype, store.patterns("cnn").rows.dtype) == (np.float32, np.float32)


def test_ready_vectors_have_no_patterns(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="patterns are taken out of pictures, and the source holds ready vectors"):
        og.embed(np.ones((4, 2)), None, tmp_path / "s", patterns=True)
    store = og.embed(np.ones((4, 2)), None, tmp_path / "s")
    assert not any(store.has_patterns(name) for name in store.backbones)


def test_pictures_of_several_sizes(tmp_path: Path) -> None:
    own = features.Preprocess(size=None)
    pool = [Image.effect_noise(size, 80).convert("RGB") for size in ((16, 16), (24, 12), (16, 16), (8, 20))]
    backbone = features.Backbone(Tiny(), own, name="v")
    store = og.embed(pool, backbone, tmp_path, patterns={"n_patterns": 99, "tau": 1.0})
    assert store.patterns("v").counts().tolist() == [16, 18, 16, 10]


# ---------------------------------------------------------------- command line


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli, ["embed", *map(str, arguments)])


def traced(folder: Path) -> str:
    """A convolutional network as a TorchScript file, as a backbone string."""
    import warnings

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(torch.nn.Conv2d(3, 5, 3, 2).eval(), torch.zeros(1, 3, 16, 16)).save(folder / "net.pt")
    return f"torchscript:{folder / 'net.pt'}?size=16"


def test_command(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 6)
    call = (tmp_path / "pool", "-b", traced(tmp_path), "-o", tmp_path / "s", "--progress", "none")
    plan = run(*call, "--patterns", "--norm-threshold", "0.2", "--dry-run", "--json")
    assert plan.exit_code == 0, plan.output
    (planned,) = json.loads(plan.output)["backbones"]
    assert planned["patterns"] == {
        "how": "positions of the map, the network's output; L2 norm over 0.2; at most 5 per picture by k-means, seed 0",
        "n_dims": 5,
        "n_patterns": 5,
        "dtype": "float16",
        "disk_bytes": 6 * (5 * 5 * 2 + 8),
    }
    assert json.loads(plan.output)["disk_bytes"] == 6 * 5 * 2 + 6 * (5 * 5 * 2 + 8)
    assert not (tmp_path / "s").exists()
    text = run(*call, "--n-patterns", "2", "--dry-run").output
    assert "at most 2 per picture by k-means, seed 0; 5 features each, kept as float16, at most 168 B" in text
    result = run(*call, "--n-patterns", "2", "--seed", "7", "--json")
    assert result.exit_code == 0, result.output
    own = json.loads(result.output)["backbones"]["net"]["patterns"]
    assert (own["n_patterns"], own["how"].rpartition("; ")[2]) == (12, "at most 2 per picture by k-means, seed 7")
    assert 'patterns of "net": 12, 5 features, float16' in run(*call).output
    assert "with another choice" in str(run(*call, "--patterns").exception)
    assert og.open_store(tmp_path / "s").patterns("net").rows.shape == (12, 5)
    without = run(*call, "--json", "--fresh")
    assert json.loads(without.output)["backbones"]["net"]["patterns"] is None


def test_options_reach_the_transformer(torchvision: Any, tmp_path: Path, make_pictures: Any) -> None:
    pytest.importorskip("timm")
    make_pictures(tmp_path / "pool", 2)
    name = "timm:vit_tiny_patch16_224=random?size=224"
    call = (tmp_path / "pool", "-b", name, "-o", tmp_path / "s", "--dry-run")
    assert "attention of the class token in blocks.11.attn; tau 0.9; at most 5" in run(*call, "--tau", "0.9").output
    assert "without the first 1; no attention; L2 norm over 0.0;" in run(*call, "--no-attention").output


# ---------------------------------------------------------------- kill -9

DRIVER = """
import sys, time, torch
import oneglance as og
from oneglance.features import Backbone, Preprocess

class Slow(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 6, 3)
    def forward(self, x):
        time.sleep(0.03)
        return self.conv(x)

net = Backbone(Slow(), Preprocess(size=16), name="net")
og.embed(sys.argv[1], net, sys.argv[2], patterns=3, shard_rows=4, batch_size=2, workers=0)
"""


def receipts(out: Path) -> dict[Path, int]:
    return {path: os.stat(path).st_ino for path in out.glob("*/net/*.json")}


@pytest.mark.slow  # five processes that each load torch
def test_kills(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 30)

    def start(out: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", DRIVER, str(tmp_path / "pool"), str(out)]
        return subprocess.Popen(command, stderr=subprocess.PIPE)

    with start(tmp_path / "whole") as undisturbed:
        assert undisturbed.wait() == 0, undisturbed.stderr.read().decode()  # type: ignore[union-attr]
    out, kept = tmp_path / "s", {}
    for goal, pause in ((1, 0.0), (5, 0.01), (8, 0.04)):
        with start(out) as process:
            deadline = time.monotonic() + 60
            while len(receipts(out)) < goal:
                assert process.poll() is None, process.stderr.read().decode()  # type: ignore[union-attr]
                assert time.monotonic() < deadline
                time.sleep(0.001)
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
        assert kept.items() <= receipts(out).items(), "a finished shard was done again"
        kept = receipts(out)
    with start(out) as last:
        assert last.wait() == 0, last.stderr.read().decode()  # type: ignore[union-attr]
    assert kept.items() <= receipts(out).items()
    assert contents(out) == contents(tmp_path / "whole")
