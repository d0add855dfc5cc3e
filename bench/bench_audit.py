"""Audit: near duplicates against a blocked search, permutations against recomputing, scores of pictures against NumPy,
and the share of decoding."""

import os

import numpy as np
import pytest
from PIL import Image

import oneglance as og
from baselines import mmd_by_gathering, mmd_by_recomputing, near_blocked
from cases import SHRINK, clustered
from oneglance._types import RowShards
from oneglance.auditing.mmd import mmd
from oneglance.auditing.near import near_rows
from oneglance.auditing.picture_scores import PictureScores, picture_scores
from picture_scores_numpy import picture_scores_numpy

N_ROWS, N_DIMS, COSINE = 200_000 // SHRINK, 384, 0.95
N_SIDE = 5000 // SHRINK
N_PICTURES = 10_000 // SHRINK
_SHARE = 20
"""The blocked search does every 20th block of rows; its seconds are scaled to all."""


def rows_with_near_ones(spread):
    """(N_ROWS, N_DIMS) float32: kinds of that spread, or none (inf), and 2 % of the rows near another one."""
    rows = clustered(N_ROWS, N_DIMS, 500, spread=min(spread, 1e6))
    if not np.isfinite(spread):
        rows /= 1e6
    rng = np.random.default_rng(1)
    one, other = rng.permutation(N_ROWS)[: 2 * (N_ROWS // 50)].reshape(2, -1)
    length = np.linalg.norm(rows[other], axis=1, keepdims=True) / np.sqrt(N_DIMS)
    noise = rng.standard_normal((one.size, N_DIMS), dtype=np.float32)
    rows[one] = rows[other] + rng.uniform(0, 0.32, (one.size, 1)).astype(np.float32) * length * noise
    return rows


@pytest.mark.parametrize(("kinds", "spread"), [("500 kinds", 1.0), ("no kinds", np.inf)])
def test_near_duplicates(kinds, spread, versus, benchmark):
    """Baseline: blocked products of unit rows in NumPy, upper triangle. Recall: its pairs that ended in one group."""
    rows = rows_with_near_ones(spread)
    shards, used = RowShards((rows,)), np.ones(N_ROWS, dtype=bool)
    found = near_rows(shards, used, COSINE)
    one, other = near_blocked(rows, COSINE, every=1 if SHRINK > 1 else 4)
    recall = float((found.groups[one] == found.groups[other]).mean())
    assert one.size > 100
    assert recall >= 0.99, recall
    benchmark.extra_info.update(recall=recall, pairs=int(one.size), exact=found.exact, cells=found.n_cells)
    versus(
        f"near duplicates, {N_ROWS} x {N_DIMS}, cosine {COSINE}, {kinds}, recall {recall:.4f}",
        lambda: near_rows(shards, used, COSINE),
        lambda: near_blocked(rows, COSINE, every=_SHARE),
        scale=_SHARE,
        rounds=2,
        at_least=5,
    )


@pytest.mark.parametrize("baseline", ["kernel anew", "stored kernel"])
def test_mmd_permutations(baseline, versus):
    """500 permutations of 5000 + 5000 rows. Baselines: the kernel computed anew for each (two of them, times 250), or
    gathered from one stored matrix of N x N (ten, times fifty)."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((N_SIDE, 256), dtype=np.float32) for _ in range(2))
    n = 500
    ours = mmd(x[:300], y[:300], permutations=99)
    theirs = mmd_by_gathering(x[:300], y[:300], ours.width2, 1)[0]
    np.testing.assert_allclose(ours.mmd2, theirs, atol=1e-6)
    one = {
        "kernel anew": lambda: mmd_by_recomputing(x, y, ours.width2, n // 250),
        "stored kernel": lambda: mmd_by_gathering(x, y, ours.width2, n // 50),
    }[baseline]
    versus(
        f"MMD, {n} permutations, {N_SIDE} + {N_SIDE} x 256 ({baseline})",
        lambda: mmd(x, y, permutations=n),
        one,
        scale=250 if baseline == "kernel anew" else 50,
        rounds=2,
        at_least=10,
    )


@pytest.mark.parametrize("side", [32, 64])
def test_picture_scores(side, versus):
    """Scores of decoded pictures, one after the other. Baseline: NumPy, 16,384 pixels at a time."""
    pictures = np.random.default_rng(0).integers(0, 256, (2048 // SHRINK, side, side, 3), dtype=np.uint8)
    pixels = [picture.tobytes() for picture in pictures]
    each = (1 << 14) // side**2

    def ours():
        return [picture_scores(rgb, side, side) for rgb in pixels]

    def theirs():
        return [picture_scores_numpy(pictures[i : i + each]) for i in range(0, len(pictures), each)]

    parts = theirs()
    for name, values in zip(PictureScores._fields, zip(*ours(), strict=True), strict=True):
        np.testing.assert_allclose(values, np.concatenate([part[name] for part in parts]), rtol=1e-12)
    versus(f"scores of {len(pixels)} pictures of {side} x {side}", ours, theirs, at_least=2)


@pytest.mark.parametrize("side", [32, 96])
def test_decoding_dominates(side, tmp_path, benchmark):
    """Share of reading and decoding in an audit of small JPEGs, in one process; the target is 0.7 or more."""
    rng = np.random.default_rng(0)
    for i in range(N_PICTURES):  # a scene and a camera's noise
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        scene = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
        seen = scene + 10 * rng.standard_normal(scene.shape)
        Image.fromarray(seen.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{i:05d}.jpg", quality=90)
    found = benchmark.pedantic(lambda: og.audit(os.fspath(tmp_path), workers=0), rounds=3)
    assert found.find("unreadable") is None
    share = found.seconds["decoding"] / found.seconds["all"]
    benchmark.extra_info.update(
        case=f"audit of {N_PICTURES} JPEGs of {side} x {side}", decoding_share=share, target=">= 0.7", met=share >= 0.7
    )
    print(f"\naudit of {N_PICTURES} JPEGs of {side} x {side}: decoding {share:.0%} of {found.seconds['all']:.1f} s")
