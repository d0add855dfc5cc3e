"""Patches and attention from hooks against a plain float64 recomputation, model family by model family."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oneglance.cluster import small_kmeans
from oneglance.errors import InvalidInput

torch = pytest.importorskip("torch")

from oneglance import features  # noqa: E402
from oneglance.features.backbones import Backbone, running  # noqa: E402
from oneglance.features.pattern_filter import keep_by_attention  # noqa: E402
from oneglance.features.pattern_reader import PatternReader  # noqa: E402
from oneglance.features.pattern_spec import PatternHooks, PatternSpec  # noqa: E402
from oneglance.features.pooling import prefix_tokens  # noqa: E402

CPU = torch.device("cpu")
SHAPE = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 4, "num_classes": 0}
CONFIG = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    torch.manual_seed(0)


def lively(module: Any, seed: int = 0) -> Any:
    """Random weights large enough that attention is far from even, and every bias and scale counts."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=random)
            parameter.copy_(parameter + 0.3 * noise if parameter.ndim == 1 else 0.3 * noise)
    return module.eval()


def pictures(n: int = 5, height: int = 32, width: int = 32) -> Any:
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(n))


def read(module: Any, batch: Any, call: Any = None, hooks: Any = None, compute: str = "float32", **spec: Any) -> Any:
    """(patches, attention scaled to sum 1, features, reader)."""
    backbone = Backbone(module, call=call, hooks=hooks)
    reader = PatternReader(backbone, PatternSpec(**spec))
    with running([backbone], CPU):
        reader.prepare(batch[:1], compute)
        rows, patches = reader.read(batch, compute)
        torch.testing.assert_close(rows, backbone.features(batch, compute), rtol=0, atol=0)
    attention = patches.attention
    if attention is not None:
        assert (attention >= 0).all()
        attention = attention.astype(np.float64) / attention.sum(axis=1, dtype=np.float64, keepdims=True)
    return patches.rows, attention, rows, reader


def agree(got: Any, rows: Any, attention: Any, n_prefix: int) -> None:
    """rows: tokens of the second-to-last block through the final norm; attention: the full map (N, heads, T, T)."""
    wanted = rows[:, n_prefix:].detach().numpy()
    share = attention.double().mean(dim=1)[:, 0, n_prefix:].detach().numpy()
    share = share / share.sum(axis=1, keepdims=True)
    assert share.max() > 2 / share.shape[1], "an even attention would prove nothing"
    np.testing.assert_allclose(got[0], wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got[1], share, rtol=1e-3, atol=2e-5)


def full_map(q: Any, k: Any, scale: float) -> Any:
    return (q @ k.transpose(-2, -1) * scale).softmax(dim=-1)


def heads(rows: Any, n_heads: int = 4) -> Any:
    return rows.reshape(*rows.shape[:2], n_heads, -1).transpose(1, 2)


# ---------------------------------------------------------------- timm


def by_hand_timm(module: Any, batch: Any) -> tuple[Any, Any]:
    """Blocks one by one in float64, attention as softmax(q K') with the whole map."""
    exact = copy.deepcopy(module).double()
    tokens = exact.norm_pre(exact._pos_embed(exact.patch_embed(batch.double())))
    for block in exact.blocks[:-1]:
        tokens = block(tokens)
    attention = exact.blocks[-1].attn
    q, k, _ = attention.qkv(exact.blocks[-1].norm1(tokens)).chunk(3, dim=-1)
    q, k = attention.q_norm(heads(q)), attention.k_norm(heads(k))
    return exact.norm(tokens), full_map(q, k, (32 / 4) ** -0.5)


