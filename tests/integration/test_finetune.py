"""finetune from pictures and few labels to a folder and back, on networks made here."""

import copy
import json
import os
import signal

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="fine-tuning needs torch")

from torch import nn  # noqa: E402

import oneglance as og  # noqa: E402
from oneglance import InvalidInput, MissingDependency, StoreError  # noqa: E402
from oneglance.features import Backbone, Preprocess, extract  # noqa: E402
from oneglance.finetuning import finetune, load_finetuned, plan_finetune  # noqa: E402
from oneglance.finetuning.judging import Variant  # noqa: E402
from oneglance.reference.finetuning import interpolate, merge_lora  # noqa: E402

FAST = {"device": "cpu", "workers": 1, "steps": 4, "folds": 3, "repeats": 1, "mask_epochs": 1}


def net(seed=0, norm=True):
    torch.manual_seed(seed)
    parts = {
        "conv1": nn.Conv2d(3, 8, 3, 2, 1, bias=not norm),
        "bn1": nn.BatchNorm2d(8) if norm else nn.Identity(),
        "relu": nn.ReLU(),
        "conv2": nn.Conv2d(8, 12, 3, 2, 1),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
    }
    module = nn.Sequential()
    for name, part in parts.items():
        module.add_module(name, part)
    with torch.no_grad():
        module(torch.randn(32, 3, 12, 12))  # statistics that are not 0 and 1
    return module.eval()


def pictures(n=30, noise=0.3, seed=1):
    """Floats (n, 3, 12, 12) of two kinds by turns: stripes one way or the other."""
    rng = np.random.default_rng(seed)
    ramp = np.sin(np.arange(12) * 1.5).astype(np.float32)
    found = rng.normal(0, noise, (n, 3, 12, 12)).astype(np.float32)
    found[::2] += ramp[:, None]
    found[1::2] += ramp[None, :]
    return found


LABELS = {row: "ab"[row % 2] for row in range(20)}
TRUTH = np.array(["a", "b"] * 15, dtype=object)


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_every_recipe_and_the_base_stays_as_it_was():
    module = net()
    before = state(module)
    names = ["adabn", "lp_ft", "wise_ft", "bitfit", "mask", "self_mask", "self_mask+wise_ft"]
    made = finetune(module, pictures(), LABELS, recipe=names, counts=(4,), **FAST)
    assert same(state(module), before)
    assert all(value.requires_grad for value in module.parameters())
    assert module.training is False
    assert [found.recipe for found in made.scores] == ["probe", *names]
    assert [found.recipe for found in made.curve] == ["probe", *names]
    assert {found.count for found in made.curve} == {4}
    assert not [found.failed for found in made.scores if found.failed]
    scores = {found.recipe: found for found in made.scores}
    ends = scores["wise_ft"].tried
    assert ends["0 steps, alpha 0"] == scores["probe"].accuracy.mean  # both ends are reported
    assert {name for name in ends if name.endswith("alpha 1")} == set(scores["lp_ft"].tried)
    assert scores["mask"].gain.level == pytest.approx(1 - 0.05 / len(names))
    assert made.recipe in ("probe", *names)
    if made.recipe == "probe":
        assert "no difference found" in made.reason[1]
        assert same(state(made.backbone.module), before)
    assert made.to_table().num_rows == 2 * (1 + len(names))
    assert made.to_pandas()["verdict"][0] == "baseline"
    json.dumps(made.document(), allow_nan=False)
    assert f"{made.recipe}" in str(made)


def hard(n=60):
    """Pictures whose kind is in a channel that the network does not look at."""
    rng = np.random.default_rng(3)
    found = rng.normal(0, 1.0, (n, 3, 12, 12)).astype(np.float32)
    found[::2, 2] += 1.5
    return found


def blind():
    module = net(norm=False)
    with torch.no_grad():
        module.conv1.weight[:, 2] = 0.0
    return module


@pytest.fixture(scope="module")
def tuned():
    """A case in which tuning wins for certain."""
    made = finetune(
        blind(), hard(), [i % 2 for i in range(60)], recipe="lp_ft",
        **{**FAST, "folds": 5, "steps": 80, "lr": 1e-2, "l2_sp": 0.0, "crops": {"jitter": 0.0, "grey": 0.0}},
    )  # fmt: skip
    assert made.scores[1].verdict == "better", str(made)
    return made


