"""adapt_masks from pictures to a file and back, on networks made here."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="masks need torch")

from torch import nn  # noqa: E402

from oneglance import BadData, InvalidInput, StoreError  # noqa: E402
from oneglance.features import Backbone, Preprocess, extract  # noqa: E402
from oneglance.masks import MaskBank, MaskState, SelfMask, adapt_masks, estimate_statistics, load_mask  # noqa: E402

FAST = {"epochs": 2, "batch_size": 8, "device": "cpu", "workers": 1}


def net(channels=3, seed=0):
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, 2, 1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    with torch.no_grad():
        module(torch.randn(32, channels, 12, 12))  # statistics that are not 0 and 1
    return module.eval()


def pictures(n=24, channels=3, sides=(12, 12), seed=1):
    """Floats (n, C, H, W) of two kinds: stripes one way or the other."""
    rng = np.random.default_rng(seed)
    ramp = np.sin(np.arange(max(sides)) * 1.5)
    found = rng.normal(0, 0.3, (n, channels, *sides)).astype(np.float32)
    found[::2] += ramp[: sides[0], None].astype(np.float32)
    found[1::2] += ramp[None, : sides[1]].astype(np.float32)
    return found


def whole_state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def same_mask(a, b):
    return same(a.masks(), b.masks()) and all(
        np.array_equal(value, b.state.buffers[name]) for name, value in a.state.buffers.items()
    )


@pytest.fixture(scope="module")
def adapted():
    module = net()
    return module, adapt_masks(module, pictures(), **FAST, lr=200.0)


def test_the_base_is_left_as_it_was(adapted):
    module, mask = adapted
    assert same(whole_state(module), whole_state(net()))
    assert not any(part.training for part in module.modules())
    assert all(value.grad is None for value in module.parameters())
    assert all(value.requires_grad for value in module.parameters())
    assert mask.keep_rate < 1
    assert mask.state.masks.keys() == {"0.weight", "3.weight"}
    assert list(mask.keep_rates) == ["0.weight", "3.weight"]
    assert "resnet: 2 tensors" in mask.report["tensors"]


def test_saved_loaded_and_merged_give_the_same_bits(adapted, tmp_path):
    module, mask = adapted
    sizes = mask.save(tmp_path / "m")
    assert (tmp_path / "m" / "mask.safetensors").stat().st_size == sizes.file_bytes
    loaded = SelfMask.from_pretrained(tmp_path / "m", module)
    assert same_mask(mask, loaded)
    merged, applied = mask.merge(), loaded.apply(net())
    assert type(merged) is nn.Sequential
    assert same(whole_state(merged), whole_state(applied))
    assert np.array_equal(extract(merged, pictures()), extract(applied, pictures()))
    assert not np.array_equal(extract(merged, pictures()), extract(module, pictures()))
    for name, tensor in mask.masks().items():
        weight = dict(module.named_parameters())[name]
        expected = torch.where(tensor, weight / tensor.float().mean().sqrt(), 0)
        assert float((dict(merged.named_parameters())[name] - expected).detach().abs().max()) < 1e-6
    backbone = loaded.apply(Backbone(module, name="mine"))
    assert backbone.name == "mine"
    assert np.array_equal(extract(backbone, pictures()), extract(merged, pictures()))


def test_merged_is_what_training_saw(adapted):
    """The verdict's features come from the masked forward pass, merged ones from a plain module."""
    from oneglance.masks.evaluate import features_of
    from oneglance.masks.pool import opened

    module, mask = adapted
    with opened(Backbone(module), pictures(), device="cpu") as pool:
        inside = features_of(pool.net, pool.shelf, mask.tensors(module), mask.statistics(module), pool.device)
    # Levels map pixels to 0..1 and back.
    assert float(np.abs(inside - extract(mask.merge(), pictures())).max()) < 1e-5


def test_another_base_is_refused_by_both_hashes(adapted, tmp_path):
    _, mask = adapted
    mask.save(tmp_path / "m.safetensors")
    other = net(seed=5)
    with pytest.raises(InvalidInput, match=mask.base_hash):
        load_mask(tmp_path / "m.safetensors", other)
    with pytest.raises(InvalidInput, match=f"the mask belongs to {mask.base_hash}"):
        mask.apply(other)
    with pytest.raises(StoreError):
        load_mask(tmp_path / "none.safetensors", other)


