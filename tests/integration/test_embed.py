"""embed() and `oneglance embed` from pictures to a store."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import oneglance as og
from oneglance.cli.main import cli
from oneglance.errors import BadData, InvalidInput, OneglanceError, StoreError

torch = pytest.importorskip("torch")

from oneglance import features  # noqa: E402


def net(width: int = 4, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return torch.nn.Conv2d(3, width, 3)


def backbone(name: str = "a", width: int = 4, seed: int = 0, preprocess: Any = None) -> Any:
    return features.Backbone(net(width, seed), preprocess or features.Preprocess(size=16), name=name)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_folder_to_store(tmp_path: Path, make_pictures: Any) -> None:
    paths = [*make_pictures(tmp_path / "pool/cat", 5), *make_pictures(tmp_path / "pool/dog", 6, seed=1)]
    store = og.embed(tmp_path / "pool", [backbone("a"), backbone("b", 7)], tmp_path / "s", shard_rows=4, batch_size=3)
    assert store.backbones == ("a", "b")
    assert store.features("b").shape == (11, 7)
    assert [shard.shape[0] for shard in store.features("a")] == [4, 4, 3]
    assert store.column("label").tolist() == ["cat"] * 5 + ["dog"] * 6
    direct = features.extract(backbone("b", 7), [Image.open(path) for path in paths])
    np.testing.assert_allclose(np.asarray(store.features("b")), direct, rtol=2e-3, atol=1e-4)
    entry = store.manifest["backbones"]["a"]
    assert entry["preprocessing"].startswith("Pillow, first frame, EXIF orientation applied")
    assert entry["pooling"] == "output: mean over the 2-D map"
    assert (entry["compute"], entry["dtype"]) == ("float32", "float16")
    assert "time" not in (tmp_path / "s/manifest.json").read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_and_reruns_give_the_same_bytes(tmp_path: Path, make_pictures: Any, workers: int) -> None:
    make_pictures(tmp_path / "pool", 20)
    for out, number in (("alone", 0), ("helped", workers)):
        og.embed(tmp_path / "pool", backbone(), tmp_path / out, shard_rows=6, batch_size=4, workers=number)
    assert contents(tmp_path / "alone") == contents(tmp_path / "helped")
    before = {path: os.stat(path).st_ino for path in (tmp_path / "helped").rglob("*.npy")}
    og.embed(tmp_path / "pool", backbone(), tmp_path / "helped")
    assert before == {path: os.stat(path).st_ino for path in (tmp_path / "helped").rglob("*.npy")}
    assert contents(tmp_path / "alone") == contents(tmp_path / "helped")


def test_backbones_one_by_one_or_together(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 9)
    og.embed(tmp_path / "pool", backbone("a"), tmp_path / "s", shard_rows=4)
    og.embed(tmp_path / "pool", backbone("b", 5), tmp_path / "s", batch_size=7)
    og.embed(tmp_path / "pool", [backbone("a"), backbone("b", 5)], tmp_path / "both", shard_rows=4)
    one, both = contents(tmp_path / "s"), contents(tmp_path / "both")
    assert sorted(one) == sorted(both)
    assert one["features/a/00001.npy"] == both["features/a/00001.npy"]
    with pytest.raises(StoreError, match=r'backbone "a" with another model'):
        og.embed(tmp_path / "pool", backbone("a", seed=1), tmp_path / "s")
    with pytest.raises(StoreError, match=r'backbone "a" with another preprocessing'):
        og.embed(tmp_path / "pool", backbone("a", preprocess=features.Preprocess(size=15)), tmp_path / "s")
    make_pictures(tmp_path / "pool", 10)
    with pytest.raises(StoreError, match=r"another source.*\(9 items\), this run image folder pool \(10 items\)"):
        og.embed(tmp_path / "pool", backbone("a"), tmp_path / "s")


def test_a_picture_that_changed_between_backbones_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    for value in (1, 2):
        Image.new("L", (16, 16), value).save(tmp_path / f"pool/{value}.bmp")
    og.embed(tmp_path / "pool", backbone("a"), tmp_path / "s")
    Image.new("L", (16, 16), 9).save(tmp_path / "pool/2.bmp")  # the same size in bytes
    with pytest.raises(StoreError, match=r'pictures of rows 0..1 changed since backbone "a" was computed'):
        og.embed(tmp_path / "pool", backbone("b"), tmp_path / "s")


def spoil(folder: Path) -> dict[str, str]:
    """Four bad pictures, name -> a part of the reason."""
    whole = (folder / "000.jpg").read_bytes()
    (folder / "a_text.jpg").write_text("I am no picture")
    (folder / "b_torn.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "c_empty.jpg").write_bytes(b"")
    (folder / "d_gone.jpg").symlink_to(folder / "nowhere.jpg")
    return {
        "a_text.jpg": "not a picture in a format that Pillow knows",
        "b_torn.jpg": "image file is truncated",
        "c_empty.jpg": "empty file (0 bytes)",
        "d_gone.jpg": "file not found",
    }


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_pictures_are_listed_and_never_fatal_below_the_limit(
    tmp_path: Path, make_pictures: Any, workers: int
) -> None:
    make_pictures(tmp_path / "pool", 16, suffix=".jpg", size=64)
    reasons = spoil(tmp_path / "pool")
    with pytest.raises(BadData, match=r"4 of 20 items cannot be used, at most 2 are allowed") as caught:
        og.embed(tmp_path / "pool", backbone(), tmp_path / "s", batch_size=5, workers=workers)
    assert "a_text.jpg: not a picture" in str(caught.value)
    assert str(tmp_path / "s/bad_items.csv") in str(caught.value)
    assert len((tmp_path / "s/bad_items.csv").read_text().splitlines()) == 5
    shard = os.stat(tmp_path / "s/features/a/00000.npy").st_ino
    store = og.embed(tmp_path / "pool", backbone(), tmp_path / "s", max_bad_fraction=0.2, workers=workers)
    assert os.stat(tmp_path / "s/features/a/00000.npy").st_ino == shard  # kept, not computed again
    for item, valid, reason in zip(store.item_ids, store.valid, store.column("reason"), strict=True):
        assert bool(valid) == (item not in reasons)
        assert reasons.get(item, "") in (reason or "")
    matrix = np.asarray(store.features("a"))
    assert np.isnan(matrix[~store.valid]).all()
    assert np.isfinite(matrix[store.valid]).all()


def test_the_cure_for_too_many_bad_pictures_cures(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 4, size=32)
    whole = (tmp_path / "pool/000.png").read_bytes()
    (tmp_path / "pool/000.png").write_bytes(b"")
    with pytest.raises(BadData, match=r"or mend or remove these items and begin anew with fresh=True / --fresh"):
        og.embed(tmp_path / "pool", backbone(), tmp_path / "s")
    (tmp_path / "pool/000.png").write_bytes(whole)
    with pytest.raises(StoreError, match="another source"):
        og.embed(tmp_path / "pool", backbone(), tmp_path / "s")
    assert og.embed(tmp_path / "pool", backbone(), tmp_path / "s", fresh=True).valid.all()


def test_a_pool_without_one_good_picture(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    for name in "abc":
        (tmp_path / f"pool/{name}.png").write_text("text")
    with pytest.raises(BadData, match="3 of 3 items cannot be used, at most 2 are allowed"):
        og.embed(tmp_path / "pool", backbone(), tmp_path / "s", max_bad_fraction=1.0)


def test_features_that_are_zero_or_not_finite_mark_the_item(tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def forward(self, batch: Any) -> Any:
            mean = batch.mean(dim=(2, 3))
            return torch.where(mean[:, :1] > 0.9, mean / 0.0, torch.where(mean[:, :1] < 0.1, mean * 0, mean))

    plain = features.Preprocess(size=8, mean=(0, 0, 0), std=(1, 1, 1))
    pool = [Image.new("RGB", (8, 8), (value,) * 3) for value in (128, 255, 100, 0)]
    store = og.embed(
        pool, [features.Backbone(Odd(), plain, name="odd"), backbone("fine")], tmp_path / "s", max_bad_fraction=0.5
    )
    assert store.valid.tolist() == [True, False, True, False]
    assert store.column("reason").tolist() == [
        None,
        'backbone "odd": features are not finite',
        None,
        'backbone "odd": features are all zero',
    ]
    assert np.isfinite(np.asarray(store.features("fine"))).all()


def test_preprocessing_that_fails_on_some_pictures(tmp_path: Path) -> None:
    def picky(picture: Image.Image) -> Any:
        if picture.size[0] > 10:
            raise ValueError("too wide")
        return torch.ones(3, 8, 8)

    pool = [Image.new("RGB", (width, 8)) for width in (8, 8, 20)]
    store = og.embed(pool, backbone("a", preprocess=picky), tmp_path / "s", max_bad_fraction=0.4)
    assert store.column("reason")[2] == 'backbone "a": preprocessing failed: ValueError: too wide'
    with pytest.raises(InvalidInput, match=r"preprocessing failed: ValueError: too wide. Pass another preprocess="):
        og.embed([Image.new("RGB", (20, 8))], backbone("a", preprocess=picky), tmp_path / "t")


def test_large_features_widen_the_backbone_to_float32(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 8)
    wide = features.Backbone(torch.nn.Sequential(net(), torch.nn.Hardtanh(-1e9, 1e9)), name="w")
    with torch.no_grad():
        wide.module[0].weight.mul_(1e6)
    store = og.embed(tmp_path / "pool", [wide, backbone("n")], tmp_path / "s", shard_rows=3)
    assert store.features("w").dtype == np.float32
    assert store.features("n").dtype == np.float16


def test_ready_vectors_keep_their_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((20, 3)).astype(np.float32), rng.standard_normal((20, 2)).astype(np.float16)
    a[4], b[7, 0] = 0, np.inf
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    store = og.embed([tmp_path / "a.npy", tmp_path / "b.npy"], None, tmp_path / "s", shard_rows=8)
    assert np.flatnonzero(~store.valid).tolist() == [4, 7]
    kept = store.valid
    np.testing.assert_array_equal(np.asarray(store.features("a"))[kept], a[kept])
    np.testing.assert_array_equal(np.asarray(store.features("b"))[kept], b[kept])
    assert (store.features("a").dtype, store.features("b").dtype) == (np.float32, np.float16)
    with pytest.raises(StoreError, match="another source"):
        og.embed([tmp_path / "a.npy"], None, tmp_path / "s")
    with pytest.raises(InvalidInput, match="backbones cannot run on ready vectors"):
        og.embed(tmp_path / "a.npy", backbone(), tmp_path / "t")


def test_ready_vectors_need_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np, oneglance as og\n"
        f"print(og.embed(np.ones((5, 2)), None, {str(tmp_path / 's')!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "5 items, backbones: vectors (2)" in done.stdout, done.stderr


def test_a_worker_that_dies_is_explained(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 12)
    parent = os.getpid()

    def deadly(picture: Image.Image) -> Any:
        if os.getpid() != parent:
            os.kill(os.getpid(), 9)
        return torch.ones(3, 8, 8)

    with pytest.raises(OneglanceError, match=r"a decoding worker died .*workers=0 / --workers 0"):
        og.embed(tmp_path / "pool", backbone("a", preprocess=deadly), tmp_path / "s", workers=1, batch_size=2)
    assert len(og.embed(tmp_path / "pool", backbone("a", preprocess=deadly), tmp_path / "s", workers=0)) == 12


def test_progress_callback_counts_items(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 7)
    seen: list[Any] = []
    og.embed(tmp_path / "pool", backbone(), tmp_path / "s", batch_size=3, shard_rows=4, progress=seen.append)
    assert [moment.done for moment in seen] == [3, 4, 7]
    assert {moment.total for moment in seen} == {7}
    assert "embed: 7/7 items" in str(seen[-1])


def test_datasets_and_arrays_as_sources(tmp_path: Path) -> None:
    class Pairs(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return Image.new("RGB", (8, 8), (index * 50,) * 3), index

    store = og.embed(Pairs(), backbone(), tmp_path / "d")
    assert store.item_ids.tolist() == ["0", "1", "2"]
    floats = np.random.default_rng(0).random((4, 3, 8, 8)).astype(np.float32)
    store = og.embed(floats, net(), tmp_path / "f")
    assert store.manifest["backbones"]["Conv2d"]["preprocessing"] == "none: float arrays"


# ---------------------------------------------------------------- the command


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A small TorchScript net on disk."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(net()), str(tmp_path / "tiny.pt"))
    return tmp_path / "tiny.pt"


def call(*arguments: Any) -> Any:
    return CliRunner().invoke(cli, ["embed", *map(str, arguments)], catch_exceptions=True)


def test_command_dry_run_writes_nothing(tmp_path: Path, make_pictures: Any, script: Path) -> None:
    make_pictures(tmp_path / "pool", 40)
    out = call(tmp_path / "pool", "-b", f"torchscript:{script}?size=16", "--out", tmp_path / "s", "--dry-run")
    assert out.exit_code == 0, out.output
    assert "40 items from image folder pool" in out.output
    assert 'backbone "tiny"' in out.output
    assert "disk: 320 B" in out.output
    assert "items/s in a short probe" in out.output
    assert not (tmp_path / "s").exists()
    few = tmp_path / "few"
    make_pictures(few, 3)
    plan = json.loads(
        call(few, "-b", f"torchscript:{script}?size=16", "--out", tmp_path / "s", "--dry-run", "--json").output
    )
    assert (plan["n_items"], plan["time_s"], plan["backbones"][0]["n_dims"]) == (3, None, 4)


@pytest.mark.parametrize(
    ("option", "words"),
    [(("--batch-size", 0), "batch_size"), (("--shard-rows", -3), "shard_rows must be"), (("--workers", -1), "workers")],
)
def test_command_dry_run_refuses_what_the_run_would(
    tmp_path: Path, make_pictures: Any, script: Path, option: tuple[str, int], words: str
) -> None:
    make_pictures(tmp_path / "pool", 4)
    out = call(tmp_path / "pool", "-b", f"torchscript:{script}?size=16", "--out", tmp_path / "s", "--dry-run", *option)
    assert isinstance(out.exception, InvalidInput)
    assert words in str(out.exception)


def test_command_dry_run_of_a_fresh_run_keeps_nothing(tmp_path: Path, make_pictures: Any, script: Path) -> None:
    make_pictures(tmp_path / "pool", 4)
    arguments = (tmp_path / "pool", "-b", f"torchscript:{script}?size=16", "--out", tmp_path / "s")
    call(*arguments)
    assert "its finished shards are kept" in call(*arguments, "--dry-run").output
    assert "its finished shards are kept" not in call(*arguments, "--dry-run", "--fresh").output


def test_command_writes_and_resumes(tmp_path: Path, make_pictures: Any, script: Path) -> None:
    make_pictures(tmp_path / "pool", 10)
    arguments = (tmp_path / "pool", "-b", f"torchscript:{script}?size=16&name=x", "--out", tmp_path / "s")
    first = call(*arguments, "--json")
    assert first.exit_code == 0, first.output
    result = json.loads(first.stdout)
    assert (result["n_items"], result["n_bad"], list(result["backbones"])) == (10, 0, ["x"])
    assert result["content_hash"] == og.open_store(tmp_path / "s").content_hash()
    again = call(*arguments)
    assert "10 items in" in again.stdout
    assert 'backbone "x": 4 features, float16' in again.stdout


def test_command_with_vectors(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", X=np.eye(4), y=np.arange(4))
    out = call(tmp_path / "v.npz", "--label-column", "y", "--out", tmp_path / "s")
    assert out.exit_code == 0, out.output
    assert og.open_store(tmp_path / "s").column("label").tolist() == ["0", "1", "2", "3"]


def test_real_pictures_with_three_real_networks(tmp_path: Path, shared: Path) -> None:
    weights = shared / "weights"
    mobile, squeeze = "?size=64&mean=0.5&std=0.5", "?size=64&channels=bgr&scale=255&mean=104,117,123&std=1"
    pool = [
        path for name in ("crazing", "patches") for path in sorted((shared / "data/images/neu" / name).iterdir())[:12]
    ]
    store = og.embed(
        pool,
        [
            f"torchscript:{weights / 'mobilenet_v2_imagenet.pt'}{mobile}",
            f"torchscript:{weights / 'mobilenet_v1_050_imagenet.pt'}{mobile}",
            f"torchscript:{weights / 'squeezenet_11_imagenet.pt'}{squeeze}",
        ],
        tmp_path / "s",
        shard_rows=10,
    )
    assert store.valid.all()
    for name, width in zip(store.backbones, (1280, 512, 512), strict=True):
        matrix = np.asarray(store.features(name)).astype(np.float64)
        assert matrix.shape == (24, width)
        # Pictures of one defect lie closer together than to the other: the networks saw what they were trained on.
        unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
        near = unit @ unit.T - 2 * np.eye(24)
        assert np.mean((near.argmax(axis=1) < 12) == (np.arange(24) < 12)) > 0.9


def test_half_precision_on_the_cpu_is_there_when_asked_for(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 5)
    exact = og.embed(tmp_path / "pool", backbone(), tmp_path / "f")
    short = og.embed(tmp_path / "pool", backbone(), tmp_path / "b", compute="bfloat16")
    assert short.manifest["backbones"]["a"]["compute"] == "bfloat16"
    a, b = (np.asarray(store.features("a")).astype(np.float64) for store in (exact, short))
    assert 0 < np.abs(a - b).max() < 0.02 * np.abs(a).max()
    with pytest.raises(StoreError, match=r"another compute: the store has 'bfloat16', this run 'float32'"):
        og.embed(tmp_path / "pool", backbone(), tmp_path / "b")
    with pytest.raises(InvalidInput, match=r"compute must be one of .*, got 'int8'"):
        og.embed(tmp_path / "pool", backbone(), tmp_path / "c", compute="int8")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_dataset_that_fails_on_an_item_or_gives_no_pictures(tmp_path: Path, workers: int) -> None:
    class Torn:
        def __init__(self, last: Any) -> None:
            self.last = last

        def __len__(self) -> int:
            return 12

        def __getitem__(self, index: int) -> Any:
            if index < 11:
                return Image.new("RGB", (8, 8), (index * 9, 9, 9))
            if isinstance(self.last, Exception):
                raise self.last
            return self.last

    store = og.embed(Torn(OSError("torn")), backbone(), tmp_path / "a", workers=workers, batch_size=2)
    assert store.column("reason")[11] == "cannot load: OSError: torn"
    with pytest.raises(InvalidInput) as caught:
        og.embed(Torn(np.zeros(3)), backbone(), tmp_path / "b", workers=workers, batch_size=2)
    assert str(caught.value).startswith("source[11] must be a PIL image, a uint8 array")
    assert "Traceback" not in str(caught.value)


def test_a_list_of_pictures_with_a_bad_one(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = io.BytesIO()
    Image.fromarray(noise).save(whole, "JPEG")
    torn = Image.open(io.BytesIO(whole.getvalue()[:900]))
    pictures = [Image.new("RGB", (20, 20), (9, 30, 50)), Image.new("F", (20, 20)), torn]
    store = og.embed(pictures, backbone(), tmp_path / "s", max_bad_fraction=0.7)
    assert store.valid.tolist() == [True, False, False]
    assert "floating-point picture" in store.column("reason")[1]
    assert "cannot load: OSError" in store.column("reason")[2]


def test_a_list_with_a_folder_in_it(tmp_path: Path, make_pictures: Any) -> None:
    paths = make_pictures(tmp_path / "pool", 1)
    with pytest.raises(InvalidInput, match="a list may hold files only, but .*pool is a folder"):
        og.embed([paths[0], tmp_path / "pool"], backbone(), tmp_path / "s")


def test_a_worker_that_dies_during_a_forward_pass_is_not_blamed_on_the_network(
    tmp_path: Path, make_pictures: Any
) -> None:
    make_pictures(tmp_path / "pool", 4)
    batches = []

    class Interrupted(torch.nn.Module):
        def forward(self, batch: Any) -> Any:
            batches.append(len(batch))
            if len(batches) > 1:  # the first is the probe; torch's signal handler raises this wherever it is
                raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
            return batch.flatten(1)

    with pytest.raises(OneglanceError, match=r"a decoding worker died \(DataLoader worker \(pid 7\) is killed"):
        og.embed(tmp_path / "pool", Interrupted(), tmp_path / "s", workers=0)


def test_values_beyond_float32_are_named_as_such(tmp_path: Path) -> None:
    rows = np.ones((20, 2))
    rows[3, 1] = 1e300
    store = og.embed({"a": rows}, None, tmp_path / "s")
    assert store.column("reason")[3] == 'backbone "a": values beyond the range of float32 (1e-45 .. 3.4e38)'


def test_command_does_not_take_zero_for_a_default(tmp_path: Path, make_pictures: Any, script: Path) -> None:
    make_pictures(tmp_path / "pool", 2)
    arguments = ["embed", str(tmp_path / "pool"), "-b", f"torchscript:{script}", "-o", str(tmp_path / "s")]
    result = CliRunner().invoke(cli, [*arguments, "--max-pixels", "0"])
    assert isinstance(result.exception, InvalidInput)
    assert "max_pixels must be an integer >= 1, got 0" in str(result.exception)
