"""What a user reads when `embed` cannot do what was asked; run as the command, with its exit codes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oneglance.cli.main import main


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> tuple[int, str]:
    """Exit code and stderr of `oneglance embed ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["oneglance", "embed", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0), capsys.readouterr().err


def test_empty_folder(capsys: Any, monkeypatch: Any, tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    code, text = run(capsys, monkeypatch, tmp_path / "pool", "-b", "torchscript:x.pt", "--out", tmp_path / "s")
    assert code == 2
    assert text.startswith(f"error: source: {tmp_path / 'pool'} holds no pictures (it is empty).")


def test_no_backbone(capsys: Any, monkeypatch: Any, tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "pool", 1)
    code, text = run(capsys, monkeypatch, tmp_path / "pool", "--out", tmp_path / "s")
    assert code == 2
    assert "error: backbones: pictures need at least one backbone, e.g. 'torchvision:resnet18=weights.pth'" in text


def test_bad_backbone_string(capsys: Any, monkeypatch: Any, tmp_path: Path, make_pictures: Any) -> None:
    pytest.importorskip("torch")
    make_pictures(tmp_path / "pool", 1)
    code, text = run(capsys, monkeypatch, tmp_path / "pool", "-b", "resnet18", "--out", tmp_path / "s")
    assert code == 2
    assert "error: backbone 'resnet18': must look like KIND:NAME" in text


def test_missing_source_and_missing_out(capsys: Any, monkeypatch: Any, tmp_path: Path) -> None:
    code, text = run(capsys, monkeypatch, tmp_path / "pool", "--out", tmp_path / "s")
    assert (code, text) == (2, f"error: source: {tmp_path / 'pool'} does not exist.\n")
    code, text = run(capsys, monkeypatch, tmp_path)
    assert code == 2
    assert "Missing option '--out'" in text


def test_mismatched_rows(capsys: Any, monkeypatch: Any, tmp_path: Path) -> None:
    for name, n_rows in (("a", 300), ("b", 312)):
        np.save(tmp_path / f"{name}.npy", np.ones((n_rows, 2)))
    code, text = run(capsys, monkeypatch, tmp_path / "a.npy", tmp_path / "b.npy", "--out", tmp_path / "s")
    assert code == 2
    assert 'all backbones must have the same number of rows, but "a" has 300, "b" has 312.' in text


def test_one_dimensional_vectors(capsys: Any, monkeypatch: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(7))
    code, text = run(capsys, monkeypatch, tmp_path / "a.npy", "--out", tmp_path / "s")
    assert code == 2
    assert "source['a'] must be 2-D (rows, features), got shape (7,)." in text


def test_more_bad_rows_than_allowed_is_exit_code_3(capsys: Any, monkeypatch: Any, tmp_path: Path) -> None:
    rows = np.ones((10, 2))
    rows[[1, 5]] = np.nan
    np.save(tmp_path / "a.npy", rows)
    code, text = run(capsys, monkeypatch, tmp_path / "a.npy", "--out", tmp_path / "s")
    assert code == 3
    assert "error: 2 of 10 items cannot be used, at most 1 are allowed (max_bad_fraction=0.1)." in text
    assert 'vectors a.npy[1]: backbone "a": features are not finite' in text
    assert f"Full list so far: {tmp_path / 's/bad_items.csv'}" in text


def test_out_that_cannot_be_made(capsys: Any, monkeypatch: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((10, 2)))
    code, text = run(capsys, monkeypatch, tmp_path / "a.npy", "--out", tmp_path / "a.npy")
    assert code == 2
    assert "is a file, a folder is needed" in text
    code, text = run(capsys, monkeypatch, tmp_path / "a.npy", "--out", tmp_path / "a.npy/inside")
    assert code == 2
    assert "cannot write" in text


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--batch-size", "0", "batch_size must be an integer >= 1, got 0"),
        ("--workers", "-1", "workers must be an integer >= 0 or None, got -1"),
        ("--shard-rows", "0", "shard_rows must be an integer >= 1 or None, got 0"),
        ("--max-bad-fraction", "1.5", "max_bad_fraction must lie in 0..1, got 1.5"),
        ("--max-pixels", "-3", "max_pixels must be an integer >= 1, got -3"),
        ("--dtype", "int8", "'int8' is not one of 'auto', 'float16', 'float32'"),
    ],
)
def test_options(capsys: Any, monkeypatch: Any, tmp_path: Path, option: str, value: str, words: str) -> None:
    np.save(tmp_path / "a.npy", np.ones((10, 2)))
    code, text = run(capsys, monkeypatch, tmp_path / "a.npy", "--out", tmp_path / "s", option, value)
    assert code == 2
    assert words in text
