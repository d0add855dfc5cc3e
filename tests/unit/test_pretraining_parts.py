"""Parts of pretraining: rates, automatic settings and sizes, options, batch norms over processes, memory."""

import functools
import importlib
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="pretraining needs torch")

import oneglance as og  # noqa: E402
from oneglance.errors import InvalidInput  # noqa: E402
from oneglance.features import Preprocess  # noqa: E402
from oneglance.features.encoders import SmallResNet, SmallViT, build_encoder, choose_shape  # noqa: E402
from oneglance.features.pictures import MemoryPictures  # noqa: E402
from oneglance.masks.crops import crops_for  # noqa: E402
from oneglance.masks.shelf import fill_shelf  # noqa: E402
from oneglance.pretraining import shared_norms  # noqa: E402
from oneglance.pretraining.methods import METHODS  # noqa: E402
from oneglance.pretraining.objective import Batch, Facts, Objective, Recipe  # noqa: E402
from oneglance.pretraining.options import as_count, as_flag, as_number, as_share  # noqa: E402
from oneglance.pretraining.preparing import parse_size, standardise_by  # noqa: E402
from oneglance.pretraining.schedule import full_lr, make_optimiser, rate, set_lr  # noqa: E402
from oneglance.pretraining.settings import choose_settings, stage_epochs  # noqa: E402
from oneglance.pretraining.sizes import choose_size, look  # noqa: E402

COLOUR = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
FAST = {"epochs": 3, "batch_size": 6, "device": "cpu", "workers": 1}


def test_lr_rises_linearly_then_falls_as_a_cosine():
    recipe = Recipe("adamw", 1.0, 0.0, warm_up=0.1, last=0.01)
    shares = [rate(recipe, step, 100) for step in range(100)]
    assert np.allclose(np.diff(shares[:10]), 1 / 11)
    assert shares[10] == max(shares) == 1
    assert np.all(np.diff(shares[10:]) < 0)
    assert abs(shares[55] - (0.01 + 0.99 / 2)) < 1e-12
    assert 0.01 < shares[99] < 0.02
    assert rate(Recipe("sgd", 1.0, 0.0, warm_up=0.0), 0, 1) == 1
    assert full_lr(Recipe("sgd", 0.6, 0.0), 64) == pytest.approx(0.15)  # the linear rule


class Toy(Objective):
    recipe = Recipe("adamw", 1e-3, 0.05)

    def crops(self, size):
        return crops_for(size)

    def loss(self, batch, step):
        return self.encoder(batch.big).sum(), {}

    def rates(self):
        return {"encoder.norm.weight": 0.5}


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_decay_is_for_matrices_and_rates_for_whom_they_name(optimiser):
    objective = Toy(SmallViT(8, 1, 2, 2, 1))
    objective.encoder.blocks[0].requires_grad_(False)
    objective.encoder.register_tokens = torch.nn.Parameter(torch.zeros(1, 4, 8))  # DINOv2's
    made = make_optimiser(objective, Recipe(optimiser, 1e-3, 0.05))
    set_lr(made, 2.0)
    names = {id(value): name for name, value in objective.named_parameters()}
    seen = {}
    for group in made.param_groups:
        for value in group["params"]:
            seen[names[id(value)].removeprefix("encoder.")] = (group["lr"], group["weight_decay"])
    assert seen == {
        "cls_token": (2.0, 0.0),
        "register_tokens": (2.0, 0.0),
        "patch_embed.weight": (2.0, 0.05),
        "patch_embed.bias": (2.0, 0.0),
        "norm.weight": (1.0, 0.0),
        "norm.bias": (2.0, 0.0),
    }


@pytest.mark.parametrize(
    ("n", "batch", "epochs"),
    [(2, 2, 400), (7, 2, 400), (40, 10, 400), (256, 64, 400), (1300, 64, 150), (50_000, 64, 20)],
)
def test_settings_follow_the_pool(n, batch, epochs):
    found = choose_settings(n)
    assert (found.batch_size, found.epochs) == (batch, epochs)