def test_a_base_that_was_trained_further_is_not_taken_for_the_masks_own(tmp_path):
    module = net()
    mask = adapt_masks(module, pictures(), **FAST, guard=False)
    with torch.no_grad():
        module[0].weight.add_(0.1)
    with pytest.raises(InvalidInput, match=f"the mask belongs to {mask.base_hash}"):
        mask.save(tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


def test_statistics_can_be_measured_again_instead_of_stored(adapted, tmp_path):
    module, mask = adapted
    stored, lean = mask.save(tmp_path / "a"), mask.save(tmp_path / "b", statistics="re-estimate")
    assert lean.buffer_bytes == 0 < stored.buffer_bytes
    loaded = load_mask(tmp_path / "b", module)
    with pytest.raises(InvalidInput, match="saved without statistics.*apply"):
        loaded.apply(module)
    again = loaded.apply(module, images=pictures())
    near = np.abs(extract(again, pictures()) - extract(mask.merge(), pictures())).max()
    assert float(near) < 2e-2  # float16 statistics against float32 ones
    with pytest.raises(InvalidInput, match="statistics must be one of"):
        mask.save(tmp_path / "c", statistics="maybe")


def test_frozen_batch_norms_store_nothing_and_stay(tmp_path):
    module = net()
    mask = adapt_masks(module, pictures(), **FAST, bn="frozen", guard=False)
    assert not mask.state.buffers
    merged = mask.merge()
    assert torch.equal(merged[1].running_mean, module[1].running_mean)
    assert mask.save(tmp_path / "m").buffer_bytes == 0
    loaded = load_mask(tmp_path / "m", module)
    moved = net()
    estimate_statistics(moved, pictures(), device="cpu")  # the same weights, other batch norms: another network
    for attempt in (lambda: load_mask(tmp_path / "m", moved), lambda: loaded.apply(moved)):
        with pytest.raises(InvalidInput, match="batch norm statistics with the hash .* and frozen batch norms"):
            attempt()


def test_bfloat16_arithmetic_trains_float32_scores():
    mask = adapt_masks(net(), pictures(), **FAST, compute="bfloat16", guard=False)
    assert mask.report["settings"]["compute"] == "bfloat16"
    assert all(np.isfinite(mask.history.losses))
    assert {value.dtype for value in mask.scores.values()} == {torch.float32}
    assert 0 < mask.report["prototypes_used"] <= 1


def test_twice_is_the_same_to_the_bit_and_seeds_differ(adapted):
    module, mask = adapted
    assert same_mask(mask, adapt_masks(module, pictures(), **FAST, lr=200.0))
    assert not same_mask(mask, adapt_masks(module, pictures(), **FAST, lr=200.0, seed=1, guard=False))


class _Stop(Exception):
    pass


@pytest.mark.parametrize("how", ["ctrl-c", "killed"])
@pytest.mark.parametrize("at", [1, 3, 5])
def test_resumed_is_uninterrupted(adapted, tmp_path, how, at):
    module, mask = adapted
    place = tmp_path / "deep" / "run.pt"
    seen = []

    def progress(now):
        if now.what == "adapt":
            seen.append(now.done)
            if len(seen) == at:
                if how == "killed":
                    raise _Stop
                os.kill(os.getpid(), signal.SIGINT)

    same_run = {**FAST, "lr": 200.0, "checkpoint": place, "checkpoint_every_s": 0}
    with pytest.raises(KeyboardInterrupt if how == "ctrl-c" else _Stop):
        adapt_masks(module, pictures(), **same_run, progress=progress)
    assert len(seen) == at
    assert place.exists() or at == 1  # killed in the first step: nothing to go on from
    assert same(whole_state(module), whole_state(net()))
    resumed = adapt_masks(module, pictures(), **same_run)
    assert same_mask(mask, resumed)
    assert resumed.history.losses == mask.history.losses
    assert str(resumed.verdict) == str(mask.verdict)
    assert not place.exists()


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    place = tmp_path / "run.pt"

    def stop(now):
        if now.what == "adapt":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        adapt_masks(net(), pictures(), **FAST, checkpoint=place, progress=stop)
    for changed in ({"lr": 3.0}, {"seed": 2}):
        with pytest.raises(InvalidInput, match="written for another base, pool or settings"):
            adapt_masks(net(), pictures(), **FAST, checkpoint=place, **changed)
    with pytest.raises(InvalidInput, match="written for another"):
        adapt_masks(net(), pictures(seed=8), **FAST, checkpoint=place)
    shifted = net()
    next(value for name, value in shifted.named_buffers() if name.endswith("running_mean")).add_(0.5)
    for other in (shifted, Backbone(net(), pool="mean")):  # the same parameters, and other features
        with pytest.raises(InvalidInput, match="written for another"):
            adapt_masks(other, pictures(), **FAST, checkpoint=place)
    place.write_bytes(place.read_bytes()[:-50])
    with pytest.raises(StoreError, match="cannot be read.*Remove it"):
        adapt_masks(net(), pictures(), **FAST, checkpoint=place)


@pytest.mark.parametrize(("channels", "sides"), [(1, (12, 12)), (5, (10, 14)), (3, (9, 20))])
def test_any_channels_and_sides(channels, sides):
    mask = adapt_masks(net(channels), pictures(12, channels, sides), **FAST)
    assert 0 < mask.keep_rate <= 1
    assert all(np.isfinite(mask.history.losses))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_tiny_pools(n):
    mask = adapt_masks(net(), pictures(n), device="cpu", epochs=3)
    assert mask.report["settings"]["batch_size"] == n
    assert mask.report["settings"]["queue"] == 0
    assert all(np.isfinite(mask.history.losses))
    assert not mask.verdict.go
    assert np.isfinite(extract(mask.merge(), pictures(n))).all()


def test_folder_with_a_bad_picture(tmp_path, make_pictures):
    make_pictures(tmp_path / "p", 12, size=20)
    (tmp_path / "p" / "broken.png").write_bytes(b"no picture")
    backbone = Backbone(net(), Preprocess(size=12, resize=16))
    mask = adapt_masks(backbone, tmp_path / "p", **FAST, max_bad_fraction=0.2)
    assert list(mask.report["bad"]) == [12]
    assert mask.report["pictures"] == 12
    with pytest.raises(BadData, match="1 of 13 pictures cannot be used"):
        adapt_masks(backbone, tmp_path / "p", **FAST, max_bad_fraction=0.0)


def test_pictures_beyond_memory_are_decoded_again_with_the_same_result(tmp_path, make_pictures, monkeypatch):
    make_pictures(tmp_path / "p", 10, size=12)
    backbone = Backbone(net(), Preprocess(size=12))
    kept = adapt_masks(backbone, tmp_path / "p", **FAST)
    from oneglance.masks import pool, shelf

    def small(*args, **kwargs):
        return shelf.fill_shelf(*args, **kwargs, max_ram_bytes=100)

    monkeypatch.setattr(pool, "fill_shelf", small)
    assert same_mask(kept, adapt_masks(backbone, tmp_path / "p", **FAST))


def test_supervised_masks_learn_the_labels_and_are_judged_on_others():
    labels = [row % 2 for row in range(60)]
    given = {"device": "cpu", "epochs": 30, "batch_size": 16}
    mask = adapt_masks(net(), pictures(60), labels=labels, supervised=True, **given)
    assert mask.history.last_loss < 0.4 < mask.history.losses[0]
    assert mask.verdict.gain.n_values == 18  # 30 % of the labels
    assert mask.report["settings"]["warm_up"] > 0
    with pytest.raises(InvalidInput, match="supervised=True needs labels"):
        adapt_masks(net(), pictures(), supervised=True)
    with pytest.raises(InvalidInput, match="two classes at least"):
        adapt_masks(net(), pictures(), labels=[0] * 24, supervised=True, **FAST)


def test_labels_in_every_form_and_their_mistakes():
    for labels in ([0, 1] * 12, {0: "a", 1: "b", "05": "b"}, np.array([0.0, 1.0] * 11 + [np.nan] * 2)):
        mask = adapt_masks(net(), pictures(), labels=labels, **FAST)
        assert (mask.verdict.gain is None) == (len(labels) == 3)
    with pytest.raises(InvalidInput, match=r"labels must have one entry per picture \(24\)"):
        adapt_masks(net(), pictures(), labels=[0, 1], **FAST)
    with pytest.raises(InvalidInput, match="labels: no picture 'x'"):
        adapt_masks(net(), pictures(), labels={"x": 1}, **FAST)
    with pytest.raises(InvalidInput, match="none of the 24 usable pictures has a label"):
        adapt_masks(net(), pictures(), labels=[None] * 24, **FAST)


class Window(nn.Module):
    """Its window shrinks with a picture and stays small, as that of Swin in transformers does."""

    side = 99

    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, maps):
        self.side = min(self.side, maps.shape[-1])
        if self.side != maps.shape[-1]:
            raise RuntimeError("the window does not fit")
        return self.net(maps)