def test_a_recipe_that_wins_is_used_and_comes_back(tuned, tmp_path):
    assert tuned.recipe == "lp_ft"
    assert tuned.scores[1].gain.low > 0
    assert all(value.requires_grad for value in tuned.backbone.module.parameters())  # as the base's
    fresh = hard(80)[60:]
    right = (tuned.predict(fresh) == np.arange(20) % 2).mean()
    assert right >= 0.9
    sizes = tuned.save(tmp_path / "t")
    assert set(sizes) == {path.name for path in (tmp_path / "t").iterdir()}
    again = load_finetuned(tmp_path / "t", blind())
    assert np.array_equal(extract(again.backbone, fresh), extract(tuned.backbone, fresh))
    assert again.predict(fresh).tolist() == tuned.predict(fresh).tolist()
    assert again.report["recipe"] == "lp_ft"
    heads = og.load_heads(tmp_path / "t")
    assert list(heads) == ["t"]
    assert heads.classes.tolist() == [0, 1]


def test_an_adapter_of_an_earlier_result_does_not_stay(tuned, tmp_path):
    for name in ("adapter", "other"):
        (tmp_path / "t" / name).mkdir(parents=True)
    (tmp_path / "t" / "adapter" / "adapter_config.json").write_text("{}")
    (tmp_path / "t" / "other" / "adapter_config.json").write_text("{}")
    tuned.save(tmp_path / "t")
    assert not (tmp_path / "t" / "adapter").exists()
    assert (tmp_path / "t" / "other").exists()


def test_what_load_refuses(tuned, tmp_path):
    tuned.save(tmp_path / "t")
    with pytest.raises(InvalidInput, match=r"model is needed.*load_finetuned\(folder, network\)"):
        load_finetuned(tmp_path / "t")
    with pytest.raises(InvalidInput, match="model is another network"):
        load_finetuned(tmp_path / "t", net())
    with pytest.raises(StoreError, match="holds no fine-tuned backbone"):
        load_finetuned(tmp_path)
    weights = tmp_path / "t" / "weights.pt"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match="is not the file that"):
        load_finetuned(tmp_path / "t", blind())


def test_wise_ft_is_the_line_between_its_ends():
    """The network in use has the interpolated tensors, batch norms' statistics too."""
    from oneglance.finetuning.recipes import parse_recipe
    from oneglance.finetuning.settings import choose_tuning
    from oneglance.finetuning.workshop import Workshop
    from oneglance.masks.job import automatic_crops
    from oneglance.masks.pool import opened

    base = Backbone(net())
    with opened(base, pictures(), device="cpu") as pool:
        plan = choose_tuning(20, given={"steps": 5, "bn": "train", "lr": 1e-2})
        codes = np.arange(20) % 2
        shop = Workshop(pool, np.arange(20), codes, 2, plan, automatic_crops(pool, {}, supervised=True))
        ends = [shop.final(parse_recipe("wise_ft"), Variant(alpha, 5, 1e-2)) for alpha in (0.0, 0.25, 1.0)]
    networks = [state(backbone.module) for backbone, _, _ in ends]
    assert same(networks[0], state(base.module))
    moved = 0
    for name in networks[0]:
        start, middle, end = (one[name].double().numpy() for one in networks)
        if name.endswith("num_batches_tracked"):
            assert middle == end
            continue
        assert np.abs(middle - interpolate(start, end, 0.25)).max() <= 1e-6
        moved += not np.array_equal(start, end)
    assert moved == len(networks[0]) - 1  # every tensor was trained, and running statistics followed
    heads = [head for _, head, _ in ends]
    assert np.abs(heads[1].coef - interpolate(heads[0].coef, heads[2].coef, 0.25)).max() <= 1e-5


