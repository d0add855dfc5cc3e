"""What a user reads when `embed --patterns` cannot do what was asked; run as the command, with its exit codes."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oneglance.cli.main import main

torch = pytest.importorskip("torch")


@pytest.fixture
def embed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """embed(arguments) runs `oneglance embed ARGUMENTS --out <tmp>/s` and returns exit code and stderr."""

    def run(*arguments: Any) -> tuple[int, str]:
        given = ["oneglance", "embed", *map(str, arguments), "--out", str(tmp_path / "s"), "--progress", "none"]
        monkeypatch.setattr(sys, "argv", given)
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


def script(module: Any, file: Path) -> str:
    """A module as TorchScript, as a backbone string."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module.eval(), torch.zeros(1, 3, 32, 32), check_trace=False).save(file)
    return f"torchscript:{file}?size=32"


def test_a_torchscript_transformer(torchvision: Any, embed: Any, tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 1)
    name = script(torchvision.models.VisionTransformer(32, 8, 2, 2, 8, 8), tmp_path / "vit.pt")
    code, text = embed(tmp_path / "pool", "-b", name, "--patterns")
    assert code == 2
    assert text.startswith(
        'error: patterns of backbone "vit": the attention of the class token of VisionTransformer cannot be read: '
    )
    assert text.endswith(
        "Pass attention=False / --no-attention to keep all patches (uniform attention), name the modules with "
        "Backbone(..., hooks=PatternHooks(...)), or leave patterns out for this backbone.\n"
    )
    code, text = embed(tmp_path / "pool", "-b", name, "--no-attention")
    assert code == 2
    assert "and no map (N, C, h, w) was seen near its end. Give a module that returns its map or its tokens" in text


def test_one_row_per_picture(embed: Any, tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 1)
    name = script(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 4)), tmp_path / "flat.pt")
    code, text = embed(tmp_path / "pool", "-b", name, "--patterns")
    assert code == 2
    assert 'error: patterns of backbone "flat": Sequential returns (1, 4) and no map (N, C, h, w)' in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tau", "1.5"), "error: tau must lie in 0..1 (a share of the attention), got 1.5.\n"),
        (("--n-patterns", "0"), "error: n_patterns must be an integer >= 1, got 0.\n"),
        (("--norm-threshold", "-1"), "error: norm_threshold must be a finite number >= 0, got -1.\n"),
        (("--seed", "-1"), "error: seed must be an integer in 0 .. 2**63 - 1, got -1.\n"),
    ],
)
def test_options_out_of_range(embed: Any, tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    for also in ((), ("--dry-run",)):
        assert embed(tmp_path, "-b", "torchscript:x.pt", *options, *also) == (2, words)


def test_ready_vectors(embed: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    for also in ((), ("--dry-run",)):
        code, text = embed(tmp_path / "a.npy", "--patterns", *also)
        assert code == 2
        assert text == (
            "error: patterns are taken out of pictures, and the source holds ready vectors. Leave patterns= / "
            "--patterns out, or give the pictures and a backbone.\n"
        )


def test_other_settings(embed: Any, tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 2)
    name = script(torch.nn.Conv2d(3, 4, 3, 4), tmp_path / "net.pt")
    assert embed(tmp_path / "pool", "-b", name, "--patterns")[0] == 0
    code, text = embed(tmp_path / "pool", "-b", name, "--norm-threshold", "0.5")
    assert code == 2
    assert text == (
        f'error: {tmp_path / "s"} holds patterns of backbone "net" with another choice: the store has '
        "'L2 norm over 0.0', this run 'L2 norm over 0.5'. Choose a new folder with out= / --out, give this backbone "
        "another name with name=, or overwrite with fresh=True / --fresh.\n"
    )