@pytest.mark.parametrize(
    ("options", "size", "n_prefix"),
    [
        ({"qkv_bias": True}, (32, 32), 1),
        ({"qkv_bias": False}, (32, 32), 1),
        ({"img_size": (24, 40), "reg_tokens": 4, "no_embed_class": True}, (24, 40), 5),
        ({"qk_norm": True, "init_values": 0.1}, (32, 32), 1),
        ({"dynamic_img_size": True, "reg_tokens": 2}, (48, 24), 3),
    ],
)
def test_timm(torchvision: Any, options: dict[str, Any], size: tuple[int, int], n_prefix: int) -> None:
    timm = pytest.importorskip("timm")
    module = lively(timm.models.vision_transformer.VisionTransformer(**{**SHAPE, **options}))
    assert module.blocks[-1].attn.fused_attn
    batch = pictures(5, *size)
    got = read(module, batch)
    agree(got, *by_hand_timm(module, batch), n_prefix)
    assert "output of blocks.1 through norm" in got[3].info("auto").how


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"qkv_fused": False},
        {"use_rot_pos_emb": True, "num_reg_tokens": 2},
        {"use_rot_pos_emb": True, "attn_type": "rope", "rope_type": "dinov3", "rope_rotate_half": True},
        {"use_rot_pos_emb": True, "attn_type": "rope", "rope_type": "mixed"},
        {"use_rot_pos_emb": True, "use_post_norm": True},
    ],
)
def test_timm_eva_with_rotary_embedding(torchvision: Any, options: dict[str, Any]) -> None:
    timm = pytest.importorskip("timm")
    try:
        module = lively(timm.models.eva.Eva(**SHAPE, global_pool="token", **options))
    except TypeError as error:
        pytest.skip(f"this timm has no such option: {error}")
    batch = pictures()
    exact = copy.deepcopy(module).double()
    last, seen = exact.blocks[-1], {}
    last.attn.fused_attn = False  # then the whole map goes through attn_drop
    last.attn.attn_drop.register_forward_hook(lambda _, __, output: seen.update(map=output))
    exact.blocks[-2].register_forward_hook(lambda _, __, output: seen.update(tokens=output))
    exact(batch.double())
    n_prefix = 1 + options.get("num_reg_tokens", 0)
    agree(read(module, batch), exact.norm(seen["tokens"]), seen["map"], n_prefix)


# ---------------------------------------------------------------- transformers


@pytest.mark.parametrize(
    ("name", "options", "size", "n_prefix"),
    [
        ("ViT", {}, (32, 32), 1),
        ("ViT", {"image_size": (24, 40), "qkv_bias": False}, (24, 40), 1),
        ("DeiT", {}, (32, 32), 2),
        ("Dinov2", {}, (24, 40), 1),
        ("Dinov2WithRegisters", {"num_register_tokens": 4}, (24, 40), 5),
        ("DINOv3ViT", {"num_register_tokens": 4}, (24, 40), 5),
        ("CLIPVision", {}, (32, 32), 1),
    ],
)
def test_transformers(
    torchvision: Any, name: str, options: dict[str, Any], size: tuple[int, int], n_prefix: int
) -> None:
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, f"{name}Model"):
        pytest.skip(f"this transformers has no {name}Model")
    config = getattr(transformers, f"{name}Config")(**{**CONFIG, **options})
    module = lively(getattr(transformers, f"{name}Model")(config))
    assert module.config._attn_implementation == "sdpa"
    batch = pictures(5, *size)
    got = read(module, batch, call=lambda net, x: net(pixel_values=x))
    exact = copy.deepcopy(module).double()
    exact.set_attn_implementation("eager")
    output = exact(pixel_values=batch.double(), output_hidden_states=True, output_attentions=True)
    norm = next(getattr(exact, part) for part in ("layernorm", "norm", "post_layernorm") if hasattr(exact, part))
    agree(got, norm(output.hidden_states[-2]), output.attentions[-1], n_prefix)


