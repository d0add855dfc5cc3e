"""What an audit must not say: alarms that chance, copies or odd numbers make."""

import numpy as np
import pytest
from PIL import Image

import oneglance as og
from oneglance._types import RowShards
from oneglance.auditing.against import _drawn_one_by_one
from oneglance.auditing.shift import shift
from oneglance.auditing.suitability import _hits_of_the_others_choice


def checks(found):
    return {one.check for one in found.findings}


def test_very_narrow_pictures_are_no_look_alikes():
    """Scored at 64 x 1 their hash is noise: different line scans were dropped, and taken for leakage."""
    rng = np.random.default_rng(0)

    def texture(height, width):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 40, 3), dtype=np.uint8))
        return coarse.resize((width, height), Image.Resampling.BICUBIC)

    scans = [texture(12, 900) for _ in range(60)]
    found = og.audit(scans[:40], against=scans[40:], workers=0)
    assert not checks(found) & {"near duplicates", "likely leakage", "leakage"}
    copies = og.audit([*scans, scans[3]], workers=0)
    assert copies.find("exact duplicates").rows.tolist() == [3, 60]
    square = [texture(96, 96) for _ in range(20)]
    again = [square[4].resize((64, 64), Image.Resampling.BOX)]
    assert og.audit([*square, *again], workers=0).find("near duplicates").rows.tolist() == [4, 20]


def test_pictures_of_16_bits_in_memory_differ_in_their_low_ones():
    rng = np.random.default_rng(0)
    deep = [Image.fromarray(rng.integers(0, 200, (40, 40)).astype(np.uint16)) for _ in range(5)]
    assert "exact duplicates" not in checks(og.audit(deep, workers=0))
    found = og.audit([*deep, deep[1].copy()], workers=0)
    assert found.find("exact duplicates").rows.tolist() == [1, 5]
    assert not deep[0].info, "what is the caller's stays as it was"


def test_a_pool_that_is_drawn_with_popular_items_is_not_shifted():
    """Distinct rows of a larger sample are rarer ones; equal rows counted once must not make that a shift."""
    rng = np.random.default_rng(1)
    items = rng.normal(size=(1500, 6))
    chance = np.exp(1.5 * items[:, 0])
    chance /= chance.sum()
    small = []
    for seed in range(30):
        draw = np.random.default_rng(100 + seed)
        parts = [items[draw.choice(1500, n, p=chance)] for n in (2000, 200)]
        shards = [RowShards((part,)) for part in parts]
        usable = [np.ones(len(part), dtype=bool) for part in parts]
        there = _drawn_one_by_one(shards[0], usable[0], shards[1], usable[1])
        assert all(np.unique(part[rows], axis=0).shape[0] == rows.size for part, rows in zip(parts, there, strict=True))
        small.append(shift(shards[0], there[0], shards[1], there[1], sample_rows=2000, permutations=199, seed=seed).p)
    assert np.mean(np.array(small) <= 0.05) <= 0.2  # it was 0.5 and more
    alone = RowShards((items,))
    every = np.ones(1500, dtype=bool)
    all_of_them = _drawn_one_by_one(alone, every, RowShards((items[:300],)), every[:300])
    assert [rows.size for rows in all_of_them] == [1500, 300]


def test_backbones_are_not_judged_by_copies():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(100, 32)), 4, axis=0)
    labels = np.repeat(rng.integers(0, 2, 100), 4)
    for noise in (0.0, 0.01):
        rows = x + noise * rng.normal(size=x.shape)
        told = og.audit(rows, labels=labels, near=0.99).metrics["features"]["features"]["suitability"]
        if noise:  # so many near ones are doubted, and count as rows of their own
            continue
        assert told["n_rows"] == 100
        assert told["probe_interval"][0] < 0.5 < told["probe_interval"][1]
        assert told["purity"] < 0.6
    few = np.concatenate([rng.normal(size=(380, 32)), x[:20:4] + 0.0, x[:20:4] + 1e-3])
    told = og.audit(few, labels=rng.integers(0, 2, 390)).metrics["features"]["features"]["suitability"]
    assert told["n_rows"] == 385


def test_the_penalty_of_a_probe_is_not_chosen_on_the_rows_that_it_is_judged_on():
    """Twenty penalties that guess: the best of them is right on 62 rows of 100, a choice by other folds on 50."""
    rng = np.random.default_rng(0)
    folds = np.arange(100) % 5
    found = [_hits_of_the_others_choice(rng.random((20, 100)) < 0.5, folds) for _ in range(300)]
    assert abs(np.mean(found) - 50) < 1
    sure = np.zeros((3, 100), dtype=bool)
    sure[1] = True
    assert _hits_of_the_others_choice(sure, folds) == 100


@pytest.mark.parametrize("odd", [1e200, -1e300])
def test_a_row_of_garbage_is_told_and_ends_nothing(odd):
    x = np.random.default_rng(0).normal(size=(300, 16))
    x[7] = odd
    found = og.audit(x, against=np.random.default_rng(1).normal(size=(100, 16)), permutations=199)
    assert found.find("infinite values").rows.tolist() == [7]
    assert found.exclude().tolist() == [7]
    assert og.audit(x * 1e-300 / odd).find("zeros only").n_items >= 299


def test_one_blank_picture_many_times_is_not_clipping():
    x = np.random.default_rng(0).normal(size=(1000, 64))
    x[:20] = 3 * x[0]
    assert "saturated columns" not in checks(og.audit(x))
    x[100:110, 5] = x[:, 5].max() + 0.5
    assert "feature of features stop" in og.audit(x).find("saturated columns").what


def test_the_next_of_a_group_stands_in_for_one_that_cannot_be_used():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 16)), rng.normal(size=(200, 16))
    a[1:11] = a[0] + 1e-3 * rng.normal(size=(10, 16))
    b[0] = np.nan
    found = og.audit({"a": a, "b": b})
    assert found.exclude().tolist() == [0, *range(2, 11)]
    assert set(found.find("near duplicates", "a").kept.tolist()) <= {0, 1}


def test_equal_rows_are_leakage_even_beside_others_of_their_direction():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 8)), rng.normal(size=(40, 8))
    x[11] = 2 * x[10]
    y[3] = x[11]
    found = og.audit(x, against=y, permutations=199)
    leak = found.find("leakage")
    assert leak.rows.tolist() == [11, 3]
