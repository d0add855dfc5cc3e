"""A step of MAE and of SwAV (loss, gradients, optimiser) against plain torch as their papers write them down.

The baselines compute the same from the same weights, which is asserted first: MAE with a decoder over all patches put
back into their order and a loss over all of them that is masked; SwAV with Sinkhorn's iterations on exponentials.
"""

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from torch.nn import functional  # noqa: E402

from cases import SHRINK  # noqa: E402
from oneglance.features.encoders import build_encoder, choose_shape, sincos_positions  # noqa: E402
from oneglance.masks.crops import make_views  # noqa: E402
from oneglance.pretraining.methods import METHODS  # noqa: E402
from oneglance.pretraining.objective import Batch, Facts  # noqa: E402
from oneglance.pretraining.schedule import make_optimiser, set_lr  # noqa: E402

SIDE, BATCH = 32, max(8, 64 // SHRINK)
HEADS = {"encoder": 4, "decoder": 4}


def made(method, encoder):
    """An objective, a batch of its views, and a function that gives the batch with the random state of its start."""
    shape = choose_shape(encoder, (SIDE, SIDE))
    facts = Facts(n_pictures=16 * BATCH, batch_size=BATCH, per_epoch=16, n_steps=160, size=(SIDE, SIDE))
    torch.manual_seed(0)
    objective = METHODS[method].stages[0].build(build_encoder(shape), facts, {})
    pictures = torch.rand(BATCH, 3, SIDE, SIDE)
    big, small = make_views(pictures, objective.crops((SIDE, SIDE)), torch.Generator().manual_seed(1))
    return objective, lambda: Batch(big, small, BATCH, torch.Generator().manual_seed(2))


def stepper(objective, batch):
    optimiser = make_optimiser(objective, objective.recipe)
    set_lr(optimiser, 1e-5)

    def step():
        loss, _ = objective(batch(), 0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def plain_stepper(objective, loss_of, optimiser):
    weights = {name: value.detach().clone().requires_grad_() for name, value in objective.named_parameters()}
    state = optimiser(weights.values())

    def step():
        loss = loss_of(weights)
        state.zero_grad()
        loss.backward()
        state.step()
        return loss.item()

    return step


def block(w, name, x, n_heads):
    n, t, d = x.shape
    y = functional.layer_norm(x, (d,), w[f"{name}.norm1.weight"], w[f"{name}.norm1.bias"], 1e-6)
    y = functional.linear(y, w[f"{name}.attn.qkv.weight"], w[f"{name}.attn.qkv.bias"])
    q, k, v = y.reshape(n, t, 3, n_heads, d // n_heads).permute(2, 0, 3, 1, 4)
    y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d)
    x = x + functional.linear(y, w[f"{name}.attn.proj.weight"], w[f"{name}.attn.proj.bias"])
    y = functional.layer_norm(x, (d,), w[f"{name}.norm2.weight"], w[f"{name}.norm2.bias"], 1e-6)
    y = functional.gelu(functional.linear(y, w[f"{name}.mlp.0.weight"], w[f"{name}.mlp.0.bias"]))
    return x + functional.linear(y, w[f"{name}.mlp.2.weight"], w[f"{name}.mlp.2.bias"])


def plain_mae(objective, batch):
    encoder, decoder = objective.encoder, objective.decoder
    patch, side = encoder.patch, SIDE // encoder.patch
    n_patches, n_kept = side * side, objective.n_kept
    at_encoder = encoder.positions(side, side, torch.zeros(1))
    at_decoder = sincos_positions(side, side, decoder.width)

    def loss_of(w):
        now = batch()
        n = len(now.big)
        x = functional.conv2d(now.big, w["encoder.patch_embed.weight"], w["encoder.patch_embed.bias"], stride=patch)
        x = x.flatten(2).transpose(1, 2) + at_encoder
        shuffle = torch.argsort(torch.rand(n, n_patches, generator=now.random), dim=1)
        restore = torch.argsort(shuffle, dim=1)
        keep = shuffle[:, :n_kept]
        x = torch.gather(x, 1, keep.unsqueeze(-1).repeat(1, 1, x.shape[-1]))
        mask = torch.ones(n, n_patches)
        mask[:, :n_kept] = 0
        mask = torch.gather(mask, 1, restore)
        x = torch.cat((w["encoder.cls_token"].expand(n, -1, -1), x), dim=1)
        for i in range(len(encoder.blocks)):
            x = block(w, f"encoder.blocks.{i}", x, HEADS["encoder"])
        x = functional.layer_norm(x, (x.shape[-1],), w["encoder.norm.weight"], w["encoder.norm.bias"], 1e-6)
        x = functional.linear(x, w["decoder.embed.weight"], w["decoder.embed.bias"])
        gaps = w["decoder.mask_token"].repeat(n, n_patches - n_kept, 1)
        y = torch.cat([x[:, 1:], gaps], dim=1)
        y = torch.gather(y, 1, restore.unsqueeze(-1).repeat(1, 1, y.shape[-1])) + at_decoder
        x = torch.cat([x[:, :1], y], dim=1)
        for i in range(len(decoder.blocks)):
            x = block(w, f"decoder.blocks.{i}", x, HEADS["decoder"])
        x = functional.layer_norm(x, (x.shape[-1],), w["decoder.norm.weight"], w["decoder.norm.bias"], 1e-6)
        predicted = functional.linear(x, w["decoder.pixels.weight"], w["decoder.pixels.bias"])[:, 1:]
        target = now.big.reshape(n, 3, side, patch, side, patch).permute(0, 2, 4, 1, 3, 5).reshape(n, n_patches, -1)
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6) ** 0.5
        error = ((predicted - target) ** 2).mean(dim=-1)
        return (error * mask).sum() / mask.sum()

    return loss_of


def plain_resnet(encoder):
    """(weights, pictures) -> (B, width), with batch norms that keep running means, as the blocks are written down."""
    kept = {name: value.detach().clone() for name, value in encoder.named_buffers()}

    def norm(w, name, x):
        mean, var = kept[f"{name}.running_mean"], kept[f"{name}.running_var"]
        return functional.batch_norm(
            x, mean, var, w[f"encoder.{name}.weight"], w[f"encoder.{name}.bias"], training=True
        )

    def conv(w, name, x, stride, pad):
        return functional.conv2d(x, w[f"encoder.{name}.weight"], stride=stride, padding=pad)

    def features(w, x):
        x = (x - kept["mean"].view(-1, 1, 1)) / kept["std"].view(-1, 1, 1)
        x = functional.relu(norm(w, "bn1", conv(w, "conv1", x, 1, 1)))
        for stage, blocks in enumerate(encoder.stages):
            for i in range(len(blocks)):
                name, stride = f"stages.{stage}.{i}", 2 if stage and not i else 1
                y = functional.relu(norm(w, f"{name}.bn1", conv(w, f"{name}.conv1", x, stride, 1)))
                y = norm(w, f"{name}.bn2", conv(w, f"{name}.conv2", y, 1, 1))
                if f"encoder.{name}.downsample.0.weight" in w:
                    x = norm(w, f"{name}.downsample.1", conv(w, f"{name}.downsample.0", x, stride, 0))
                x = functional.relu(y + x)
        return x.mean(dim=(2, 3))

    return features


def plain_swav(objective, batch):
    plan = objective.plan
    features = plain_resnet(objective.encoder)
    queue = [torch.zeros(plan.queue, plan.n_projected) for _ in range(2)]

    @torch.no_grad()
    def sinkhorn(scores):
        q = torch.exp((scores - scores.max()) / plan.eps).T
        q /= q.sum()
        for _ in range(3):
            q /= q.sum(dim=1, keepdim=True) * q.shape[0]
            q /= q.sum(dim=0, keepdim=True) * q.shape[1]
        return (q * q.shape[1]).T

    def loss_of(w):
        now = batch()
        with torch.no_grad():
            w["head.prototypes"].copy_(functional.normalize(w["head.prototypes"], dim=1))
        z = torch.cat([features(w, views) for views in (now.big, now.small)])
        z = functional.normalize(functional.linear(z, w["head.weight"], w["head.bias"]), dim=1)
        scores = z @ w["head.prototypes"].T
        n, n_views, total = now.n, len(z) // now.n, 0.0
        for a in range(2):
            codes = sinkhorn(scores[a * n : (a + 1) * n].detach())
            each = [
                -(codes * functional.log_softmax(scores[v * n : (v + 1) * n] / plan.temperature, dim=1))
                .sum(dim=1)
                .mean()
                for v in range(n_views)
                if v != a
            ]
            total = total + sum(each) / len(each) / 2
            queue[a] = torch.cat([z[a * n : (a + 1) * n].detach(), queue[a]])[: plan.queue]
        return total

    return loss_of


def adamw(weights):
    return torch.optim.AdamW(list(weights), lr=1e-5, betas=(0.9, 0.95), weight_decay=0.05)


def sgd(weights):
    return torch.optim.SGD(list(weights), lr=1e-5, momentum=0.9, weight_decay=1e-6)


CASES = {
    "MAE, vit-tiny": ("mae", "vit-tiny", plain_mae, adamw, 1.0),
    "SwAV, resnet-tiny, 2 + 4 views": ("swav", "resnet-tiny", plain_swav, sgd, 1.0),
}


@pytest.mark.parametrize("case", CASES)
def test_step(versus, case):
    method, encoder, plain, optimiser, at_most = CASES[case]
    objective, batch = made(method, encoder)
    objective.train()
    loss_of = plain(objective, batch)
    with torch.no_grad():
        own = {name: value.detach().clone() for name, value in objective.named_parameters()}
        want, found = loss_of(own).item(), objective(batch(), 0)[0].item()
    assert abs(found - want) <= 1e-4 * abs(want), (found, want)
    slow = plain_stepper(objective, loss_of, optimiser)
    fast = stepper(objective, batch)
    versus(f"{case}, {BATCH} pictures of {SIDE} x {SIDE}, step", fast, slow, rounds=9, at_most=at_most)