def test_the_picture_half_of_clip(torchvision: Any) -> None:
    transformers = pytest.importorskip("transformers")
    text = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    ends = {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    module = transformers.CLIPModel(transformers.CLIPConfig(text_config={**text, **ends}, vision_config=CONFIG))
    lively(module)
    got = read(module, pictures(), call=lambda net, x: net.get_image_features(pixel_values=x).pooler_output)
    exact = copy.deepcopy(module.vision_model).double()
    exact.set_attn_implementation("eager")
    output = exact(pixel_values=pictures().double(), output_hidden_states=True, output_attentions=True)
    agree(got, exact.post_layernorm(output.hidden_states[-2]), output.attentions[-1], 1)
    assert got[2].shape == (5, 512)


# ---------------------------------------------------------------- torchvision and modules of one's own


def test_torchvision_transformer(torchvision: Any) -> None:
    module = lively(torchvision.models.VisionTransformer(32, 8, 3, 4, 32, 48))
    batch = pictures()
    exact = copy.deepcopy(module).double()
    tokens = torch.cat([exact.class_token.expand(5, -1, -1), exact._process_input(batch.double())], dim=1)
    tokens = tokens + exact.encoder.pos_embedding
    for block in exact.encoder.layers[:-1]:
        tokens = block(tokens)
    last = exact.encoder.layers[-1]
    normed = last.ln_1(tokens)
    _, attention = last.self_attention(normed, normed, normed, need_weights=True, average_attn_weights=False)
    agree(read(module, batch), exact.encoder.ln(tokens), attention, 1)


class Hub(torch.nn.Module):
    """Like DINO and DINOv2 from torch.hub: registers counted on the module, qkv in one layer."""

    class Attention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.num_heads = 4
            self.qkv, self.proj = torch.nn.Linear(32, 96), torch.nn.Linear(32, 32)
            self.register_buffer("bias", torch.zeros(4, 1, 1), persistent=False)

        def forward(self, x: Any) -> Any:
            q, k, v = (heads(part) for part in self.qkv(x).chunk(3, dim=-1))
            self.map = full_map(q, k, 8**-0.5)
            if self.bias.any():  # a relative position bias, say
                self.map = self.map * torch.linspace(0, 1, x.shape[1])
            return self.proj((self.map @ v).transpose(1, 2).flatten(2))

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.attn = torch.nn.LayerNorm(32), Hub.Attention()

        def forward(self, x: Any) -> Any:
            x += self.attn(self.norm1(x))  # in place: what a hook keeps by reference would change
            return x

    def __init__(self, n_blocks: int = 3) -> None:
        super().__init__()
        self.num_register_tokens = 2
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, 32))
        self.register_tokens = torch.nn.Parameter(torch.zeros(1, 2, 32))
        self.patch_embed = torch.nn.Conv2d(3, 32, 8, 8)
        self.blocks = torch.nn.ModuleList(Hub.Block() for _ in range(n_blocks))
        self.norm = torch.nn.LayerNorm(32)
        self.n_calls = 0

    def forward(self, x: Any) -> Any:
        self.n_calls += 1
        n = len(x)
        first = torch.cat([self.cls_token, self.register_tokens], dim=1).expand(n, -1, -1)
        x = torch.cat([first, self.patch_embed(x).flatten(2).transpose(1, 2)], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]


def by_hand_hub(module: Any, batch: Any) -> tuple[Any, Any]:
    exact = copy.deepcopy(module).double()
    kept = []
    exact.blocks[-2].register_forward_hook(lambda _, __, output: kept.append(output.clone()))
    exact(batch.double())
    return exact.norm(kept[0]), exact.blocks[-1].attn.map


def test_dino_from_torch_hub() -> None:
    module = lively(Hub())
    agree(read(module, pictures()), *by_hand_hub(module, pictures()), 3)


def test_a_network_inside_another() -> None:
    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = torch.nn.ModuleDict({"vit": lively(Hub())})

        def forward(self, x: Any) -> Any:
            return torch.nn.functional.normalize(self.backbone["vit"](x), dim=1)

    module = Wrapped().eval()
    hooks = PatternHooks("backbone.vit.blocks.1", "backbone.vit.norm", "backbone.vit.blocks.2.attn", 3)
    agree(read(module, pictures(), hooks=hooks), *by_hand_hub(module.backbone["vit"], pictures()), 3)


class Sideways(torch.nn.Module):
    """Like OpenAI's CLIP: tokens before pictures, a final norm called ln_post; blocks return a tuple."""

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn, self.ln_1 = torch.nn.MultiheadAttention(32, 4), torch.nn.LayerNorm(32)

        def forward(self, x: Any) -> Any:
            y = self.ln_1(x[0])
            return (x[0] + self.attn(y, y, y, need_weights=False)[0],)

    def __init__(self) -> None:
        super().__init__()
        self.class_embedding = torch.nn.Parameter(torch.zeros(32))
        self.conv1 = torch.nn.Conv2d(3, 32, 8, 8)
        self.resblocks = torch.nn.Sequential(*(Sideways.Block() for _ in range(3)))
        self.ln_post = torch.nn.LayerNorm(32)

    def forward(self, x: Any) -> Any:
        x = self.conv1(x).flatten(2).permute(2, 0, 1)
        x = torch.cat([self.class_embedding.expand(1, x.shape[1], -1), x])
        (x,) = self.resblocks((x,))
        return self.ln_post(x[0])