def test_a_network_that_changes_with_the_size_gets_one_size():
    module = Window()
    mask = adapt_masks(module, pictures(), **FAST)
    assert mask.report["crops"]["small"] == (12, 12)
    assert module.side == 12


def test_mistakes_are_named():
    with pytest.raises(InvalidInput, match="unknown setting 'epoch'"):
        adapt_masks(net(), pictures(), epoch=3)
    with pytest.raises(InvalidInput, match="ready vectors"):
        adapt_masks(net(), np.ones((5, 4), dtype=np.float32))
    with pytest.raises(InvalidInput, match="crops: no field 'flips'"):
        adapt_masks(net(), pictures(), crops={"flips": 0}, **FAST)
    with pytest.raises(InvalidInput, match="n_big must be 2"):
        adapt_masks(net(), pictures(), crops={"n_big": 3}, **FAST)
    with pytest.raises(InvalidInput, match="bn must be one of"):
        adapt_masks(net(), pictures(), **FAST, bn="off")
    broken = net()
    with torch.no_grad():
        broken[3].weight.fill_(float("nan"))
    with pytest.raises(InvalidInput, match="training has diverged before step 1"):
        adapt_masks(broken, pictures(), **FAST)


@pytest.mark.parametrize(
    ("change", "given", "words"),
    [
        (lambda m: m.half(), {}, "failed on a batch .* It holds torch.float16: give module.float"),
        (lambda m: m[3:], {}, "failed on a batch of shape .*RuntimeError: Given groups=1"),
        (lambda m: m, {"compute": "float16"}, "scores are not trained in float16"),
        (lambda m: m, {"queue": 3}, "queue must be 0 or hold whole batches of 8, got 3"),
        (lambda m: m, {"crops": {"big": 6}}, "crops: big must be two numbers, got 6"),
    ],
)
def test_what_cannot_be_trained_is_told_with_a_cure(change, given, words):
    with pytest.raises(InvalidInput, match=words):
        adapt_masks(change(net()), pictures(), **{**FAST, "batch_size": 8, **given})


