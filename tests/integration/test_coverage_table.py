"""The table of docs/coverage.md: its measures by plain NumPy, its picks, and that the page holds what was printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from oneglance.evaluation import Scaling, fit_ridge_head, one_hot

pytest.importorskip("sklearn", reason="the table's AUROC comes from scikit-learn")

import coverage_table as table
from coverage_measures import CELL_PENALTY, MEASURES, Measures
from coverage_pools import SHARED, cifar10, magnetic_tile, tiny100

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results" / "coverage.json"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"real features are not on this machine ({SHARED})")
BUDGETS = (3, 7)


@pytest.fixture(scope="module")
def tiles():
    return magnetic_tile().first(40, 30, BUDGETS)


def cosine_distances(a, b):
    a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a.astype(float), b.astype(float)))
    return 1 - a @ b.T


def ridge(X, y, penalty):
    """Weights and intercept of mean |X w + b - y|^2 + penalty |w|^2."""
    centred = X - X.mean(axis=0)
    form = centred.T @ centred / len(X) + penalty * np.eye(X.shape[1])
    w = np.linalg.solve(form, centred.T @ (y - y.mean(axis=0)) / len(X))
    return w, y.mean(axis=0) - X.mean(axis=0) @ w


@needs_shared
@pytest.mark.parametrize("picks", [[0, 5, 17, 33], [39], list(range(40))])
def test_measures_equal_their_definitions(tiles, picks):
    found = Measures(tiles)(np.array(picks))
    cells, test = tiles.cells, tiles.test
    owner = np.repeat(np.arange(40), 49)
    mine = np.isin(owner, picks)
    distance = cosine_distances(cells.rows, cells.rows[mine])
    globals_ = cells.rows.reshape(40, 49, -1).mean(axis=1)
    assert found["radius"] == pytest.approx(distance.min(axis=1).max(), abs=2e-6)
    assert found["mean"] == pytest.approx(distance.min(axis=1).mean(), abs=2e-6)
    between = cosine_distances(globals_, globals_[picks])
    assert found["global_radius"] == pytest.approx(between.min(axis=1).max(), abs=2e-6)

    defect = np.flatnonzero(cells.defect)
    assert defect.size > 20
    nearest = cells.defect[mine][distance[defect].argmin(axis=1)]
    nearest |= mine[defect]  # its own picture is picked: it is its own nearest cell
    assert found["covered"] == pytest.approx(nearest.mean(), abs=1e-12)
    assert found["inside"] == pytest.approx(mine[defect].mean(), abs=1e-12)

    scaling = Scaling.of(cells.rows)
    w, b = ridge(scaling.apply(cells.rows[mine]), cells.defect[mine].astype(float), CELL_PENALTY)
    score = scaling.apply(test.rows) @ w + b
    wins = score[test.defect][:, None] - score[~test.defect]
    assert found["auroc"] == pytest.approx(np.mean((wins > 1e-11) + 0.5 * (np.abs(wins) <= 1e-11)), abs=1e-4)

    scaling = Scaling.of(globals_)
    X, y = scaling.apply(globals_[picks]), one_hot(cells.labels[picks], 6)
    w, b = ridge(X, y, fit_ridge_head(X, y).penalty)
    guess = (scaling.apply(test.rows.reshape(30, 49, -1).mean(axis=1)) @ w + b).argmax(axis=1)
    assert found["accuracy"] == pytest.approx((guess == test.labels).mean(), abs=1e-12)
    per_class = [(guess == c)[test.labels == c].mean() for c in np.unique(test.labels)]
    assert found["balanced"] == pytest.approx(np.mean(per_class), abs=1e-12)


@needs_shared
def test_picks_without_a_defect_cover_none(tiles):
    clean = [i for i in range(40) if not tiles.cells.defect.reshape(40, 49)[i].any()][:3]
    found = Measures(tiles)(np.array(clean))
    assert (found["auroc"], found["covered"], found["inside"]) == (0.5, 0.0, 0.0)


@needs_shared
def test_ragged_pictures_are_measured_alike(tiles):
    """Dropping cells of a picture changes nothing but what these cells contribute."""
    cells = tiles.cells
    kept = np.ones(len(cells.rows), dtype=bool)
    kept[3:9] = False
    offsets = np.concatenate([[0], cells.offsets[1:] - 6])
    ragged = type(cells)(cells.rows[kept], offsets, cells.labels, cells.defect[kept])
    pool = type(tiles)(tiles.name, tiles.title, ragged, tiles.test, BUDGETS)
    found = Measures(pool)(np.array([0, 8]))
    mine = np.isin(ragged.owners(), [0, 8])
    distance = cosine_distances(ragged.rows, ragged.rows[mine]).min(axis=1)
    assert found["mean"] == pytest.approx(distance.mean(), abs=2e-6)
    assert found["inside"] == pytest.approx(mine[ragged.defect].mean(), abs=1e-12)


@needs_shared
@pytest.mark.parametrize("method", table.METHODS)
def test_methods_pick_by_seed_and_small_budgets_are_their_own(tiles, method):
    picks = table.METHODS[method](tiles)
    both = picks(BUDGETS, 1)
    assert {budget: len(np.unique(found)) for budget, found in both.items()} == {3: 3, 7: 7}
    assert picks((3,), 1)[3].tolist() == both[3].tolist()
    assert any(picks(BUDGETS, seed)[7].tolist() != both[7].tolist() for seed in range(2, 8))


@needs_shared
def test_tables_hold_what_was_measured(tiles):
    methods = {name: table.METHODS[name] for name in ("random", "farthest", "freesel")}
    found = json.loads(json.dumps(table.compare(tiles, methods, range(4), lambda text: None)))
    measures, picks_of = Measures(tiles), methods["freesel"](tiles)
    want = [measures(picks_of(BUDGETS, seed)[7])["mean"] for seed in range(4)]
    assert found["values"]["mean"]["freesel"]["7"] == pytest.approx(want, rel=1e-5)
    text = table.markdown({"tiles": found})
    assert f"| freesel | {np.mean(found['values']['mean']['freesel']['3']):.4f} [" in text
    gap = np.subtract(found["values"]["covered"]["freesel"]["3"], found["values"]["covered"]["farthest"]["3"])
    assert f"| covered, minus farthest | {gap.mean():+.3f} [" in text
    assert "40 pictures, 1960 cells" in text
    assert "minus k-means" not in text  # was not compared
    assert set(found["values"]) <= set(MEASURES)


@needs_shared
def test_tiny100_cells_are_dequantised():
    pool = tiny100()
    data = np.load(SHARED / "data" / "features" / "tiny100_spatial4x4__mnv2.npz")
    want = (data["Q_train"][7, 1, 2].astype(float) - int(data["zero_point"])) * float(data["scale"])
    assert np.allclose(pool.cells.rows[7 * 16 + 6], want, rtol=1e-6, atol=0)
    assert len(pool.cells) == 3000
    assert set(Measures(pool.first(20, 10, (2,)))(np.arange(2))) == {"accuracy", "radius", "mean", "global_radius"}


@needs_shared
def test_cifar10_cells_are_positions_of_the_map():
    pytest.importorskip("torch", reason="maps come from a TorchScript network")
    from PIL import Image

    from oneglance.features import extract, extract_patterns

    pool = cifar10(most=1)
    assert np.diff(pool.cells.offsets).tolist() == [16] * 10
    assert pool.cells.labels.tolist() == list(range(10))
    paths = sorted((SHARED / "data" / "images" / "cifar10" / "train").glob("*/*"))
    firsts = [Image.open(path).convert("RGB") for path in paths if path.name == "0000.jpg"]
    backbone = f"torchscript:{SHARED}/weights/mobilenet_v2_imagenet.pt?size=128&mean=0.5&std=0.5"
    assert np.allclose(pool.cells.means(), extract(backbone, firsts), rtol=1e-3, atol=1e-4)
    five = extract_patterns(backbone, firsts, 5)
    ours = pool.patterns(5)
    assert ours.offsets.tolist() == five.offsets.tolist()
    assert np.allclose(np.asarray(ours.rows), np.asarray(five.rows), rtol=1e-4, atol=1e-4)


def test_the_page_holds_what_the_command_prints(capsys):
    table.main(["--from", str(RESULTS)])
    page = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert printed.count("\n") > 60
    assert printed in page
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert {entry["n_seeds"] for entry in found.values()} == {20}
    assert {len(entry["budgets"]) for entry in found.values()} == {4}