def test_tokens_before_pictures_and_blocks_that_return_tuples() -> None:
    module = lively(Sideways())
    exact = copy.deepcopy(module).double()
    kept = []
    exact.resblocks[1].register_forward_hook(lambda _, __, output: kept.append(output[0]))
    exact(pictures().double())
    y = exact.resblocks[2].ln_1(kept[0])
    _, attention = exact.resblocks[2].attn(y, y, y, need_weights=True, average_attn_weights=False)
    agree(read(module, pictures()), exact.ln_post(kept[0]).transpose(0, 1), attention, 1)


class Queries(torch.nn.Module):
    """Like transformers 4: query, key and value inside attention.attention; blocks return tuples."""

    class SelfAttention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.num_attention_heads, self.attention_head_size = 4, 8
            self.query, self.key, self.value = (torch.nn.Linear(32, 32) for _ in range(3))

        def forward(self, hidden_states: Any) -> Any:
            q, k, v = (heads(part(hidden_states)) for part in (self.query, self.key, self.value))
            mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v)
            return (mixed.transpose(1, 2).flatten(2),)

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = torch.nn.ModuleDict({"attention": Queries.SelfAttention()})
            self.layernorm_before, self.output = torch.nn.LayerNorm(32), torch.nn.Linear(32, 32)

        def forward(self, x: Any) -> Any:
            return (x + self.output(self.attention["attention"](hidden_states=self.layernorm_before(x))[0]),)

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, 32))
        self.projection = torch.nn.Conv2d(3, 32, 8, 8)
        self.encoder = torch.nn.ModuleDict({"layer": torch.nn.ModuleList(Queries.Layer() for _ in range(3))})
        self.layernorm = torch.nn.LayerNorm(32)

    def forward(self, x: Any) -> Any:
        x = self.projection(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        for layer in self.encoder["layer"]:
            (x,) = layer(x)
        return {"last_hidden_state": self.layernorm(x)}


def test_names_of_transformers_4() -> None:
    module = lively(Queries())
    exact = copy.deepcopy(module).double()
    kept = []
    exact.encoder["layer"][1].register_forward_hook(lambda _, __, output: kept.append(output[0]))
    exact(pictures().double())
    last = exact.encoder["layer"][2]
    y, own = last.layernorm_before(kept[0]), last.attention["attention"]
    attention = full_map(heads(own.query(y)), heads(own.key(y)), 8**-0.5)
    agree(read(module, pictures()), exact.layernorm(kept[0]), attention, 1)


@pytest.mark.parametrize("compute", ["bfloat16"])
def test_autocast_does_not_touch_the_attention_itself(compute: str) -> None:
    module = lively(Hub())
    exact, wanted = by_hand_hub(module, pictures())
    rows, attention, _, _ = read(module, pictures(), compute=compute)
    share = wanted.mean(dim=1)[:, 0, 3:].detach().numpy()
    assert np.abs(attention - share / share.sum(axis=1, keepdims=True)).max() < 0.1
    assert np.abs(rows - exact[:, 3:].detach().numpy()).max() < 0.3


def test_half_precision_weights() -> None:
    module = lively(Hub())
    rows, attention, _, _ = read(copy.deepcopy(module).bfloat16(), pictures().bfloat16())
    single = read(module, pictures())
    assert rows.dtype == np.float32
    assert np.abs(rows - single[0]).max() < 0.3
    assert np.abs(attention - single[1]).max() < 0.1


# ---------------------------------------------------------------- end to end


def test_patterns_are_the_clusters_of_the_kept_patches() -> None:
    module, batch = lively(Hub()), pictures(7)
    rows, attention = by_hand_hub(module, batch)
    share = attention.mean(dim=1)[:, 0, 3:].detach().numpy()
    found = features.extract_patterns(module, batch, PatternSpec(n_patterns=3, tau=0.8, seed=4), batch_size=3)
    assert (len(found), found.rows.dtype) == (7, np.float32)
    for item in range(7):
        points = rows[item, 3:].detach().numpy()[keep_by_attention(share[item], 0.8)].astype(np.float32)
        wanted = small_kmeans(points, [0, len(points)], 3, seed=4, items=[item]).patterns
        got = found.rows.take(range(found.offsets[item], found.offsets[item + 1]))
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-3)