@pytest.mark.parametrize(("n", "batch"), [(8, 8), (20, 8), (100, 24), (10_000, 512)])
def test_settings_know_the_processes_before_they_have_met(monkeypatch, n, batch):
    """What the first one announces is what all will do, and tiny pools are shared out."""
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("RANK", "0")
    assert choose_settings(n).batch_size == batch
    assert choose_settings(n, batch_size=8).batch_size == 8
    with pytest.raises(InvalidInput, match="batch_size must be at least the 8 processes, got 4. Start fewer"):
        choose_settings(n, batch_size=4)
    with pytest.raises(InvalidInput, match="images: 8 processes need as many pictures at least, got 5. Start fewer"):
        choose_settings(5)


@pytest.mark.parametrize("n", [2, 3, 7, 20, 65, 300])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_has_settings_for_every_pool(method, n):
    settings = choose_settings(n)
    encoder = build_encoder(choose_shape("vit-tiny", (8, 8), 1))
    per_epoch = max(1, n // settings.batch_size)
    for stage, epochs in zip(METHODS[method].stages, stage_epochs(METHODS[method], settings.epochs), strict=True):
        facts = Facts(n, settings.batch_size, per_epoch, per_epoch * epochs, (8, 8), 1)
        objective = stage.build(encoder, facts, {})
        chosen = objective.settings()
        if "n_prototypes" in chosen:  # equal use must be possible
            assert 2 <= chosen["n_prototypes"] <= max(2, settings.batch_size + chosen["queue"])
        assert objective.crops((8, 8)).big == (8, 8)


def test_epochs_of_stages_add_up():
    assert stage_epochs(METHODS["mae"], 7) == [7]
    assert stage_epochs(METHODS["mae-ct"], 100) == [60, 10, 30]
    for epochs in range(3, 60):  # never more than asked for, and no stage without one
        counts = stage_epochs(METHODS["mae-ct"], epochs)
        assert sum(counts) == epochs
        assert min(counts) >= 1
    with pytest.raises(InvalidInput, match="epochs must be 3 or more for mae-ct"):
        stage_epochs(METHODS["mae-ct"], 2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
        ({"epochs": 1.5}, "epochs must be an integer >= 1, got 1.5"),
        ({"weight_decay": -1}, "weight_decay must be a finite number >= 0, got -1"),
        ({"warm_up": 1}, r"warm_up must lie in \[0, 1\), got 1"),
        ({"seed": -1}, "seed must be an integer in 0"),
        ({"n_classes": 0}, "n_classes must be an integer >= 1, got 0"),
    ],
)
def test_impossible_settings_are_named(given, words):
    with pytest.raises(InvalidInput, match=words):
        choose_settings(20, **given)


@pytest.mark.parametrize(
    ("method", "crops", "words"),
    [
        ("mae", {"flips": 0}, "crops: no field 'flips'; there are"),
        ("mae", {"flip": "no"}, "crops: flip must be a number, got 'no'"),
        ("mae", {"big": (4, 4)}, r"crops: big is \(8, 8\) for this method and cannot be changed, got \(4, 4\)"),
        ("swav", {"n_big": 1}, "crops: n_big is 2 for this method and cannot be changed, got 1. Leave it out"),
        ("swav", {"small": 8}, "crops: small must be two numbers like"),
        ("simclr", {"n_big": 3}, "crops: n_big is 2 for this method"),
        ("nnclr", {"n_small": 2}, "crops: n_small is 0 for this method"),
        ("nnclr", {"flip": 2}, "flip must be a chance in 0..1, got 2"),
    ],
)
def test_views_that_a_loss_is_not_made_for_are_named_before_any_work(method, crops, words):
    with pytest.raises(InvalidInput, match=words):
        og.plan_pretrain(COLOUR, method=method, encoder="vit-tiny", crops=crops, measured=False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"layer_decay": 2}, "layer_decay must lie between 0 and 1, got 2"),
        ({"top_k": "many"}, "top_k must be an integer >= 1, got 'many'"),
        ({"top_k": 0}, "top_k must be an integer >= 1, got 0"),
        ({"temprature": 1}, "method 'mae-ct' has no option 'temprature'; it has mask_ratio.* mean 'temperature'"),
        ({"lr": 0}, "lr must be a finite number > 0, got 0"),
        ({"compute": "float16"}, "compute: .*float16.* Take bfloat16, float32 or auto"),
        ({"compute": "half"}, "compute must be one of"),
        ({"seed": "x"}, "seed must be an integer"),
    ],
)
def test_settings_of_all_stages_are_judged_before_a_picture_is_read(monkeypatch, given, words):
    pretrain, home = og.pretrain, importlib.import_module("oneglance.pretraining.pretrain")
    monkeypatch.setattr(home, "fill_shelf", lambda *args, **settings: pytest.fail("pictures were read"))
    with pytest.raises(InvalidInput, match=words):
        pretrain(COLOUR, method="mae-ct", **{**FAST, **given})


