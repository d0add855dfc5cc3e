"""SimCLR, NNCLR and the tuning behind MAE as objectives: what learns, what is remembered, what follows what."""

import math

import pytest

torch = pytest.importorskip("torch", reason="pretraining needs torch")

from oneglance.errors import InvalidInput  # noqa: E402
from oneglance.features.encoders import SmallResNet, SmallViT  # noqa: E402
from oneglance.pretraining import contrastive, mae_ct, nnclr, swav  # noqa: E402
from oneglance.pretraining.contrastive_losses import nt_xent  # noqa: E402
from oneglance.pretraining.objective import Batch, Facts  # noqa: E402
from oneglance.pretraining.schedule import make_optimiser, set_lr  # noqa: E402

FACTS = Facts(n_pictures=64, batch_size=8, per_epoch=8, n_steps=40, size=(8, 8), n_channels=1)


def vit(depth=4):
    torch.manual_seed(0)
    return SmallViT(16, depth, 2, 4, 1)


def batch(step=0, n=8, n_channels=1):
    random = torch.Generator().manual_seed(step)
    return Batch(torch.rand(2 * n, n_channels, 8, 8, generator=random), None, n, random)


def objective(build, encoder=None, facts=FACTS, **given):
    torch.manual_seed(1)
    return build(encoder or vit(), facts, given).train()


