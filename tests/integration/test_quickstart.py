"""`oneglance quickstart` from end to end, small: real pictures, store, selection, heads, table, plot."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from oneglance.cli.main import cli
from oneglance.errors import InvalidInput, MissingDependency

for needed in ("torch", "sklearn", "matplotlib"):
    pytest.importorskip(needed, reason="quickstart needs its extra")

from oneglance import open_store, select  # noqa: E402
from oneglance.evaluation.digits import load_digits, load_packages, pool_pixels, write_digits  # noqa: E402
from oneglance.evaluation.quickstart import claim_folder, conclusions, quickstart_pickers, read_split  # noqa: E402

REPO = Path(__file__).resolve().parents[2]
SMALL = ["--seeds", "3", "--epochs", "2", "--budgets", "20,60"]


def run(out: Path, *more: str) -> Result:
    return CliRunner().invoke(cli, ["quickstart", "--out", str(out), *SMALL, *more], catch_exceptions=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("quickstart") / "out"
    return out, run(out)


def test_it_says_what_it_does_and_what_to_type_next(done: tuple[Path, Result]) -> None:
    _, result = done
    assert result.exit_code == 0, result.output
    for words in (
        "1,198 in pictures/pool",
        "599 in pictures/held-out",
        "two-block transformer trained to guess hidden 2 x 2 patches; trained in",
        "denoiser 1,198 x 32, patches 1,198 x 32, contrast 1,198 x 32",
        "patches   1,198  32    32",
        "T = sum of the largest weights =",
        "kappa(10 %) =",
        "20 pictures -> selected-20/selected.csv",
        "Lewis against k-means:",
        "oneglance select my_store --budget 500",
    ):
        assert words in result.output, words
    assert "\x1b[" not in result.output  # no colours where there is no terminal


def test_files(done: tuple[Path, Result]) -> None:
    out, _ = done
    assert {path.name for path in out.iterdir()} == {
        "settings.json",
        "pictures",
        "backbones",
        "store",
        "store-held-out",
        "selected-20",
        "selected-60",
        "results.parquet",
        "quickstart.png",
        "summary.json",
    }
    assert (out / "quickstart.png").read_bytes().startswith(b"\x89PNG")
    table = pq.read_table(out / "results.parquet")
    assert table.column_names == ["strategy", "budget", "seed", "backbone", "accuracy", "mse", "pool_mse"]
    assert table.num_rows == 4 * 2 * 3 * 3
    accuracy = table["accuracy"].to_numpy()
    assert accuracy.min() >= 0
    assert accuracy.max() <= 1
    assert accuracy.mean() > 0.3  # ten classes: guessing gives 0.1


def test_the_selection_on_disk_is_that_of_the_public_function(done: tuple[Path, Result]) -> None:
    out, _ = done
    store = open_store(out / "store")
    assert store.n_items == 1198
    for budget in (20, 60):
        table = pq.read_table(out / f"selected-{budget}" / "selected.parquet")
        assert table["item_id"].to_pylist() == select(store, budget, seed=0).ids.tolist()
        entry = json.loads((out / f"selected-{budget}" / "run.json").read_text(encoding="utf-8"))
        assert all(backbone["converged"] for backbone in entry["certificate"]["backbones"].values())
        picked = [out / "pictures" / "pool" / name for name in table["item_id"].to_pylist()]
        assert all(path.is_file() for path in picked)


def test_summary_agrees_with_the_table(done: tuple[Path, Result]) -> None:
    out, _ = done
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    table = pq.read_table(out / "results.parquet").to_pandas()
    for row in summary["scores"]:
        here = table[(table.strategy == row["strategy"]) & (table.budget == row["budget"])]
        assert abs(here[row["metric"]].mean() - row["mean"]["mean"]) <= 1e-12
    words = {row["verdict"] for row in summary["scores"] if row["strategy"] != "random"}
    assert words <= {"better", "worse", "no difference found"}
    assert summary["pictures"] == {"pool": 1198, "held-out": 599}


def test_running_again_reuses_the_store_and_prints_the_same_numbers_as_json(
    done: tuple[Path, Result],
) -> None:
    out, _ = done
    shards = {path: path.stat().st_mtime_ns for path in sorted((out / "store").rglob("*.npy"))}
    assert len(shards) == 3
    before = (out / "results.parquet").read_bytes()
    result = run(out, "--json")
    assert json.loads(result.stdout) == json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert "trained before" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in shards} == shards
    assert (out / "results.parquet").read_bytes() == before


def test_a_fresh_run_with_the_same_seed_gives_the_same_table(done: tuple[Path, Result], tmp_path: Path) -> None:
    out, _ = done
    run(tmp_path / "again")
    assert (tmp_path / "again" / "results.parquet").read_bytes() == (out / "results.parquet").read_bytes()


def test_another_seed_for_the_same_folder_is_refused(done: tuple[Path, Result]) -> None:
    out, _ = done
    with pytest.raises(InvalidInput, match="was made with --seed 0, --epochs 2, now asked for --seed 1, --epochs 2"):
        claim_folder(out, seed=1, epochs=2)


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InvalidInput, match=r"was not made by quickstart \(no settings.json\)"):
        claim_folder(tmp_path, seed=0, epochs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_out_that_cannot_be_made_is_a_clear_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput, match=r"cannot be written: Not a directory\. Give another --out"):
        claim_folder(tmp_path / "file" / "below", seed=0, epochs=1)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0,50", "must be different numbers in 10..1198"),
        ("50,50", "must be different"),
        ("a", "whole numbers like"),
    ],
)
def test_bad_budgets(tmp_path: Path, value: str, words: str) -> None:
    result = CliRunner().invoke(cli, ["quickstart", "--out", str(tmp_path / "x"), "--budgets", value])
    assert result.exit_code == 2
    assert words in result.output
    assert not (tmp_path / "x").exists()


def test_missing_packages_are_named_with_the_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import importlib.util

    real = importlib.util.find_spec
    absent = ("torch", "sklearn")
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: None if name in absent else real(name, package),
    )
    with pytest.raises(MissingDependency) as caught:
        load_packages()
    assert "not installed: torch, scikit-learn." in str(caught.value)
    assert 'pip install "oneglance[quickstart]"' in str(caught.value)
    with pytest.raises(MissingDependency):
        run(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_pictures_are_the_digits_and_training_sees_the_pool_only(tmp_path: Path) -> None:
    from PIL import Image

    pictures, classes, held_out = load_digits()
    assert write_digits(tmp_path) == {"pool": 1198, "held-out": 599}
    assert np.array_equal(np.asarray(Image.open(tmp_path / "held-out" / "2" / "digit_0002.png")), pictures[2])
    assert classes[2] == 2
    assert held_out[2]
    assert np.array_equal(pool_pixels()[:, 0], (pictures[~held_out] / np.float32(255)).astype(np.float32))
    shutil.rmtree(tmp_path / "pool" / "7")
    (tmp_path / "pool" / "0" / "digit_0000.png").write_bytes(b"torn")
    write_digits(tmp_path)
    assert len(list((tmp_path / "pool").rglob("*.png"))) == 1198
    assert np.array_equal(np.asarray(Image.open(tmp_path / "pool" / "0" / "digit_0000.png")), pictures[0])


def test_both_lewis_rows_have_the_same_picks(done: tuple[Path, Result]) -> None:
    out, _ = done
    pool = read_split({part: open_store(out / name) for part, name in _stores()}).pool
    pickers = quickstart_pickers()
    weighted, plain = (pickers[name](pool, 20, 5) for name in ("lewis", "lewis_unweighted"))
    assert (weighted.indices == plain.indices).all()
    assert weighted.weights is not None
    assert plain.weights is None


def test_conclusions_follow_the_intervals() -> None:
    """A made-up table in which k-means wins, Lewis loses at one budget, and nothing differs at the other."""
    from oneglance.evaluation import Comparison

    wobble = np.tile([-0.01, 0.0, 0.01], 4)
    strategies = np.repeat(["random", "kmeans", "lewis", "lewis_unweighted"], 6)
    budgets = np.tile(np.repeat([20, 60], 3), 4)
    level = {"random": (0.5, 0.6), "kmeans": (0.7, 0.8), "lewis": (0.3, 0.6), "lewis_unweighted": (0.5, 0.6)}
    base = np.array([level[s][int(b == 60)] for s, b in zip(strategies, budgets, strict=True)])
    noise = np.where(strategies == "random", 0, 1) * np.r_[wobble, wobble]
    made = Comparison(
        strategy=strategies,
        budget=budgets,
        seed=np.tile([0, 1, 2], 8),
        backbone=np.repeat("a", 24),
        accuracy=base + noise,
        mse=1 - base + noise,
        pool_mse=np.full(24, 0.5),
        ceiling={"accuracy": 0.9, "mse": 0.1, "pool_mse": 0.1},
    )
    assert conclusions(made) == [
        "k-means against random: accuracy better at 20 and 60; held-out error better at 20 and 60; "
        "pool error no difference found at 20 and 60 labels.",
        "Lewis against random: accuracy worse at 20, no difference found at 60; held-out error worse at 20, "
        "no difference found at 60; pool error no difference found at 20 and 60 labels.",
        "Lewis against k-means: accuracy worse at 20 and 60; held-out error worse at 20 and 60; "
        "pool error no difference found at 20 and 60 labels.",
    ]


def _stores() -> list[tuple[str, str]]:
    from oneglance.evaluation.quickstart import STORES

    return list(STORES.items())


@pytest.mark.parametrize("path", sorted((REPO / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
