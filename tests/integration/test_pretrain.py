"""og.pretrain: from pictures to a backbone, resumed to the bit, on one process and on two."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pretraining needs torch")

import oneglance as og  # noqa: E402
from oneglance.features import Backbone, Preprocess, extract  # noqa: E402
from oneglance.features.backbones import as_backbones  # noqa: E402
from oneglance.features.encoders import build_encoder, choose_shape  # noqa: E402
from oneglance.features.progress import Meter  # noqa: E402
from oneglance.features.saved import backbone_files  # noqa: E402
from oneglance.pretraining.from_backbone import encoder_of  # noqa: E402
from oneglance.pretraining.methods import METHODS  # noqa: E402
from oneglance.pretraining.objective import Facts  # noqa: E402

FAST = {"epochs": 2, "batch_size": 6, "device": "cpu", "workers": 1, "encoder": "vit-tiny"}
RNG = np.random.default_rng(0)
GREY = RNG.normal(10, 4, (20, 1, 8, 12)).astype(np.float32)  # neither square nor in colour nor in 0..1
COLOUR = RNG.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)


def tensors(made):
    return {name: value.numpy().copy() for name, value in made.backbone.module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole():
    return og.pretrain(GREY, **FAST)


def test_what_comes_out_is_a_backbone(whole, tmp_path):
    assert [entry["epoch"] for entry in whole.curve] == [1, 2]
    assert all(np.isfinite(entry["loss"]) for entry in whole.curve)
    assert {"rank_me", "spread"} <= set(whole.curve[-1])
    sizes = whole.save(tmp_path / "b")
    assert sorted(sizes) == ["backbone.json", "record.json", "told.png", "weights.pt"]
    assert {path.name for path in (tmp_path / "b").iterdir()} == set(sizes)
    record = json.loads((tmp_path / "b" / "record.json").read_text())
    assert record["cpu_s"] > 0
    assert record["curve"] == whole.curve
    assert set(torch.load(tmp_path / "b" / "weights.pt", weights_only=True)) == set(tensors(whole))
    direct = extract(whole.backbone, GREY)
    assert direct.shape == (20, 128)
    for spec in (str(tmp_path / "b"), f"pretrained:{tmp_path / 'b'}?name=other"):
        assert np.array_equal(extract(spec, GREY), direct)
    store = og.embed(GREY, str(tmp_path / "b"), tmp_path / "store", workers=0, device="cpu", dtype="float32")
    assert np.array_equal(np.asarray(store.features("b")), direct)


def test_a_folder_written_anew_keeps_nothing_of_the_old(whole, tmp_path):
    whole.save(tmp_path)
    og.pretrain(COLOUR, tmp_path, overwrite=True, method="simclr", **{**FAST, "epochs": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backbone.json", "record.json", "weights.pt"]


def test_a_full_disk_leaves_the_backbone_that_was_to_be_replaced(whole, tmp_path, monkeypatch):
    whole.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    real, writes = os.fsync, []

    def full(handle):
        writes.append(handle)
        if len(writes) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr("oneglance.store.files.os.fsync", full)
    with pytest.raises(og.StoreError, match="disk full"):
        whole.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_pixels_are_standardised_by_the_pool(whole):
    module = whole.backbone.module
    assert abs(module.mean.item() - GREY.mean()) < 1e-4
    assert abs(module.std.item() - GREY.std()) < 1e-3
    moved = og.pretrain(GREY * 100 - 7, **FAST)  # the same pictures in other units: the same network up to rounding
    assert np.abs(extract(moved.backbone, GREY * 100 - 7) - extract(whole.backbone, GREY)).max() < 1e-2


def test_a_seed_says_all(whole):
    torch.manual_seed(123)  # what the caller does with torch's random state is no matter
    again = og.pretrain(GREY, **FAST)
    assert same(tensors(again), tensors(whole))
    assert again.curve == whole.curve
    assert not same(tensors(og.pretrain(GREY, **FAST, seed=1)), tensors(whole))


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("stop", [2, 8])
def test_interrupted_and_gone_on_is_the_same_to_the_bit(method, stop, tmp_path, monkeypatch):
    given = {**FAST, "method": method, "encoder": "auto", "epochs": 3}
    straight = og.pretrain(COLOUR, **given)
    advance, steps = Meter.advance, []

    def interrupted(self, n_items, n_bad):
        advance(self, n_items, n_bad)
        if self._what == "pretrain":
            steps.append(n_items)
            if len(steps) == stop:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Meter, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        og.pretrain(COLOUR, tmp_path / "b", **given)
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["checkpoint"]
    resumed = og.pretrain(COLOUR, tmp_path / "b", **given)
    assert len(steps) == 3 * len(straight.curve)  # no step was made twice, none left out
    assert not (tmp_path / "b" / "checkpoint").exists()
    assert same(tensors(resumed), tensors(straight))
    assert resumed.curve == straight.curve
    assert resumed.sheet == straight.sheet
    assert (resumed.sheet is not None) == method.startswith("mae")
    backbone, record = (json.loads((tmp_path / "b" / name).read_text()) for name in ("backbone.json", "record.json"))
    assert backbone["provenance"]["method"] == method
    assert [stage["name"] for stage in record["settings"]["stages"]] == [one.name for one in METHODS[method].stages]


def test_killed_without_warning_goes_on_from_the_last_checkpoint(whole, tmp_path, monkeypatch):
    advance, steps = Meter.advance, []

    def killed(self, n_items, n_bad):
        advance(self, n_items, n_bad)
        steps.append(n_items)
        if self._what == "pretrain" and len(steps) == 24:  # 20 pictures were read before
            raise SystemExit

    monkeypatch.setattr(Meter, "advance", killed)
    with pytest.raises(SystemExit):
        og.pretrain(GREY, tmp_path / "b", **FAST, checkpoint_every_s=0)
    monkeypatch.undo()
    assert same(tensors(og.pretrain(GREY, tmp_path / "b", **FAST)), tensors(whole))


def stopped(tmp_path, monkeypatch, **given):
    def stop(self, n_items, n_bad):
        if self._what == "pretrain":
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Meter, "advance", stop)
        with pytest.raises(KeyboardInterrupt):
            og.pretrain(GREY, tmp_path, **{**FAST, **given})


def test_a_checkpoint_of_another_run_is_refused_and_a_damaged_one_named(whole, tmp_path, monkeypatch):
    stopped(tmp_path, monkeypatch)
    for other in ({"lr": 1.0}, {"seed": 1}, {"method": "swav"}, {"mask_ratio": 0.5}, {"crops": {"flip": 0.0}}):
        with pytest.raises(og.InvalidInput, match="was written for other pictures, another encoder or other settings"):
            og.pretrain(GREY, tmp_path, **{**FAST, **other})
    with pytest.raises(og.InvalidInput, match="was written for other pictures"):
        og.pretrain(GREY + 1, tmp_path, **FAST)
    (tmp_path / "checkpoint").write_bytes(b"PK torn")
    with pytest.raises(og.StoreError, match="checkpoint: .* cannot be read .*--fresh"):
        og.pretrain(GREY, tmp_path, **FAST)
    assert same(tensors(og.pretrain(GREY, tmp_path, **FAST, fresh=True)), tensors(whole))


def test_a_checkpoint_knows_how_the_start_sees_pictures(tmp_path, monkeypatch):
    """Same weights, other mean or pooling: the rest of such a training would be another one."""
    given = {**FAST, "encoder": "auto", "method": "simclr"}
    step = {"size": 8, "mean": (0.0,) * 3}
    net = torch.nn.Conv2d(3, 4, 3)
    advance = Meter.advance

    def stop(self, n_items, n_bad):
        advance(self, n_items, n_bad)
        if self._what == "pretrain":
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Meter, "advance", stop)
        with pytest.raises(KeyboardInterrupt):
            og.pretrain(COLOUR, tmp_path, start=Backbone(net, Preprocess(**step)), **given)
    for other in (
        Backbone(net, Preprocess(**{**step, "mean": (0.5,) * 3})),
        Backbone(net, Preprocess(**step), pool="mean"),
    ):
        with pytest.raises(og.InvalidInput, match="was written for other pictures, another encoder or other settings"):
            og.pretrain(COLOUR, tmp_path, start=other, **given)
    og.pretrain(COLOUR, tmp_path, start=Backbone(net, Preprocess(**step)), **given)


def test_a_full_disk_is_an_error_with_a_cure_and_the_run_can_go_on(whole, tmp_path, monkeypatch):
    real, writes = os.fsync, []

    def full(handle):
        writes.append(handle)
        if len(writes) > 4:  # file and folder, of the trial at the start and of the first checkpoint
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr("oneglance.store.files.os.fsync", full)
        with pytest.raises(og.StoreError, match="disk full while writing .*checkpoint.*Free some space"):
            og.pretrain(GREY, tmp_path, **FAST, checkpoint_every_s=0)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]  # the older one, whole
    assert same(tensors(og.pretrain(GREY, tmp_path, **FAST)), tensors(whole))


def test_a_folder_that_cannot_be_written_is_found_before_pictures_are_read(tmp_path, monkeypatch):
    def refused(*given, **more):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("oneglance.store.files.os.replace", refused)
    with pytest.raises(og.StoreError, match="out: cannot write .* Choose a folder you may write to"):
        og.pretrain(GREY, tmp_path, **FAST, progress=lambda moment: pytest.fail("read"))


def test_bad_pictures_are_listed_and_a_pool_below_two_is_refused(make_pictures, tmp_path):
    paths = make_pictures(tmp_path / "pool", 12, size=8)
    paths[3].write_bytes(b"no picture")
    made = og.pretrain(tmp_path / "pool", tmp_path / "b", **FAST)
    assert list(made.bad) == [3]
    assert json.loads((tmp_path / "b" / "record.json").read_text())["bad"]["3"].startswith(f"{paths[3]}: not a picture")
    with pytest.raises(
        og.BadData, match=r"1 of 12 pictures cannot be used, e.g. .*003.png: not a picture.* raise .*from 0\."
    ):
        og.pretrain(tmp_path / "pool", **FAST, max_bad_fraction=0)
    with pytest.raises(og.InvalidInput, match=r"max_bad_fraction must lie in 0..1, got -0.1"):
        og.pretrain(tmp_path / "pool", **FAST, max_bad_fraction=-0.1)
    with pytest.raises(og.InvalidInput, match="needs 2 pictures at least, got 1"):
        og.pretrain(GREY[:1], **FAST)
    two = og.pretrain(GREY[:2], epochs=1, device="cpu", workers=1)
    assert two.settings["batch_size"] == 2


def test_a_loss_that_is_no_number_ends_the_run_with_a_cure():
    with pytest.raises(og.InvalidInput, match="training has diverged before step .*Lower lr, raise warm_up"):
        og.pretrain(GREY, **{**FAST, "lr": 1e30, "epochs": 6})


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.BatchNorm2d(8)
        self.drop, self.unused = torch.nn.Dropout(0.5), torch.nn.Linear(2, 2)

    def forward(self, pictures):
        return self.drop(self.norm(self.conv(pictures)).relu())


@pytest.mark.parametrize("method", ["swav", "simclr", "nnclr"])
def test_any_backbone_can_be_continued_and_stays_as_it_was(method, tmp_path):
    base = Backbone(Tiny(), Preprocess(size=8), name="mine")
    before = {name: value.clone() for name, value in base.module.state_dict().items()}
    given = {**FAST, "encoder": "auto", "start": base, "method": method}
    made, again = og.pretrain(COLOUR, tmp_path / "b", **given), og.pretrain(COLOUR, **given)
    assert all(torch.equal(value, before[name]) for name, value in base.module.state_dict().items())
    assert not torch.equal(made.backbone.module.conv.weight, before["conv.weight"])
    assert not torch.equal(made.backbone.module.norm.running_mean, before["norm.running_mean"])
    assert same(tensors(made), tensors(again))  # dropout is off
    assert extract(made.backbone, COLOUR).shape == (20, 8)
    with pytest.raises(og.InvalidInput, match="weights of a Python module .*Load weights.pt into that module"):
        as_backbones(str(tmp_path / "b"))


def test_a_network_without_patches_cannot_hide_them():
    with pytest.raises(og.InvalidInput, match='needs a vision transformer with tokens, backbone "tiny".*swav'):
        og.pretrain(COLOUR, start=Backbone(Tiny(), Preprocess(size=8), name="tiny"), method="mae", workers=1)
    with pytest.raises(og.InvalidInput, match="needs a vision transformer, got encoder 'resnet-small'"):
        og.pretrain(COLOUR, encoder="resnet-small", method="mae-ct", workers=1)


def test_an_own_backbone_is_continued_as_it_is(whole, tmp_path):
    whole.save(tmp_path / "first")
    given = {key: value for key, value in FAST.items() if key != "encoder"}
    made = og.pretrain(GREY, tmp_path / "second", start=str(tmp_path / "first"), **given)
    again = as_backbones(str(tmp_path / "second"))[0]
    assert type(again.module) is type(whole.backbone.module)
    assert not same(tensors(made), tensors(whole))
    assert np.array_equal(extract(again, GREY), extract(made.backbone, GREY))
    provenance = json.loads((tmp_path / "second" / "backbone.json").read_text())["provenance"]
    assert provenance["start"].startswith("pretrained:first (weights ")


@pytest.mark.parametrize("spec", ["torchvision:vit_b_16", "timm:test_vit=random?size=32"])
def test_patches_of_a_foreign_transformer_can_be_hidden(spec, tmp_path, torchvision):
    pictures = np.random.default_rng(1).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    given = {"epochs": 1, "batch_size": 4, "device": "cpu", "workers": 1}
    if spec.startswith("timm"):
        pytest.importorskip("timm", reason="a small transformer by name")
        start = spec
    else:
        start = small_transformer(torchvision)
    encoder = encoder_of(as_backbones(start)[0], 3, (32, 32), patches=True).eval()
    with torch.no_grad():
        batch, everything = torch.rand(2, 3, 32, 32), torch.arange(np.prod(encoder.grid((32, 32)))).expand(2, -1)
        whole = encoder.tokens(batch)
        assert torch.allclose(whole[:, 0], encoder(batch), atol=1e-5)  # the class token, behind the last norm
        assert torch.allclose(encoder.tokens(batch, everything), whole, atol=1e-5)
        part = encoder.tokens(batch, everything[:, :-1])
        moved = batch.clone()
        moved[:, :, -8:, -8:] = 0  # the last patch, which is not looked at
        assert torch.equal(encoder.tokens(moved, everything[:, :-1]), part)
    made = og.pretrain(pictures, tmp_path / "b", start=start, method="mae", **given)
    assert np.isfinite(made.curve[-1]["loss"])
    assert extract(made.backbone, pictures).shape[0] == 8
    if spec.startswith("timm"):
        again = as_backbones(str(tmp_path / "b"))[0]
        assert np.array_equal(extract(again, pictures), extract(made.backbone, pictures))


def small_transformer(torchvision, patch=8, size=32):
    torch.manual_seed(0)
    made = torchvision.models.VisionTransformer(size, patch, 2, 2, 16, 32, num_classes=5)
    made.heads = torch.nn.Identity()
    return Backbone(made, Preprocess(size=size), name="tv")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a card")
def test_a_start_on_a_card_is_copied_from_there(torchvision):
    start = small_transformer(torchvision)
    start.module.cuda()
    encoder = encoder_of(start, 3, (32, 32), patches=True)
    assert {value.device.type for value in encoder.parameters()} == {"cpu"}
    assert {value.device.type for value in start.module.parameters()} == {"cuda"}


def test_the_norm_behind_the_blocks_is_tuned_with_them(torchvision):
    encoder = encoder_of(small_transformer(torchvision), 3, (32, 32), patches=True)
    facts = Facts(n_pictures=64, batch_size=8, per_epoch=8, n_steps=40, size=(32, 32))
    tuned = METHODS["mae-ct"].stages[2].build(encoder, facts, {})
    learns = {name for name, value in tuned.encoder.module.named_parameters() if value.requires_grad}
    assert {name.partition(".")[2].partition(".")[0] for name in learns} == {"layers", "ln"}
    assert not any("encoder_layer_0" in name for name in learns)


class Covers(torch.nn.Module):
    """A transformer over whole patches only; what is left over at the edge is not looked at."""

    def __init__(self):
        super().__init__()
        self.embed, self.blocks = torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.ModuleList()
        self.blocks.append(torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
        self.norm = torch.nn.LayerNorm(8)

    def forward(self, pictures):
        tokens = self.embed(pictures).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)


class Several(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, pictures):
        out = self.conv(pictures).mean(dim=(2, 3))
        return {"one": out, "other": out}


class Two(Several):
    def forward(self, pictures, more):
        return self.conv(pictures)


@pytest.mark.parametrize(
    ("module", "method", "words"),
    [
        (Several(), "simclr", r"returned several outputs .* Choose one with output="),
        (Two(), "simclr", r"does not run on pictures of shape \(3, 10, 10\) \(TypeError: .*'more'"),
        (Several().half(), "simclr", r"does not run on .*\(RuntimeError: .*float32 weights"),
        (Covers(), "mae", r"pictures of \(10, 10\) are more than the 2 x 2 patches .* Give a multiple"),
    ],
)
def test_a_start_that_cannot_be_trained_says_why(module, method, words):
    with pytest.raises(og.InvalidInput, match=words):
        og.pretrain(COLOUR, start=Backbone(module, Preprocess(size=10)), method=method, workers=1)


def test_a_network_whose_configuration_has_moved_says_where_to_write_its_new_place(torchvision, tmp_path):
    pytest.importorskip("transformers")
    moved = Backbone(torch.nn.Linear(2, 2), rebuild="transformers:no/where")
    for name, content in backbone_files(moved, {}).items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(og.InvalidInput, match=r"built from 'transformers:no/where'.* as \"base\" in .*backbone.json"):
        as_backbones(str(tmp_path))


class Window(Several):
    """Its window shrinks with a picture and stays small, as that of Swin in transformers does."""

    side = 99

    def forward(self, pictures):
        self.side = min(self.side, pictures.shape[-1])
        if self.side != pictures.shape[-1]:
            raise RuntimeError("the window does not fit")
        return self.conv(pictures)


def test_small_views_are_for_networks_that_take_both_sizes_in_turn():
    given = {**FAST, "encoder": "auto", "method": "swav"}
    for module, side in ((Window(), 8), (torch.nn.Conv2d(3, 4, 3), 4)):
        made = og.pretrain(COLOUR, start=Backbone(module, Preprocess(size=8)), **given)
        assert made.settings["stages"][0]["crops"]["small"] == (side, side)


def test_a_preprocessing_of_its_own_needs_no_readable_first_picture(make_pictures, tmp_path):
    make_pictures(tmp_path / "pool", 12, size=8)[0].write_bytes(b"no picture")
    start = Backbone(torch.nn.Conv2d(3, 4, 3), lambda picture: Preprocess(size=8)(picture))
    given = {key: value for key, value in FAST.items() if key != "encoder"}
    assert list(og.pretrain(tmp_path / "pool", start=start, method="simclr", **given).bad) == [0]


RANKS = Path(__file__).with_name("pretrain_ranks.py")


def test_two_processes_learn_as_one(tmp_path):
    """Gradients of two processes are those of one with both batches; files are written once; a run stopped and gone on
    is the same to the bit."""
    if not torch.distributed.is_available():
        pytest.skip("this torch was built without torch.distributed")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", str(RANKS), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "rank 0 done" in done.stdout
    assert "rank 1 done" in done.stdout
    one, other = (torch.load(tmp_path / f"{name}" / "weights.pt", weights_only=True) for name in ("one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_start_with_nan_is_refused_and_its_place_named():
    start = Backbone(build_encoder(choose_shape("resnet-tiny", (16, 16)), 0), Preprocess(16))
    norm = next(part for part in start.module.modules() if isinstance(part, torch.nn.BatchNorm2d))
    norm.running_var[0] = float("nan")
    pictures = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
    with pytest.raises(og.InvalidInput, match=r"start \(--from\): \S*running_var of backbone .* holds NaN"):
        og.pretrain(pictures, method="simclr", start=start, epochs=1, device="cpu")


def test_a_queue_that_never_fills_is_refused():
    pictures = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    asked = {"method": "swav", "encoder": "resnet-tiny", "epochs": 2, "batch_size": 4, "device": "cpu"}
    with pytest.raises(og.InvalidInput, match="queue=1000 never fills: 8 steps of 4 pictures bring 32"):
        og.pretrain(pictures, queue=1000, **asked)