def test_attention_false_keeps_all_patches() -> None:
    module, batch = lively(Hub()), pictures(2)
    rows, attention, _, reader = read(module, batch, attention=False)
    assert attention is None
    np.testing.assert_allclose(rows, by_hand_hub(module, batch)[0][:, 3:].detach().numpy(), rtol=1e-4, atol=1e-4)
    found = features.extract_patterns(module, batch, {"n_patterns": 99, "attention": False})
    np.testing.assert_array_equal(found.rows.take(range(32)).reshape(2, 16, 32), rows)
    assert "no attention; L2 norm over 0.0" in reader.info("auto").how


def test_one_forward_pass_gives_both() -> None:
    module = lively(Hub())
    backbone = Backbone(module)
    reader = PatternReader(backbone, PatternSpec())
    reader.prepare(pictures(1), "float32")
    before = module.n_calls
    rows, _ = reader.read(pictures())
    assert module.n_calls == before + 1
    torch.testing.assert_close(rows, module(pictures()), rtol=0, atol=0)


def hooks_of(module: Any) -> int:
    return sum(
        len(hooks)
        for part in module.modules()
        for hooks in (part._forward_hooks, part._forward_pre_hooks, part._forward_hooks_with_kwargs)
    )


def test_the_module_is_left_as_it_was_also_after_an_error() -> None:
    module = lively(Hub()).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    features.extract_patterns(module, pictures(2))
    assert module.training
    assert hooks_of(module) == 0
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    reader = PatternReader(Backbone(module), PatternSpec())
    reader.prepare(pictures(1), "float32")
    with pytest.raises(InvalidInput, match="failed on a batch of shape"):
        reader.read(torch.zeros(2, 5, 32, 32))
    assert hooks_of(module) == 0

    def fail(*_: Any) -> None:
        raise RuntimeError("lightning")

    handle = module.norm.register_forward_hook(fail)
    for action in (lambda: reader.read(pictures(1)), lambda: reader.prepare(pictures(1), "float32")):
        with pytest.raises(InvalidInput, match="lightning"):
            action()
        assert hooks_of(module) == 1
    handle.remove()


# ---------------------------------------------------------------- convolutional networks


def positions(maps: Any) -> Any:
    return maps.flatten(2).transpose(1, 2).detach().numpy()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5", "vgg11"])
@pytest.mark.parametrize("side", [64, 96])
def test_torchvision_maps(torchvision: Any, name: str, side: int) -> None:
    from oneglance.features.zoo_torchvision import cut_head

    torch.manual_seed(0)
    module = torchvision.models.get_model(name, weights=None).eval()
    cut_head(module, name)
    batch = pictures(2, side, side)
    if name == "resnet18":
        wanted = torch.nn.Sequential(*list(module.children())[:-2])(batch)
    elif name == "shufflenet_v2_x0_5":
        wanted = torch.nn.Sequential(*list(module.children())[:-1])(batch)
    elif name == "vgg11":
        wanted = module.avgpool(module.features(batch))  # to the fixed grid of its classifier
    else:
        wanted = module.features(batch)
    rows, attention, _, _ = read(module, batch)
    assert attention is None
    np.testing.assert_allclose(rows, positions(wanted), rtol=1e-4, atol=1e-5)


def test_a_map_of_one_position(torchvision: Any) -> None:
    torch.manual_seed(0)
    module = torchvision.models.resnet18(weights=None).eval()
    rows, *_ = read(module, pictures(2, 32, 32))
    assert rows.shape == (2, 1, 512)


def test_timm_and_transformers_maps(torchvision: Any) -> None:
    timm = pytest.importorskip("timm")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    for name in ("resnet10t", "mobilenetv3_small_050", "convnext_atto", "seresnet18"):
        module = timm.create_model(name, num_classes=0).eval()
        wanted = module.forward_features(pictures(2, 64, 64))
        np.testing.assert_allclose(read(module, pictures(2, 64, 64))[0], positions(wanted), rtol=1e-4, atol=1e-5)
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    module = transformers.ResNetModel(config).eval()
    wanted = module(pixel_values=pictures(2)).last_hidden_state
    rows, *_ = read(module, pictures(2), call=lambda net, x: net(pixel_values=x))
    np.testing.assert_allclose(rows, positions(wanted), rtol=1e-4, atol=1e-5)


