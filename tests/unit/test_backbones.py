"""Backbones: strings, modules, pooling, weights files, extraction in memory. Nothing may touch the network."""

from __future__ import annotations

import socket
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from oneglance.errors import InvalidInput

torch = pytest.importorskip("torch")

from oneglance import features  # noqa: E402
from oneglance.features import zoo  # noqa: E402
from oneglance.features.backbones import Backbone, as_backbones  # noqa: E402
from oneglance.features.preprocess import Preprocess  # noqa: E402
from oneglance.features.specs import parse_spec  # noqa: E402
from oneglance.features.weights import load_weights, model_hash, read_state_dict  # noqa: E402

TINY = Preprocess(size=32)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a test tried to open a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def pictures(n: int = 3, size: int = 40) -> list[Image.Image]:
    rng = np.random.default_rng(1)
    return [Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)) for _ in range(n)]


class Returns(torch.nn.Module):
    """Returns whatever a function makes of the batch."""

    def __init__(self, function: Any, **parameters: Any) -> None:
        super().__init__()
        self.function = function
        for name, value in parameters.items():
            setattr(self, name, torch.nn.Parameter(value))

    def forward(self, batch: Any) -> Any:
        return self.function(batch)


def tokens(batch: Any) -> Any:
    return torch.stack([torch.full((len(batch), 2), float(t)) for t in range(5)], dim=1)


# ---------------------------------------------------------------- strings


def test_spec_in_parts() -> None:
    spec = parse_spec("torchscript:a/my net.pt?size=128&channels=bgr&scale=255&mean=104,117,123&std=1&pool=mean")
    assert (spec.kind, spec.model, spec.weights, spec.name, spec.pool) == (
        "torchscript", "a/my net.pt", None, "my_net", "mean",
    )  # fmt: skip
    preprocess = spec.preprocess()
    assert preprocess == Preprocess(128, None, "crop", "bilinear", "bgr", 255.0, (104.0, 117.0, 123.0), (1.0, 1.0, 1.0))
    assert parse_spec("timm:vit=random?seed=3").seed == 3
    assert parse_spec("timm:vit?weights=w.pth").weights == "w.pth"
    assert parse_spec("transformers:some/folder/").name == "folder"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("resnet18", "must look like KIND:NAME with KIND one of torchvision, timm, transformers, torchscript"),
        ("keras:resnet", "must look like KIND:NAME"),
        ("timm:", "must look like KIND:NAME"),
        ("timm:vit?sise=3", "unknown option 'sise=3'. Known: weights, name, seed"),
        ("timm:vit?size=3&size=4", "option 'size' is given twice"),
        ("timm:vit=a?weights=b", "weights are given twice"),
        ("timm:vit?seed=x", "seed must be an integer"),
        ("timm:vit=", "the model's name or the weights are empty"),
    ],
)
def test_bad_strings(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_spec(text)
    assert words in str(caught.value)


def test_bad_image_options() -> None:
    for option, words in {
        "size=big": "backbone option size= must be a number, got 'big'",
        "mean=1,2": "mean must be three numbers",
        "mean=a": "backbone option mean= must be three numbers, e.g.",
        "fit=zoom": "fit must be one of",
    }.items():
        with pytest.raises(InvalidInput) as caught:
            parse_spec(f"torchscript:x.pt?{option}").preprocess()
        assert words in str(caught.value)


# ---------------------------------------------------------------- outputs and pooling


@pytest.mark.parametrize(
    ("function", "options", "expected", "words"),
    [
        (lambda x: x.mean(dim=(2, 3)), {}, None, "output: as it is"),
        (lambda x: x, {}, None, "output: mean over the 2-D map"),
        (lambda x: (x, x[:1]), {}, None, "first of 2 outputs: mean over the 2-D map"),
        (lambda x: {"logits": x[:, :1], "features": x}, {}, None, "output['features']: mean over the 2-D map"),
        (lambda x: {"a": x[:, :1], "b": x}, {"output": "b"}, None, "output['b']: mean over the 2-D map"),
        (tokens, {}, 2.0, "output: mean over tokens"),
        (tokens, {"pool": "cls"}, 0.0, "output: class token"),
        (lambda x: tokens(x), {"cls_token": torch.zeros(1)}, 0.0, "output: class token"),
        (lambda x: tokens(x), {"cls_token": torch.zeros(1), "pool": "mean"}, 2.5, "output: mean over tokens without"),
    ],
)
def test_outputs_become_rows(function: Any, options: dict[str, Any], expected: float | None, words: str) -> None:
    parameters = {name: options.pop(name) for name in ("cls_token",) if name in options}
    backbone = Backbone(Returns(function, **parameters), TINY, **options)
    got = features.extract(backbone, pictures(), batch_size=2)
    if expected is None:
        wanted = torch.stack([TINY(picture).mean(dim=(1, 2)) for picture in pictures()]).numpy()
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(got, np.full((3, 2), expected))
    assert backbone.pooling.startswith(words)


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (lambda x: None, {}, "must return a tensor, or a tuple or dict with one, got NoneType"),
        (
            lambda x: {"a": x, "b": x},
            {},
            "returned several outputs and none of them is the usual one; it has ['a', 'b']",
        ),
        (lambda x: {"a": x}, {"output": "b"}, "returned no tensor 'b'; it has ['a']"),
        (lambda x: x.sum(), {}, "must return (N, d), (N, T, d) or (N, d, h, w), got shape ()"),
        (lambda x: x[:1], {}, "must return one row per picture: 2 went in, 1 came out"),
        (lambda x: x, {"pool": "cls"}, 'pool="cls" needs tokens (N, T, d), got shape (2, 3, 32, 32)'),
        (lambda x: x @ torch.ones(5, 5), {}, 'backbone "Returns" failed on a batch of shape (2, 3, 32, 32)'),
        (lambda x: x.flatten(1)[:, : len(x)], {}, "returned 1 features for a batch of shape"),
        (lambda x: x * float("nan"), {}, "features of images [0, 1, 2] (3 in all) are not finite"),
    ],
)
def test_outputs_that_are_no_features(function: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        features.extract(Backbone(Returns(function), TINY, **options), pictures(), batch_size=2)
    assert words in str(caught.value)


def test_module_is_given_back_as_it_was_and_runs_in_eval_mode() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.9))
    module.train()
    module[1].eval()
    before = model_hash(module)
    first = features.extract(module, pictures())
    np.testing.assert_array_equal(first, features.extract(module, pictures()))
    assert [part.training for part in module] == [True, False, True]
    assert model_hash(module) == before
    assert not first.flags.writeable or first.dtype == np.float32