def stepped(made, n_steps, lr=1e-2, first=0):
    optimiser = torch.optim.AdamW([p for p in made.parameters() if p.requires_grad], lr=lr)
    losses = []
    for step in range(first, first + n_steps):
        loss, seen = made(batch(step), step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        made.after(step)
        losses.append(loss.item())
        assert all(bool(torch.isfinite(value).all()) and not value.requires_grad for value in seen.values())
        assert 0 <= float(seen["feature_std"]) <= 1.0001
    return losses


BUILDS = {
    "simclr": contrastive.build,
    "nnclr": nnclr.build,
    "head": mae_ct.build_head,
    "tune": mae_ct.build_tune,
}


@pytest.mark.parametrize("name", BUILDS)
def test_two_views_ask_for_two_views_and_settings_are_plain(name):
    made = objective(BUILDS[name])
    crops = made.crops((8, 8))
    assert (crops.n_big, crops.n_small, crops.big) == (2, 0, (8, 8))
    assert all(isinstance(value, (int, float)) for value in made.settings().values())


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("n", [2, 7])
def test_small_batches_and_pictures_all_alike_are_finite(name, n):
    made = objective(BUILDS[name])
    for step, big in enumerate((batch(0, n).big, torch.full((2 * n, 1, 8, 8), 0.5))):
        loss, _ = made(Batch(big, None, n, torch.Generator()), step)
        loss.backward()
        made.after(step)
        assert bool(torch.isfinite(loss))
        assert all(bool(torch.isfinite(p.grad).all()) for p in made.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", BUILDS)
def test_batches_of_one_are_refused(name):
    with pytest.raises(InvalidInput, match=r"batch_size >= 2, got 1\. Use 64 or more"):
        objective(BUILDS[name], facts=Facts(64, 1, 64, 64, (8, 8), 1))


@pytest.mark.parametrize(("name", "method"), [("simclr", "simclr"), ("nnclr", "nnclr"), ("tune", "mae-ct")])
def test_unknown_options_are_named(name, method):
    with pytest.raises(InvalidInput, match=f"method '{method}' has no option 'temprature'.*Did you mean 'temperature'"):
        objective(BUILDS[name], temprature=1)


def test_simclr_is_nt_xent_of_the_projections():
    made = objective(contrastive.build, SmallResNet((8, 16), 1, 1, 1), temperature=0.4)
    given = batch()
    rows = made.projector(made.encoder(given.big))
    assert torch.equal(made(given, 0)[0], nt_xent(rows[:8], rows[8:], 0.4))
    assert abs(float(made(given, 0)[1]["loss_over_ln_k"]) * math.log(15) - made(given, 0)[0].item()) <= 1e-5


class Pixels(torch.nn.Flatten):
    """An encoder without arithmetic, so that only the loss can round."""

    width = 64


@pytest.mark.parametrize("build", [swav.build, contrastive.build, nnclr.build])
def test_autocast_is_for_the_network_and_not_for_the_loss(build, monkeypatch):
    monkeypatch.setattr(contrastive.Perceptron, "forward", lambda head, rows: rows)
    monkeypatch.setattr(nnclr, "head_sizes", lambda width, chosen: (width, width))
    found = []
    for enabled in (False, True):
        made = objective(build, Pixels())
        for step in range(2):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                loss, _ = made(batch(step), step)
            made.after(step)
        found.append(loss.detach())
    assert found[1].dtype == torch.float32
    assert torch.equal(*found)


@pytest.mark.parametrize("name", ["simclr", "nnclr"])
def test_views_that_agree_are_learnt(name):
    """Both views of a picture the same: the loss must fall far below chance."""
    made = objective(BUILDS[name])
    optimiser = torch.optim.AdamW(made.parameters(), lr=1e-2)
    one = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    for step in range(20):
        loss, seen = made(Batch(one.repeat(2, 1, 1, 1), None, 8, torch.Generator()), step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        made.after(step)
    assert float(seen["loss_over_ln_k"]) < 0.5


def moved(build, encoder=None):
    made = objective(build, encoder)
    before = {name: value.detach().clone() for name, value in made.named_parameters()}
    stepped(made, 2)
    return {name for name, value in made.named_parameters() if not torch.equal(value, before[name])}, made


def test_the_head_stage_moves_no_weight_of_the_encoder():
    names, made = moved(mae_ct.build_head)
    assert names
    assert not any(name.startswith("encoder.") for name in names)
    assert not made.encoder.training


def test_the_tuning_moves_the_upper_half_and_the_following_head():
    names, made = moved(mae_ct.build_tune, vit(5))
    blocks = {name.split(".")[2] for name in names if name.startswith("encoder.blocks.")}
    others = {name.split(".")[1] for name in names if name.startswith("encoder.")} - {"blocks"}
    assert (blocks, others) == ({"2", "3", "4"}, {"norm"})
    assert any(name.startswith("target.") for name in names)
    assert not any(value.requires_grad for value in made.target.parameters())
    rates = made.rates()
    assert {round(rates[f"encoder.blocks.{i}.attn.qkv.weight"], 6) for i in (2, 3, 4)} == {0.65, 0.4225, 0.274625}
    assert not any("norm.weight" in name and "blocks" not in name for name in rates)


def test_the_tuning_takes_over_head_and_queue():
    encoder = vit()
    head = objective(mae_ct.build_head, encoder)
    stepped(head, 3)
    tune = objective(mae_ct.build_tune, encoder)
    tune.go_on_from(head)
    assert torch.equal(tune.queue.rows, head.queue.rows)
    assert int(tune.queue.filled) == int(head.queue.filled) == 16
    for name in ("projector", "predictor"):
        assert all(
            torch.equal(a, b) for a, b in zip(*(getattr(o, name).parameters() for o in (tune, head)), strict=True)
        )
    assert all(torch.equal(a, b) for a, b in zip(tune.target.parameters(), head.projector.parameters(), strict=True))
    with torch.no_grad():
        given = batch(9)
        assert abs(tune(given, 0)[0].item() - head(given, 0)[0].item()) <= 1e-6  # top_k is 1 with so short a queue


@pytest.mark.parametrize("name", BUILDS)
def test_state_dict_is_all_that_is_remembered(name):
    first = objective(BUILDS[name], **({"top_k": 3} if name == "tune" else {}))
    stepped(first, 2)
    second = objective(BUILDS[name], vit(), **({"top_k": 3} if name == "tune" else {}))
    second.load_state_dict(first.state_dict())
    assert stepped(first, 2, first=2) == stepped(second, 2, first=2)


def test_the_queue_is_filled_after_the_step_by_first_views():
    made = objective(nnclr.build, queue=12)
    given = batch()
    made(given, 0)
    assert int(made.queue.filled) == 0
    made.after(0)
    assert int(made.queue.filled) == 8
    made.after(0)  # nothing new came
    assert int(made.queue.filled) == 8


def test_mae_ct_needs_patches_and_shares_its_options_out():
    with pytest.raises(InvalidInput, match="mae-ct.*transformer"):
        objective(mae_ct.build_head, SmallResNet((8, 16), 1, 1, 1))
    given = {"mask_ratio": 0.5, "temperature": 0.3}
    stages = [objective(stage.build, **given) for stage in mae_ct.METHOD.stages]
    assert stages[0].settings()["mask_ratio"] == 0.5
    assert [stage.settings()["temperature"] for stage in stages[1:]] == [0.3, 0.3]
    assert abs(sum(stage.share for stage in mae_ct.METHOD.stages) - 1) <= 1e-12


@pytest.mark.parametrize("encoder", [vit, lambda: SmallResNet((8, 16), 1, 1, 1)], ids=["adamw", "sgd"])
def test_prototypes_that_join_later_are_trained(encoder):
    made = objective(swav.build, encoder(), freeze_steps=2)
    optimiser = make_optimiser(made, made.recipe)
    set_lr(optimiser, 0.01)
    moved = []
    for step in range(4):
        before = made.head.prototypes.detach().clone()
        optimiser.zero_grad()
        made(batch(step), step)[0].backward()
        made.between(step)
        optimiser.step()
        made.after(step)
        moved.append(float((made.head.prototypes.detach() - before).abs().max()) > 1e-6)
    assert moved == [False, False, True, True]
