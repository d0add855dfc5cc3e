"""Which tensors are masked, in networks of torchvision, timm, transformers and peft."""

import pytest

torch = pytest.importorskip("torch", reason="masks need torch")

from torch import nn  # noqa: E402

from oneglance import InvalidInput  # noqa: E402
from oneglance.masks.rules import choose_tensors, family_of  # noqa: E402


def tiny():
    """Two convolutions, a norm, a classifier."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Flatten())


def test_resnet50_masks_the_papers_number_of_weights(torchvision):
    with torch.device("meta"):
        module = torchvision.models.resnet50()
    plain = choose_tensors(module)
    assert (plain.family, plain.n_weights) == ("resnet", 23_454_912)
    assert all(name.endswith("weight") and "bn" not in name for name in plain.names)
    assert {"conv1.weight", "layer1.0.downsample.0.weight"} <= set(plain.names)
    with_norms = choose_tensors(module, shortcut_norms=True)
    assert with_norms.n_weights == 23_462_592
    assert "resnet: 53 tensors, 23,454,912 weights (92%)" in str(plain)


@pytest.mark.parametrize(
    ("name", "family", "inside", "outside"),
    [
        ("convnext_tiny", "convnext", "features.1.0.block.3.weight", "classifier.2.weight"),
        ("vit_b_32", "vit", "encoder.layers.encoder_layer_0.self_attention.in_proj_bias", "conv_proj.weight"),
        ("swin_t", "vit", "features.1.0.attn.qkv.weight", "features.0.0.weight"),
        ("mobilenet_v2", "resnet", "features.1.conv.0.0.weight", "classifier.1.weight"),
        ("vgg11_bn", "resnet", "features.0.weight", "classifier.0.weight"),
        ("efficientnet_b0", "resnet", "features.0.0.weight", "classifier.1.weight"),
    ],
)
def test_torchvision(torchvision, name, family, inside, outside):
    with torch.device("meta"):
        module = getattr(torchvision.models, name)()
    chosen = choose_tensors(module)
    assert chosen.family == family
    assert inside in chosen.names
    assert outside not in chosen.names
    assert outside in dict(module.named_parameters())


@pytest.mark.parametrize(
    ("name", "family", "inside", "outside"),
    [
        ("resnet18", "resnet", "layer2.0.downsample.0.weight", "layer2.0.downsample.1.weight"),
        ("vit_tiny_patch16_224", "vit", "blocks.0.attn.qkv.bias", "patch_embed.proj.weight"),
        ("vit_tiny_patch16_224", "vit", "blocks.11.mlp.fc2.weight", "head.weight"),
        ("convnext_atto", "convnext", "stages.0.blocks.0.mlp.fc1.weight", "head.fc.weight"),
        ("convnext_atto", "convnext", "stem.0.weight", "stages.0.blocks.0.gamma"),
    ],
)
def test_timm(torchvision, name, family, inside, outside):
    timm = pytest.importorskip("timm", reason="timm's networks")
    module = timm.create_model(name, pretrained=False)
    chosen = choose_tensors(module)
    assert chosen.family == family
    assert inside in chosen.names
    assert outside not in chosen.names
    if not outside.endswith("gamma"):
        assert outside in dict(module.named_parameters())


def test_transformers(torchvision):
    transformers = pytest.importorskip("transformers", reason="transformers' networks")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=8
    )
    module = transformers.ViTModel(config)
    chosen = choose_tensors(module)
    assert chosen.family == "vit"
    # Two blocks with q, k, v, out and two layers of the perceptron, each with a bias.
    assert chosen.n_weights == 2 * (4 * (16 * 16 + 16) + (16 * 32 + 32) + (32 * 16 + 16))
    assert not [name for name in chosen.names if "norm" in name or "embeddings" in name or "pooler" in name]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers in an old way
def test_peft_masks_the_base_and_no_adapter(torchvision):
    peft = pytest.importorskip("peft", reason="peft's adapters")
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=8
    )
    module = transformers.ViTModel(config)
    plain = choose_tensors(module)
    linear = [name for name, part in module.named_modules() if isinstance(part, nn.Linear) and "pooler" not in name]
    adapted = peft.get_peft_model(module, peft.LoraConfig(r=2, target_modules=linear))
    chosen = choose_tensors(adapted)
    assert chosen.n_weights == plain.n_weights
    assert not [name for name in chosen.names if "lora" in name]


def test_patterns_add_take_out_and_leave_norms_alone():
    module = tiny()
    assert choose_tensors(module, ["*"]).names == ("0.weight", "0.bias", "3.weight", "3.bias")
    assert choose_tensors(module, ["*", "!*.bias"]).names == ("0.weight", "3.weight")
    assert choose_tensors(module, ["1.weight"]).names == ("1.weight",)
    assert choose_tensors(module, ["auto", "!0.*"]).names == ("3.weight",)
    assert choose_tensors(module, ["3.bias", "0.weight"]).names == ("0.weight", "3.bias")  # the module's order


def test_a_pattern_without_a_match_lists_the_tensors():
    with pytest.raises(InvalidInput, match=r"tensors: 'conv\*' matches no parameter. The module has 0.weight \[4, 3, "):
        choose_tensors(tiny(), ["conv*"])
    with pytest.raises(InvalidInput, match="leaves nothing to mask"):
        choose_tensors(tiny(), ["0.*", "!0.*"])
    with pytest.raises(InvalidInput, match="leaves nothing to mask. The module has no parameters"):
        choose_tensors(nn.Identity())
    with pytest.raises(InvalidInput, match="must be 'auto', one of"):
        choose_tensors(tiny(), [])


def test_torchscript_is_refused_with_the_cure():
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        script = torch.jit.script(nn.Conv2d(1, 1, 1))
    with pytest.raises(InvalidInput, match="TorchScript.*Give the nn.Module"):
        choose_tensors(script)


def test_families_of_plain_modules():
    assert family_of(nn.Linear(2, 2)) == "linear"
    assert family_of(nn.Sequential(nn.Conv2d(1, 1, 1), nn.Linear(90, 90))) == "resnet"
    assert choose_tensors(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))).names == ("0.weight",)