def test_a_checkpoint_that_cannot_be_written_is_told_before_the_training(tmp_path):
    seen = []
    with pytest.raises(StoreError, match="cannot be written. Name a file"):
        adapt_masks(net(), pictures(), **FAST, checkpoint=tmp_path, progress=lambda now: seen.append(now.what))
    assert set(seen) == {"read"}


def test_without_torch_the_cure_is_named_and_files_can_still_be_read():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import oneglance as og\n"
        "from oneglance.masks import read_mask_file\n"
        "og.adapt_masks\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert 'MissingDependency: oneglance.masks.adapt_masks needs torch: pip install "oneglance[torch]"' in done.stderr


def test_adabn_alone():
    module = net()
    before = extract(module, pictures())
    estimate_statistics(module, pictures(), device="cpu")
    with torch.no_grad():
        flat = module[0](torch.from_numpy(pictures())).transpose(0, 1).flatten(1)
    assert torch.allclose(module[1].running_mean, flat.mean(dim=1), atol=1e-5)
    assert torch.allclose(module[1].running_var, flat.var(dim=1), rtol=1e-4)
    assert not np.array_equal(before, extract(module, pictures()))


def test_adabn_sees_the_whole_pool_where_classes_come_one_after_the_other():
    classes = np.repeat(np.arange(4, dtype=np.float32), 200)
    noise = np.random.default_rng(0).normal(size=(800, 3, 12, 12)).astype(np.float32)
    sorted_by_class = 0.5 * noise + 2 * classes[:, None, None, None]
    module = net()
    estimate_statistics(module, sorted_by_class, device="cpu")
    with torch.no_grad():
        flat = module[0](torch.from_numpy(sorted_by_class)).transpose(0, 1).flatten(1)
    assert torch.allclose(module[1].running_mean, flat.mean(dim=1), atol=1e-3)
    assert torch.allclose(module[1].running_var, flat.var(dim=1), rtol=0.05)