def test_pictures_of_several_sizes_without_resizing() -> None:
    own_size = Preprocess(size=None)
    mixed = [*pictures(1, 40), *pictures(1, 33), *pictures(1, 40)]
    got = features.extract(Backbone(torch.nn.Identity(), own_size), mixed, batch_size=3)
    alone = np.concatenate([features.extract(Backbone(torch.nn.Identity(), own_size), [one]) for one in mixed])
    np.testing.assert_allclose(got, alone, rtol=1e-6)


def test_float_arrays_skip_preprocessing() -> None:
    values = np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)
    for images in (values, torch.from_numpy(values), list(values)):
        got = features.extract(torch.nn.Flatten(), images, batch_size=2)
        np.testing.assert_array_equal(got, values.reshape(5, -1))
    with pytest.raises(InvalidInput, match="images is empty"):
        features.extract(torch.nn.Flatten(), [])


def test_the_way_to_call_a_module_is_part_of_its_hash() -> None:
    module = torch.nn.Conv2d(3, 4, 3)
    plain, one, two = (Backbone(module, call=call) for call in (None, lambda m, b: m(b), lambda m, b: m(b).relu()))
    assert len({plain.hash(), one.hash(), two.hash()}) == 3
    assert plain.hash() == model_hash(module)


def test_names_and_kinds_of_backbones() -> None:
    flat = torch.nn.Flatten
    assert [b.name for b in as_backbones([flat(), torch.nn.Identity()])] == ["Flatten", "Identity"]
    assert [b.name for b in as_backbones({"a": flat(), "b": flat()})] == ["a", "b"]
    with pytest.raises(InvalidInput, match=r"the name 'Flatten' comes twice.*Backbone\(name=...\)"):
        as_backbones([flat(), flat()])
    with pytest.raises(InvalidInput, match="backbones is empty"):
        as_backbones([])
    with pytest.raises(InvalidInput, match="must be strings like .* got int"):
        as_backbones([3])
    with pytest.raises(InvalidInput, match=r"pool must be one of .*, got 'max'"):
        Backbone(flat(), pool="max")
    with pytest.raises(InvalidInput, match="module must be a torch.nn.Module, got str"):
        Backbone("x")
    with pytest.raises(InvalidInput, match=r"device 'gpu' cannot be used"):
        features.extract(flat(), pictures(), device="gpu")


# ---------------------------------------------------------------- weights


def test_state_dicts_in_every_wrapping(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    module = torch.nn.Linear(3, 2)
    state = dict(module.state_dict())
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "wrapped.th")
    safetensors.save_file(state, tmp_path / "x.safetensors")
    for name in ("plain.pth", "wrapped.th", "x.safetensors"):
        other = torch.nn.Linear(3, 2)
        load_weights(other, read_state_dict(tmp_path / name), tmp_path / name, "linear", ())
        assert model_hash(other) == model_hash(module)