def test_names_are_functions_in_whatever_order_they_are_imported():
    code = "from oneglance.pretraining import Pretrained, pretrain; assert callable(pretrain), pretrain"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_numbers_of_numpy_can_be_written(tmp_path):
    """The record is written at the very end: a number that JSON does not know would cost the whole training."""
    given = {"lr": np.float32(1e-3), "weight_decay": np.int64(0), "warm_up": np.float32(0.25), "seed": np.int64(1)}
    crops = {"flip": np.float32(0), "scale_big": np.array([0.5, 1]).tolist()}
    og.pretrain(COLOUR, tmp_path / "b", crops=crops, mask_ratio=np.float32(0.5), **given, **FAST)
    stage = json.loads((tmp_path / "b" / "record.json").read_text())["settings"]["stages"][0]
    assert (stage["warm_up"], stage["crops"]["flip"], stage["crops"]["scale_big"]) == (0.25, 0, [0.5, 1])


@pytest.mark.parametrize(
    ("found", "size"),
    [
        ((1, 1), (1, 1)),
        ((3, 9), (3, 9)),
        ((28, 28), (28, 28)),
        ((30, 41), (32, 40)),
        ((70, 100), (72, 96)),
        ((480, 640), (224, 304)),
        ((3000, 200), (3008, 192)),
    ],
)
def test_sizes_are_those_of_the_pool_where_patches_fit(found, size):
    assert choose_size(found) == size
    shape = choose_shape("vit", size)
    assert size[0] % shape.patch == size[1] % shape.patch == 0


def test_pictures_of_one_shape_keep_it_and_others_become_squares():
    same = [Image.new("RGB", (64, 48))] * 3
    mixed = [Image.new("RGB", (64, 48)), Image.new("RGB", (48, 64)), Image.new("RGB", (100, 52))]
    assert look(MemoryPictures(same)) == (3, (48, 64), False)
    assert look(MemoryPictures(mixed)) == (3, (48, 48), False)
    assert look(MemoryPictures(np.zeros((4, 2, 5, 7), dtype=np.float32))) == (2, (5, 7), True)
    assert [parse_size(value) for value in (None, 8, "8", "8x12", (8, 12))] == [None, (8, 8), (8, 8), (8, 12), (8, 12)]


@pytest.mark.parametrize("size", [(24, 16), (16, 24), (10, 10)])
@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_preprocessing_to_a_rectangle(size, fit):
    step = Preprocess(size=size, fit=fit)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8))
    assert step(picture).shape == (3, *size)
    assert f"{size[0]} x {size[1]}" in str(step)
    shelf = fill_shelf(MemoryPictures([picture] * 2), step)
    assert shelf.size == size
    assert torch.allclose(shelf.plain(torch.arange(1), torch.device("cpu"))[0], step(picture), atol=1e-6)
    square = Preprocess(size=(10, 10)), Preprocess(size=10)
    assert torch.equal(square[0](picture), square[1](picture))


@pytest.mark.parametrize("unit", range(1, 17))
def test_small_views_fit_the_patches(unit):
    for many in range(1, 40):
        size = (unit * many, unit * (many + 1))
        small = crops_for(size, unit).small
        assert small[0] % unit == small[1] % unit == 0
        assert 0 < small[0] <= max(4, size[0])