def test_frozen_norms_keep_their_statistics_and_a_pull_keeps_weights_near():
    def distance(**settings):
        made = finetune(
            net(), pictures(), LABELS, recipe="lp_ft", roll_back=False, **{**FAST, "lr": 1e-2, "stops": 1.0, **settings}
        )
        there, before = made.backbone.module.state_dict(), net().state_dict()
        assert torch.equal(there["bn1.running_mean"], before["bn1.running_mean"]) == (settings.get("bn") != "train")
        return float(sum((there[n] - before[n]).square().sum() for n in before if n.endswith("weight")))

    free = distance(l2_sp=0.0)
    assert distance(l2_sp=100.0) < 0.5 * free
    assert distance(l2_sp=0.0, layer_decay=0.1) < free
    assert distance(l2_sp=0.0, distortion=100.0) < free
    distance(bn="train")


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path, monkeypatch):
    from oneglance.finetuning.workshop import Workshop

    asked = {"recipe": ["wise_ft", "self_mask"], "checkpoint": tmp_path / "cells", **FAST}
    whole = finetune(net(), pictures(), LABELS, **{**asked, "checkpoint": None})
    outputs, calls, killed = Workshop.outputs, [], []

    def counted(self, recipe, *args):
        calls.append(recipe.name)
        if len(calls) == 6 and not killed:
            killed.append(True)
            os.kill(os.getpid(), signal.SIGINT)
        return outputs(self, recipe, *args)

    monkeypatch.setattr(Workshop, "outputs", counted)
    with pytest.raises(KeyboardInterrupt):
        finetune(net(), pictures(), LABELS, **asked)
    names = sorted(path.name.partition("-")[0] for path in (tmp_path / "cells").iterdir())
    assert names == ["base", "base"]
    calls.clear()
    made = finetune(net(), pictures(), LABELS, **asked)
    assert calls.count("wise_ft") == 1  # two of three were there
    assert made.scores == whole.scores
    assert same(state(made.backbone.module), state(whole.backbone.module))
    calls.clear()
    again = finetune(net(), pictures(), LABELS, **asked)
    assert [name for name in calls if name != "probe"] == ["self_mask"] * 3  # its mask is kept, its probes are quick
    assert again.scores == whole.scores
    changed = finetune(net(), pictures(), LABELS, **{**asked, "lr": 1e-4, "recipe": "wise_ft"})
    assert changed.record["trainings"] == 6  # other settings, nothing of them is taken


def test_outputs_of_a_network_that_sees_otherwise_are_not_taken(tmp_path):
    """Other statistics of batch norms, another mean, another pooling: the same parameters, pictures and settings."""
    bytes_ = np.random.default_rng(0).integers(0, 255, (30, 12, 12, 3)).astype(np.uint8)
    shifted = net()
    with torch.no_grad():
        shifted.bn1.running_mean += 0.5
    plain = Preprocess(12, mean=(0.5,) * 3, std=(0.5,) * 3)
    for base in (
        Backbone(net(), plain),
        Backbone(shifted, plain),
        Backbone(net(), Preprocess(12, mean=(0.1,) * 3, std=(0.5,) * 3)),
        Backbone(net(), plain, pool="mean"),
    ):
        made = finetune(base, bytes_, LABELS, recipe="bitfit", checkpoint=tmp_path / "cells", **FAST)
        assert made.record["trainings"] == 6, base


def test_few_labels_are_judged_as_far_as_they_go():
    given = {0: "a", 2: "a", 1: "b"}
    made = finetune(net(), pictures(), given, recipe="wise_ft", **FAST)
    assert (made.recipe, made.scores) == ("probe", ())
    assert made.reason[1] == "Nothing could be judged, so the plain probe is used."
    assert made.notes[0].startswith("1 of 2 classes have one label (b): it is never held out")
    assert made.notes[-1].startswith("Too few labels to judge by")
    kept = finetune(net(), pictures(), given, recipe="wise_ft", roll_back=False, **FAST)
    assert (kept.recipe, kept.variant) == ("wise_ft", "lr 0.001, 4 steps, alpha 0.5")
    lone = {**LABELS, 21: "c"}  # a class of one label beside others
    made = finetune(net(), pictures(), lone, recipe="lp_ft", **FAST)
    assert made.heads.classes.tolist() == ["a", "b", "c"]
    assert made.scores[1].accuracy is not None