def test_several_masks_in_one_batch():
    module = net()
    a = adapt_masks(module, pictures(), **FAST, lr=200.0, guard=False)
    b = adapt_masks(module, pictures(seed=3), **FAST, lr=200.0, guard=False, seed=4)
    bank = MaskBank(module, {"north": a, "south": b}, ready=1)
    given = torch.from_numpy(pictures(9))
    sites = ["north", "south", None, "south", "north", None, "north", "south", "south"]
    found = bank(given, sites)
    for site, alone in (("north", a.merge()), ("south", b.merge()), (None, module)):
        rows = [row for row, name in enumerate(sites) if name == site]
        with torch.no_grad():
            assert torch.allclose(found[rows], alone(given[rows]), atol=1e-6)
    assert same(whole_state(module), whole_state(net()))
    with pytest.raises(InvalidInput, match="no mask 'nort'. Did you mean 'north'"):
        bank(given, ["nort"] * 9)
    with pytest.raises(InvalidInput, match="one name per picture"):
        bank(given, ["north"])
    with pytest.raises(InvalidInput, match="the mask belongs to"):
        MaskBank(net(seed=6), {"north": a})


def test_a_bank_runs_the_base_in_eval_mode_and_needs_its_statistics(adapted):
    module, mask = adapted
    given, state = torch.from_numpy(pictures(3)), mask.state
    bank, before = MaskBank(module, {"north": mask}), whole_state(module)
    want = bank(given, [None, "north", None])
    module[1].train()
    assert torch.equal(bank(given, [None, "north", None]), want)
    assert module[1].training
    module.eval()
    assert same(whole_state(module), before)
    without = replace(mask, state=MaskState(state.masks, {}, {**state.metadata, "bn": "re-estimate"}))
    with pytest.raises(InvalidInput, match="masks: 'north' was saved without statistics of the batch norms"):
        MaskBank(module, {"south": mask, "north": without})


@pytest.mark.parametrize("kind", ["torchvision", "timm-vit", "timm-convnext", "transformers", "peft"])
@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers in an old way
def test_networks_of_other_libraries(kind, torchvision, tmp_path):
    torch.manual_seed(0)
    call = None
    if kind == "torchvision":
        module = torchvision.models.mobilenet_v2(width_mult=0.1)
    elif kind.startswith("timm"):
        timm = pytest.importorskip("timm", reason="timm's networks")
        if kind == "timm-vit":
            module = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=0)
        else:
            module = timm.create_model("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 16, 16, 24), num_classes=0)
    else:
        transformers = pytest.importorskip("transformers", reason="transformers' networks")
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        config = transformers.ViTConfig(**sizes, image_size=32, patch_size=8)
        module = transformers.ViTModel(config)
        if kind == "peft":
            peft = pytest.importorskip("peft", reason="peft's adapters")
            names = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
            module = peft.get_peft_model(module, peft.LoraConfig(r=2, target_modules=names))

        def call(network, batch):
            return network(pixel_values=batch)

    backbone = Backbone(module.eval(), Preprocess(size=32), call=call)
    rng = np.random.default_rng(0)
    given = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    mask = adapt_masks(backbone, given, device="cpu", epochs=1, lr=500.0)
    mask.save(tmp_path)
    again = load_mask(tmp_path, backbone).apply(backbone)
    merged = mask.apply(backbone)
    assert np.array_equal(extract(merged, given), extract(again, given))
    assert np.isfinite(extract(merged, given)).all()
    assert mask.report["crops"]["small"] == ((16, 16) if kind == "torchvision" else (32, 32))