def test_weights_files_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"weight": torch.ones(5, 3), "extra": torch.ones(1)}, tmp_path / "other.pth")
    for name, words in {
        "none.pth": "does not exist. Give the file that holds the model's state dict",
        "text.pth": "cannot be read with torch.load(weights_only=True)",
        "text.safetensors": "cannot be read as safetensors",
        "list.pth": "must hold a state dict (name -> tensor), got list",
    }.items():
        with pytest.raises(InvalidInput) as caught:
            read_state_dict(tmp_path / name)
        assert words in str(caught.value)
    with pytest.raises(InvalidInput) as caught:
        load_weights(torch.nn.Linear(3, 2), read_state_dict(tmp_path / "other.pth"), tmp_path / "other.pth", "x", ())
    assert "it lacks ['bias']" in str(caught.value)
    assert "unknown ['extra']" in str(caught.value)
    assert "of another shape are ['weight']" in str(caught.value)


def test_model_hash_sees_values_and_structure() -> None:
    torch.manual_seed(0)
    a, b = torch.nn.Conv2d(3, 2, 3), torch.nn.Conv2d(3, 2, 3, stride=2)
    b.load_state_dict(a.state_dict())
    assert model_hash(a) != model_hash(b)
    before = model_hash(a)
    with torch.no_grad():
        a.weight[0, 0, 0, 0] += 1e-3
    assert model_hash(a) != before


def test_model_hash_sees_buffers_that_are_kept_out_of_the_state_dict() -> None:
    def scaled(by: float) -> Any:
        module = torch.nn.Identity()
        module.register_buffer("spread", torch.tensor([by]), persistent=False)
        return module

    assert model_hash(scaled(1.0)) == model_hash(scaled(1.0))
    assert model_hash(scaled(1.0)) != model_hash(scaled(2.0))


# ---------------------------------------------------------------- libraries


def test_torchvision_models(torchvision: Any, tmp_path: Path) -> None:
    widths = {"resnet18": 512, "squeezenet1_1": 512, "mobilenet_v3_small": 1024, "shufflenet_v2_x0_5": 1024}
    for name, width in widths.items():
        (backbone,) = as_backbones(f"torchvision:{name}=random?size=64")
        assert features.extract(backbone, pictures(2)).shape == (2, width)
    (own,) = as_backbones("torchvision:resnet18=random?seed=1")
    assert "crop_size=[224]" in own.preprocessing
    full = torchvision.models.resnet18(weights=None)
    torch.save({"state_dict": {f"module.{k}": v for k, v in full.state_dict().items()}}, tmp_path / "w.pth")
    (loaded,) = as_backbones(f"torchvision:resnet18={tmp_path / 'w.pth'}")
    full.fc = torch.nn.Identity()
    assert model_hash(loaded.module) == model_hash(full)
    assert model_hash(own.module) != model_hash(as_backbones("torchvision:resnet18=random?seed=2")[0].module)
    assert model_hash(own.module) == model_hash(as_backbones("torchvision:resnet18=random?seed=1")[0].module)


def test_torchvision_mistakes(torchvision: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InvalidInput, match="torchvision has no image classifier 'resnet19'. Did you mean resnet18"):
        as_backbones("torchvision:resnet19")
    with pytest.raises(
        InvalidInput, match=r"no weights on disk, and nothing is downloaded.*resnet18-f37072fd.pth into"
    ):
        as_backbones("torchvision:resnet18")
    torch.save(torchvision.models.resnet34(weights=None).state_dict(), tmp_path / "34.pth")
    with pytest.raises(InvalidInput, match=r"does not fit .*it has the unknown .*Give the weights of that"):
        as_backbones(f"torchvision:resnet18={tmp_path / '34.pth'}")