def test_groups_from_python():
    scenes = [row // 3 for row in range(27)] + [None, float("nan"), ""]
    made = finetune(net(), pictures(), LABELS, recipe="probe", groups=scenes, **FAST)
    assert made.notes[0] == "20 labels are of 7 groups, which are held out as wholes."
    same = finetune(net(), pictures(), LABELS, recipe="probe", groups=range(30), **FAST)
    assert same.scores == finetune(net(), pictures(), LABELS, recipe="probe", **FAST).scores


def test_a_recipe_that_diverges_is_named_and_the_probe_stays():
    made = finetune(net(), pictures(), LABELS, recipe=["lp_ft", "adabn"], **{**FAST, "lr": 1e30, "roll_back": True})
    lp_ft = made.scores[1]
    assert lp_ft.verdict == "failed"
    assert "recipe 'lp_ft' with lr 1e+30 has diverged" in lp_ft.failed
    assert "Lower lr" in lp_ft.failed
    assert made.scores[2].accuracy is not None
    assert "lp_ft: recipe 'lp_ft'" in str(made)


def test_a_device_without_memory_ends_a_recipe_with_the_cure(monkeypatch):
    from oneglance.finetuning.tunable import Tunable

    seen = []
    features = Tunable.features

    def small(self, batch):
        seen.append(len(batch))
        if torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return features(self, batch)

    monkeypatch.setattr(Tunable, "features", small)
    made = finetune(net(), pictures(), LABELS, recipe=["lp_ft", "adabn"], **FAST, batch_size=2)
    assert made.scores[1].failed == (
        "recipe 'lp_ft' with lr 0.001: the device has no memory for batches of 2 pictures. Lower batch_size / "
        "--batch-size, or take another device."
    )
    assert made.scores[2].accuracy is not None
    monkeypatch.undo()
    monkeypatch.setattr(Tunable, "features", lambda self, batch: seen.append(len(batch)) or features(self, batch))
    seen.clear()
    finetune(net(), pictures(), LABELS, recipe="bitfit", **FAST, batch_size=1)
    assert max(seen) == 4, "batches at rest get smaller, too"


def test_a_winner_that_diverges_on_all_labels_leaves_the_probe(monkeypatch):
    """Hours of cross-validation are not lost to the last training."""
    from oneglance.finetuning import train, workshop

    tune = workshop.tune

    def diverging(net, lesson, *given, **more):
        if len(lesson.numbers) == 60:
            raise train.Diverged("recipe 'lp_ft' has diverged: the loss is nan. Lower lr.")
        return tune(net, lesson, *given, **more)

    monkeypatch.setattr(workshop, "tune", diverging)
    asked = {**FAST, "steps": 80, "lr": 1e-2, "l2_sp": 0.0, "crops": {"jitter": 0.0, "grey": 0.0}, "recipe": "lp_ft"}
    given = (hard(), [i % 2 for i in range(60)])
    made = finetune(blind(), *given, **{**asked, "folds": 5})
    assert made.recipe == "probe"
    assert made.scores[1].verdict == "better"
    assert made.reason[1].endswith(
        "so the plain probe is used: recipe 'lp_ft' has diverged: the loss is nan. Lower lr."
    )
    assert same(state(made.backbone.module), state(blind()))
    with pytest.raises(InvalidInput, match="has diverged"):
        finetune(blind(), *given, **asked, roll_back=False)


def test_nan_in_the_weights_is_an_error_with_its_place():
    module = net()
    with torch.no_grad():
        module.conv2.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(InvalidInput, match="have NaN or infinity"):
        finetune(module, pictures(), LABELS, recipe="lp_ft", **FAST)


def test_what_is_wrong_with_the_arguments_is_said_before_any_work():
    module, pool = net(), pictures()
    for labels, words in [
        ({"x": "a", 1: "b"}, "labels: no picture 'x' in"),
        ({99: "a", 1: "b"}, "labels: no picture 99 in"),
        (["a"] * 30, "labels hold one class only"),
        ([None] * 30, "none of the 30 pictures has a label"),
        (["a", "b"], r"one entry per picture \(30\)"),
        ("label", "has no labels"),
        ([0.5] * 30, "labels must be classes"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            finetune(module, pool, labels, **FAST)
    for wrong, words in [
        ({"recipe": "wise"}, "recipe 'wise' is unknown"),
        ({"counts": (1,)}, "counts must be numbers of labels"),
        ({"folds": 0}, "folds must be"),
        ({"groups": [1, 2]}, r"groups must have one entry per picture \(30\), None for one of its own, got 2"),
        ({"lr": 0.0}, "lr must be"),
        ({"epochs": 3}, "unknown setting 'epochs'"),
        ({"crops": {"flop": 1}}, "crops: no field 'flop'"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            finetune(module, pool, LABELS, **{**FAST, **wrong})
    with pytest.raises(InvalidInput, match="ready vectors"):
        finetune(module, np.zeros((30, 4), dtype=np.float32), LABELS, **FAST)
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        script = torch.jit.script(copy.deepcopy(module))
    with pytest.raises(InvalidInput, match="TorchScript"):
        finetune(script, pool, LABELS, recipe="lp_ft", **FAST)


def test_the_plan_says_what_a_run_does():
    plan = plan_finetune(net(), pictures(), LABELS, recipe=["wise_ft", "lp_ft", "self_mask"], folds=3, repeats=1)
    assert [recipe.name for recipe in plan.recipes] == ["probe", "wise_ft", "lp_ft", "self_mask"]
    assert plan.n_trainings == 3 + 1  # one training for both, and one with all labels
    assert plan.self_masking
    assert json.dumps(plan.as_dict(), allow_nan=False)
    assert dict(plan.lines())["trainings"] == "4, each 40 steps of 20: 3,200 pictures"


def test_without_peft_lora_says_what_is_missing(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingDependency, match=r'needs peft: pip install "oneglance\[lora\]"'):
        finetune(net(), pictures(), LABELS, recipe="lora", **FAST)


@pytest.fixture
def peft(torchvision):
    return pytest.importorskip("peft", reason="LoRA's adapters come from peft")


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers in an old way
def test_lora_merges_and_its_adapter_gives_the_same_outputs_after_loading(peft, tmp_path):
    given = pictures()
    made = finetune(
        net(), given, LABELS, recipe="lora", roll_back=False,
        **{**FAST, "lr": 1e-2, "bn": "train", "rank": 2},
    )  # fmt: skip
    assert made.recipe == "lora"
    assert made.scores[1].failed == ""
    base, there = net().state_dict(), made.backbone.module.state_dict()
    assert base.keys() == there.keys()  # a plain module
    assert not torch.equal(base["bn1.running_mean"], there["bn1.running_mean"])
    parts = dict(made.adapter.named_parameters())
    for name in ("conv1", "conv2"):
        a, b = (parts[f"base_model.model.{name}.lora_{side}.default.weight"].detach().double().numpy() for side in "AB")
        assert np.abs(b).max() > 0
        merged = merge_lora(base[f"{name}.weight"].double().numpy(), a, b, 16 / 2)
        assert np.abs(there[f"{name}.weight"].double().numpy() - merged).max() <= 1e-5
    made.save(tmp_path / "t")
    again = peft.PeftModel.from_pretrained(net(), str(tmp_path / "t" / "adapter")).eval()
    batch = torch.from_numpy(given)
    with torch.no_grad():
        wanted = made.backbone.module(batch)
        assert torch.allclose(again(batch), wanted, atol=1e-5)  # batch norms' buffers included
        assert torch.allclose(made.adapter(batch), wanted, atol=1e-5)
        assert not torch.allclose(net()(batch), wanted, atol=1e-2)
    loaded = load_finetuned(tmp_path / "t", net())
    assert np.array_equal(extract(loaded.backbone, given), extract(made.backbone, given))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_lora_on_networks_of_other_libraries(peft, torchvision):
    from oneglance.finetuning.lora import merged, target_modules, with_adapters
    from oneglance.finetuning.settings import choose_tuning

    timm = pytest.importorskip("timm", reason="timm's networks")
    torch.manual_seed(0)
    plan = choose_tuning(8, given={"rank": 2})
    vit = torchvision.models.VisionTransformer(
        image_size=32, patch_size=16, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=3
    )
    vit.heads = nn.Identity()
    for module in (
        timm.create_model("test_resnet", num_classes=0),
        timm.create_model("test_vit", num_classes=0, img_size=32),
        torchvision.models.mobilenet_v2(width_mult=0.1),  # convolutions in groups
        vit,  # attention that reads its output map's weight without calling it
    ):
        module.eval()
        names = target_modules(module)
        assert names
        assert not [name for name in names if name.endswith("out_proj")]
        adapted = with_adapters(Backbone(module), plan).eval()
        batch = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            before = module(batch)
            tol = 1e-4 * float(before.abs().max())
            assert torch.allclose(adapted(batch), before, rtol=0, atol=tol)  # B is zero at the start
            for name, value in adapted.named_parameters():
                if "lora_B" in name:
                    value.normal_(std=0.1)
            wanted = adapted(batch)
            assert not torch.allclose(wanted, before, rtol=0, atol=tol)
            tol = 1e-4 * float(wanted.abs().max())
            assert torch.allclose(merged(adapted)(batch), wanted, rtol=0, atol=tol)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_lora_refuses_what_peft_would_mix_up(peft):
    from oneglance.finetuning.lora import batch_norms, target_modules

    layers = [nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), *(nn.ReLU() for _ in range(10))]
    with pytest.raises(InvalidInput, match="named as '11' ends"):
        batch_norms(nn.Sequential(*layers))
    with pytest.raises(InvalidInput, match="leaves nothing to mask|neither linear maps"):
        target_modules(nn.Sequential(nn.Flatten()))


def test_copies_are_held_out_together_and_torn_labels_are_named():
    twice = np.concatenate([pictures(10), pictures(10)])
    labels = dict(enumerate(list(TRUTH[:10]) * 2))
    found = finetune(net(), twice, labels, recipe="probe", **FAST)
    assert found.notes[0] == "10 labelled pictures show the same as another one; copies are held out together."
    by_hand = finetune(net(), twice, labels, recipe="probe", groups=[*range(10)] * 2, **FAST)
    assert found.scores == by_hand.scores
    assert found.notes == by_hand.notes
    assert found.notes[1] == "20 labels are of 10 groups, which are held out as wholes."
    torn = finetune(net(), twice, {**labels, 10: "b"}, recipe="probe", **FAST)
    assert torn.notes[1] == "1 label is of another class than its copy: 00 (a) and 10 (b). Mend them."