def test_rectangles_that_cannot_be_are_named():
    for given, words in (
        ({"size": (1, 2, 3)}, "size must be a side or"),
        ({"size": (4, 0)}, "size must be an integer >= 1, got 0"),
        ({"size": (4, 4), "resize": 8}, "resize goes with the size of a square only"),
    ):
        with pytest.raises(InvalidInput, match=words):
            Preprocess(**given)


def test_options_as_texts():
    assert [as_flag(value, "x") for value in (True, "no", "On", 0)] == [True, False, True, False]
    assert (as_count("7", "x"), as_share("0.5", "x"), as_number("1e-3", "x")) == (7, 0.5, 1e-3)
    for call, value in ((as_count, True), (as_count, "1.5"), (as_share, 1), (as_number, "nan"), (as_number, "inf")):
        with pytest.raises(InvalidInput, match="x must"):
            call(value, "x")


def test_levels_are_those_of_the_whole_pool_whatever_its_order():
    """Dark pictures first: what comes later must not be cut off as too bright."""
    pictures = np.random.default_rng(0).random((400, 1, 4, 4)).astype(np.float32) * 100
    pictures[:100] /= 100
    levels = fill_shelf(MemoryPictures(pictures), Preprocess(size=None)).levels
    assert 90 < levels.high[0] <= 100
    assert levels.low[0] >= 0


def test_a_channel_of_one_value_keeps_its_scale():
    pictures = np.zeros((4, 2, 6, 6), dtype=np.float32)
    pictures[:, 1] = np.random.default_rng(0).normal(5, 2, (4, 6, 6))
    encoder = SmallViT(8, 1, 2, 2, 2)
    standardise_by(encoder, fill_shelf(MemoryPictures(pictures), Preprocess(size=None)))
    assert encoder.std[0] == 1
    assert abs(encoder.std[1].item() - pictures[:, 1].std()) < 1e-4
    assert torch.isfinite(encoder(torch.from_numpy(pictures))).all()


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 7, 3)])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_shared_norms_are_torchs_where_one_process_has_all(shape, kept, momentum):
    torch.manual_seed(0)
    kind = torch.nn.BatchNorm1d if len(shape) == 2 else torch.nn.BatchNorm2d
    one = kind(5, momentum=momentum, track_running_stats=kept)
    torch.nn.init.normal_(one.weight)
    other = kind(5, momentum=momentum, track_running_stats=kept)
    other.load_state_dict(one.state_dict())
    for _ in range(3):
        values = torch.randn(shape) * 3 + 10
        first, second = values.clone().requires_grad_(), values.clone().requires_grad_()
        (one(first) ** 3).sum().backward()
        (shared_norms._normalise(other, second) ** 3).sum().backward()
        assert torch.allclose(first.grad, second.grad, atol=1e-3)
    assert torch.allclose(one.weight.grad, other.weight.grad, rtol=1e-3, atol=1e-2)
    for name, value in one.state_dict().items():
        assert torch.allclose(value.float(), other.state_dict()[name].float(), rtol=1e-5), name
    with torch.no_grad():
        plain = one.eval()(values), shared_norms._normalise(other.eval(), values)
    assert torch.allclose(*plain, atol=1e-4)


class NormAct(torch.nn.BatchNorm2d):
    """A norm that does more, as timm's do."""

    def forward(self, maps):
        return torch.nn.functional.silu(super().forward(maps))


@pytest.mark.parametrize("kept", [True, False])
def test_shared_norms_do_what_else_a_norm_does(kept):
    torch.manual_seed(0)
    one, other = (NormAct(5, track_running_stats=kept) for _ in range(2))
    torch.nn.init.normal_(one.weight)
    other.load_state_dict(one.state_dict())
    for _ in range(3):
        values = torch.randn(6, 5, 7, 3) * 3 + 10
        first, second = values.clone().requires_grad_(), values.clone().requires_grad_()
        plain, shared = one(first), shared_norms._normalise(other, second)
        assert torch.allclose(plain, shared, atol=1e-5)
        (plain**3).sum().backward()
        (shared**3).sum().backward()
        assert torch.allclose(first.grad, second.grad, atol=1e-3)
    assert other.training
    assert torch.allclose(one.weight.grad, other.weight.grad, rtol=1e-3, atol=1e-2)
    for name, value in one.state_dict().items():
        assert torch.allclose(value.float(), other.state_dict()[name].float(), rtol=1e-5), name