def test_timm_models(torchvision: Any, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    name = "vit_tiny_patch16_224"
    (backbone,) = as_backbones(f"timm:{name}=random")
    assert "Resize" in backbone.preprocessing
    cls = features.extract(backbone, pictures(1))
    assert cls.shape == (1, 192)
    (mean,) = as_backbones(f"timm:{name}=random?pool=mean")
    assert np.abs(features.extract(mean, pictures(1)) - cls).max() > 1e-3
    assert "without the first 1" in mean.pooling
    (swin,) = as_backbones("timm:swin_tiny_patch4_window7_224=random?pool=mean")  # its map is (N, h, w, d)
    assert features.extract(swin, pictures(1)).shape == (1, 768)
    full = timm.create_model("resnet10t", pretrained=False)
    torch.save(full.state_dict(), tmp_path / "w.pth")
    (loaded,) = as_backbones(f"timm:resnet10t={tmp_path / 'w.pth'}")
    torch.testing.assert_close(loaded.module.state_dict()["conv1.0.weight"], full.state_dict()["conv1.0.weight"])
    torch.save({k: v for k, v in full.state_dict().items() if "layer3" not in k}, tmp_path / "part.pth")
    with pytest.raises(InvalidInput, match=r"does not fit .*layer3"):
        as_backbones(f"timm:resnet10t={tmp_path / 'part.pth'}")


def test_timm_mistakes(torchvision: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    with pytest.raises(InvalidInput, match="timm has no model 'vit_tinny_patch16_224'. Did you mean vit_tiny"):
        as_backbones("timm:vit_tinny_patch16_224")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(InvalidInput, match=r"nothing is downloaded.*\"timm:vit_tiny_patch16_224=FILE\" \(the file is"):
        as_backbones("timm:vit_tiny_patch16_224")


def test_transformers_folder(torchvision: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
    )
    torch.manual_seed(0)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")  # has no pooler
    with pytest.raises(InvalidInput, match=r"no image processor found .*Put preprocessor_config.json into the folder"):
        as_backbones(f"transformers:{tmp_path / 'vit'}")
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    capfd.readouterr()
    (backbone,) = as_backbones(f"transformers:{tmp_path / 'vit'}")
    (again,) = as_backbones(f"transformers:{tmp_path / 'vit'}")
    assert model_hash(backbone.module) == model_hash(again.module)
    assert "Loading weights" not in capfd.readouterr().err
    assert features.extract(backbone, pictures(2)).shape == (2, 16)
    assert backbone.pooling == "output['last_hidden_state']: class token"
    assert "image_mean" in backbone.preprocessing
    with pytest.raises(InvalidInput, match=r"its weights lack \['pooler"):
        as_backbones(f"transformers:{tmp_path / 'vit'}?pool=pooler")
    assert features.extract(
        as_backbones(f"transformers:{tmp_path / 'vit'}?weights=random&pool=pooler")[0], pictures(2)
    ).shape == (2, 16)
    transformers.ViTModel(config).half().save_pretrained(tmp_path / "vit")
    (half,) = as_backbones(f"transformers:{tmp_path / 'vit'}")
    assert {value.dtype for value in half.module.parameters()} == {torch.float32}
    with pytest.raises(InvalidInput, match=r"there is no folder .*nothing is downloaded"):
        as_backbones("transformers:nobody/nothing")


def test_torchscript_files(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "x.pt").write_text("no net")
    with pytest.raises(InvalidInput, match="cannot be read as TorchScript"):
        as_backbones(f"torchscript:{tmp_path / 'x.pt'}")
    with pytest.raises(InvalidInput, match="the file .* does not exist"):
        as_backbones(f"torchscript:{tmp_path / 'y.pt'}")
    pytest.importorskip("torch.jit")
    weights = shared / "weights"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = torch.jit.load(str(weights / "squeezenet_11_imagenet.pt"))
    (backbone,) = as_backbones(
        f"torchscript:{weights / 'squeezenet_11_imagenet.pt'}?size=64&channels=bgr&scale=255&mean=104,117,123&std=1"
    )
    picture = pictures(1, 64)[0]
    bgr = np.asarray(picture, dtype=np.float32)[:, :, ::-1] - np.array([104, 117, 123], dtype=np.float32)
    with torch.inference_mode():
        expected = net(torch.from_numpy(np.ascontiguousarray(bgr.transpose(2, 0, 1)))[None]).mean(dim=(2, 3)).numpy()
    np.testing.assert_allclose(features.extract(backbone, [picture]), expected, rtol=1e-4, atol=1e-4)


def test_a_broken_torchvision_is_named_where_timm_needs_it() -> None:
    error = RuntimeError("operator torchvision::nms does not exist")
    text = str(zoo.broken_package("timm", "timm", error))
    assert text.startswith("torchvision, which timm needs, is installed but cannot be imported (RuntimeError: operator")
    assert str(zoo.broken_package("torchvision", "vision", error)).startswith("torchvision is installed but cannot")


def test_helper_threads_of_a_decoding_worker_print_no_tracebacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from oneglance.features import loading

    monkeypatch.setattr("sys.excepthook", sys.__excepthook__)
    n_threads = torch.get_num_threads()
    loading._quiet_worker(0)
    torch.set_num_threads(n_threads)
    sys.excepthook(EOFError, EOFError("the main process is gone"), None)
    assert capsys.readouterr().err == ""