def test_channels_last_maps(torchvision: Any) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    module = timm.models.swin_transformer.SwinTransformer(
        img_size=32, patch_size=4, embed_dim=8, depths=(1, 1), num_heads=(2, 2), window_size=4, num_classes=0
    ).eval()
    wanted = module.forward_features(pictures(2))  # (N, h, w, C)
    rows, *_ = read(module, pictures(2), attention=False)
    np.testing.assert_allclose(rows, wanted.flatten(1, 2).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_positions_over_a_norm(torchvision: Any) -> None:
    class Map(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x

    maps = torch.zeros(3, 2, 2, 2)
    maps[0, 0] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    maps[1, 1, 0, 1] = 0.5  # no position over the threshold: the longest stays
    maps[2, :, 1, 1] = 3.0
    found = features.extract_patterns(Map(), maps, {"norm_threshold": 2.0, "n_patterns": 5})
    assert np.asarray(found.rows).tolist() == [[3, 0], [4, 0], [0, 0.5], [3, 3]]
    assert found.offsets.tolist() == [0, 2, 3, 4]
    (mean,) = np.asarray(features.extract_patterns(Map(), maps[:1], 1).rows)
    assert mean.tolist() == [2.5, 0]


def test_torchscript_maps(shared: Path) -> None:
    for name, options in {
        "mobilenet_v2_imagenet.pt": "size=64",
        "squeezenet_11_imagenet.pt": "size=64&channels=bgr&scale=255&mean=104,117,123&std=1",
    }.items():
        file = shared / "weights" / name
        if not file.is_file():
            pytest.skip(f"{file} is not there")
        (backbone,) = features.backbones.as_backbones(f"torchscript:{file}?{options}")  # type: ignore[attr-defined]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = torch.jit.load(str(file))
        with torch.inference_mode():
            wanted = net(pictures(2, 64, 64))
        if isinstance(wanted, torch.Tensor) and wanted.ndim != 4:
            pytest.skip(f"{name} returns {tuple(wanted.shape)}")
        reader = PatternReader(backbone, PatternSpec())
        with running([backbone], CPU):
            reader.prepare(pictures(1, 64, 64), "float32")
            _, patches = reader.read(pictures(2, 64, 64))
        np.testing.assert_allclose(patches.rows, positions(wanted), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- networks that cannot be read

CURE = (
    "Pass attention=False / --no-attention to keep all patches (uniform attention), name the modules with "
    "Backbone(..., hooks=PatternHooks(...)), or leave patterns out for this backbone."
)


def refused(module: Any, batch: Any, **options: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(module, batch, **options)
    return str(caught.value)


def test_swin_says_what_to_do(torchvision: Any) -> None:
    module = torchvision.models.SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=3).eval()
    text = refused(module, pictures(1))
    assert text == (
        'patterns of backbone "SwinTransformer": the attention of the class token of SwinTransformer cannot be read: '
        "it has 2 stacks of blocks, one stack of blocks with one self-attention each was looked for. " + CURE
    ) or ("ShiftedWindowAttention" in text and CURE in text)
    assert read(module, pictures(2), attention=False)[0].shape == (2, 16, 16)


def test_no_class_token(torchvision: Any) -> None:
    timm = pytest.importorskip("timm")
    pooled = {**SHAPE, "class_token": False, "global_pool": "avg", "reg_tokens": 2}
    module = lively(timm.models.vision_transformer.VisionTransformer(**pooled))
    text = refused(module, pictures(1))
    assert "it has no class token (a parameter like cls_token was looked for). " + CURE in text
    rows, _, _, reader = read(module, pictures(2), attention=False)
    assert rows.shape == (2, 16, 32)  # without the two registers
    assert "through fc_norm without the first 2" in reader.info("auto").how


def test_too_few_blocks() -> None:
    text = refused(lively(Hub(1)), pictures(1))
    assert "Hub has 1 block in blocks; the patches come from the second-to-last, so at least 2 are needed." in text


def test_an_attention_with_something_unknown_is_noticed() -> None:
    module = lively(Hub())
    module.blocks[-1].attn.bias.fill_(1)
    text = refused(module, pictures(1))
    assert "attention times values of 'blocks.2.attn', computed from its projections, is not what it returned" in text
    assert CURE in text
    assert read(module, pictures(1), attention=False)[0].shape == (1, 16, 32)


def test_relative_positions_are_noticed(torchvision: Any) -> None:
    timm = pytest.importorskip("timm")
    module = timm.models.beit.Beit(**SHAPE, use_rel_pos_bias=True, global_pool="token")
    assert "is not what it returned" in refused(lively(module), pictures(1))


def test_tokens_that_do_not_add_up() -> None:
    module = lively(Hub())
    module.num_register_tokens = 0
    assert "Hub has 19 tokens, its patch embedding 16 positions, and 1 tokens before" in refused(module, pictures(1))
    hooks = PatternHooks("blocks.1", "norm", "blocks.2.attn", 3)
    assert read(module, pictures(1), hooks=hooks)[0].shape == (1, 16, 32)


def test_torchscript_transformer(torchvision: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.trace(
            lively(torchvision.models.VisionTransformer(32, 8, 3, 4, 32, 48)), pictures(1), check_trace=False
        )
    text = refused(module, pictures(1))
    assert "cannot be read: nothing is known about its " in text
    assert CURE in text
    assert "returns (1, 1000) and no map (N, C, h, w) was seen near its end" in refused(
        module, pictures(1), attention=False
    )


def test_networks_without_patches(torchvision: Any) -> None:
    timm = pytest.importorskip("timm")
    text = refused(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 8)), pictures(1))
    assert "Sequential returns (1, 8) and no map (N, C, h, w) was seen near its end. Give a module that returns" in text
    mixer = timm.models.mlp_mixer.MlpMixer(num_classes=0, img_size=32, patch_size=8, num_blocks=3, embed_dim=16)
    assert "no map (N, C, h, w) was seen near its end" in refused(mixer, pictures(1))


def test_tokens_before_the_patches(torchvision: Any) -> None:
    transformers = pytest.importorskip("transformers")
    assert prefix_tokens(Hub()) == 3
    assert prefix_tokens(transformers.DeiTModel(transformers.DeiTConfig(**CONFIG))) == 2
    assert prefix_tokens(transformers.ViTModel(transformers.ViTConfig(**CONFIG))) == 1
    assert prefix_tokens(torchvision.models.resnet18(weights=None)) == 0
    module = lively(Queries())
    mean = features.extract(Backbone(module, pool="mean"), pictures(2))
    kept = module(pictures(2))["last_hidden_state"][:, 1:].mean(dim=1).detach().numpy()
    np.testing.assert_allclose(mean, kept, rtol=1e-5, atol=1e-5)


def test_wrong_hooks() -> None:
    module = lively(Hub())
    text = refused(module, pictures(1), hooks=PatternHooks("blocks.9"))
    assert (
        "hooks of backbone \"Hub\": patches='blocks.9' is no path in Hub. There are ['patch_embed', 'blocks'," in text
    )
    text = refused(module, pictures(1), hooks=PatternHooks("blocks.1", attention="norm"))
    assert "hooks.attention='norm' is a LayerNorm" in text
    text = refused(module, pictures(1), hooks=PatternHooks("blocks.1.attn.qkv", attention="blocks.0.attn", n_prefix=20))
    assert "1 pictures gave patches of shape (1, 0, 96)" in text
    with pytest.raises(InvalidInput, match="hooks must be a PatternHooks or None, got str"):
        Backbone(module, hooks="blocks.1")  # type: ignore[arg-type]


def test_a_hooked_module_that_is_not_called() -> None:
    class Idle(Hub):
        def __init__(self) -> None:
            super().__init__()
            self.spare = torch.nn.Linear(2, 2)

    text = refused(lively(Idle()), pictures(1), hooks=PatternHooks("spare"))
    assert "its 'spare' was not called as a Python module in the forward pass" in text


def test_pictures_that_cannot_be_used() -> None:
    module = lively(Hub())
    with pytest.raises(InvalidInput, match="images is empty"):
        features.extract_patterns(module, [])
    batch = pictures(3)
    batch[1] = float("nan")
    with pytest.raises(InvalidInput, match=r"patches of images \[1\] \(1 in all\) are not finite"):
        features.extract_patterns(module, batch)