def test_a_resnet_takes_any_sides_and_shrinks_large_ones():
    small, large = (build_encoder(choose_shape("resnet-tiny", (side, side), 2)) for side in (8, 64))
    assert isinstance(small, SmallResNet)
    assert small(torch.rand(2, 2, 9, 15)).shape == (2, 64)
    assert (small.conv1.stride, large.conv1.stride) == ((1, 1), (2, 2))


def test_pictures_that_do_not_fit_are_read_again_and_give_the_same_bits(monkeypatch):
    whole = og.pretrain(COLOUR, method="swav", **FAST)
    home = importlib.import_module("oneglance.pretraining.pretrain")  # the package has a function of that name
    monkeypatch.setattr(home, "fill_shelf", functools.partial(home.fill_shelf, max_ram_bytes=0))
    again = og.pretrain(COLOUR, method="swav", **FAST)
    one, other = (made.backbone.module.state_dict() for made in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_half_the_bits_work(method):
    made = og.pretrain(COLOUR, method=method, compute="bfloat16", **FAST)
    assert made.provenance["compute"] == "bfloat16"
    assert all(np.isfinite(entry["loss"]) for entry in made.curve)
    assert {value.dtype for value in made.backbone.module.parameters()} == {torch.float32}


def test_a_plan_without_trial_steps_says_no_time():
    plan = og.plan_pretrain(
        COLOUR, method="mae-ct", measured=False, **{key: FAST[key] for key in ("epochs", "batch_size")}
    )
    assert plan.seconds is plan.n_bytes is None
    assert plan.n_steps == sum(stage["steps"] for stage in plan.stages) == 9
    measured = og.plan_pretrain(COLOUR, method="mae", epochs=2, batch_size=6, mask_ratio=0.5)
    assert measured.seconds > 0
    assert measured.n_bytes > 16 * measured.n_weights
    assert measured.stages[0]["mask_ratio"] == 0.5


class Pixels(torch.nn.Flatten):
    width = 64


def test_prototypes_used_see_a_collapse():
    """All pictures near one prototype: codes are even by construction, the nearest prototypes are not."""
    facts = Facts(n_pictures=64, batch_size=16, per_epoch=4, n_steps=40, size=(8, 8), n_channels=1)
    used = []
    for alike in (False, True):
        torch.manual_seed(0)
        objective = METHODS["swav"].stages[0].build(Pixels(), facts, {"n_prototypes": 8})
        if alike:
            torch.nn.init.zeros_(objective.head.weight)
        for step in range(300):
            views = torch.randn(32, 1, 8, 8)
            with torch.no_grad():
                _, scalars = objective(Batch(views, None, 16, torch.Generator()), step)
        used.append(scalars["prototypes_used"].item())
        assert scalars["n_prototypes"].item() == 8
    assert used[0] > 0.3
    assert abs(used[1] - 1 / 8) < 0.01


@pytest.mark.parametrize(
    ("size", "patch"), [((8, 8), 2), ((31, 31), 1), ((32, 48), 4), ((224, 224), 16), ((23, 46), 1)]
)
def test_patches_fit_both_sides(size, patch):
    assert choose_shape("vit", size).patch == patch


def test_too_many_patches_are_refused():
    with pytest.raises(InvalidInput, match=r"sides \(223, 211\) leave .* 47,053 of them"):
        choose_shape("vit", (223, 211))
    assert choose_shape("resnet", (223, 211)).size == "base"


@pytest.mark.parametrize(
    ("side", "n", "size"), [(32, 10**6, "tiny"), (48, 9, "small"), (224, 9_999, "small"), (224, 10_000, "base")]
)
def test_encoders_are_sized_by_pictures_and_pool(side, n, size):
    assert choose_shape("vit", (side, side), n_pictures=n).size == size
    assert choose_shape("vit-large", (side, side), n_pictures=n).size == "large"
