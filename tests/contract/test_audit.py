"""Every figure of an audit against its definition, on awkward inputs."""

import tracemalloc

import numpy as np
import pytest

from oneglance._types import RowShards
from oneglance.auditing.c2st import c2st
from oneglance.auditing.chance import chi2_tail, coins_tail, share_interval
from oneglance.auditing.clusters import _silhouette
from oneglance.auditing.frechet import frechet_distance, leading_directions
from oneglance.auditing.imbalance import BETAS, association, evenness
from oneglance.auditing.links import Groups, bit_count, hamming_links
from oneglance.auditing.missing import constant_columns, norm_outliers, read_rows, saturated_columns
from oneglance.auditing.mmd import mmd
from oneglance.auditing.near import cosines, equal_rows, near_rows, nearest_in
from oneglance.auditing.spectrum import spectrum
from oneglance.auditing.suitability import log_me, suitability
from oneglance.reference import imbalance as even_by_definition
from oneglance.reference import picture_scores as scores_by_definition
from oneglance.reference import shift as shift_by_definition
from oneglance.reference import suitability as suitability_by_definition

RNG = np.random.default_rng(7)


def rows_of(*shape, scale=1.0, offset=0.0):
    return scale * np.random.default_rng(sum(shape)).normal(size=shape) + offset


@pytest.mark.parametrize("most", [0, 1, 4, 9, 16])
def test_hamming_links(most):
    rng = np.random.default_rng(most)
    hashes = rng.integers(0, 2**64, 120, dtype=np.uint64)
    for i in range(0, 60, 2):  # near ones, repeats, chains
        flips = rng.choice(64, rng.integers(0, 12), replace=False)
        hashes[i + 1] = hashes[i] ^ np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64), initial=np.uint64(0))
    hashes[100:110] = hashes[0]
    groups = Groups(hashes.size)
    for one, other in hamming_links(hashes, most):
        groups.link(one, other)
    assert groups.lowest().tolist() == scores_by_definition.hamming_groups([int(h) for h in hashes], most)
    assert bit_count(hashes).tolist() == [bin(int(h)).count("1") for h in hashes]


def test_links_of_hashes_that_are_all_alike_come_in_blocks():
    """Every pair of n hashes is near: together they would be n^2 numbers, of 50,000 some hundred GB."""
    bits = np.random.default_rng(0).integers(0, 16, (600, 4)).astype(np.uint64)
    hashes = np.unique(np.bitwise_or.reduce(np.uint64(1) << bits, axis=1))
    blocks = list(hamming_links(hashes, 16))
    assert max(one.size for one, _ in blocks) <= hashes.size
    assert sum(one.size for one, _ in blocks) > 20 * hashes.size


def test_groups_by_links_in_any_order():
    n = 400
    one, other = RNG.integers(0, n, 300), RNG.integers(0, n, 300)
    groups = Groups(n)
    for start in range(0, 300, 70):
        groups.link(one[start : start + 70], other[start : start + 70])
    want = np.arange(n)
    for a, b in zip(one, other, strict=True):
        want[want == max(want[a], want[b])] = min(want[a], want[b])
    assert groups.lowest().tolist() == want.tolist()
    chain = Groups(1000)
    chain.link(np.arange(999), np.arange(1, 1000))
    assert not chain.lowest().any()


@pytest.mark.parametrize("counts", [[5, 0, 30, 100], [1], [7, 7, 7], [1, 1, 1, 1, 1000]])
def test_evenness(counts):
    found = evenness(np.array(counts))
    assert found["entropy"] == pytest.approx(even_by_definition.entropy(counts), abs=1e-12)
    assert found["gini"] == pytest.approx(even_by_definition.gini(counts), abs=1e-12)
    for beta in BETAS:
        want = even_by_definition.effective_samples(counts, beta)
        assert found["effective_samples"][f"{beta:g}"] == pytest.approx(want, rel=1e-9)
    assert found["inverse_simpson"] <= found["effective_clusters"] * (1 + 1e-12) <= len(counts) * (1 + 1e-9)
    assert found["ratio"] == (None if 0 in counts else max(counts) / min(counts))


def test_association():
    clusters = RNG.integers(0, 4, 600)
    values = [f"s{c // 2}" if u < 0.6 else "other" for c, u in zip(clusters, RNG.random(600), strict=True)]
    table = np.zeros((4, 3))
    for c, value in zip(clusters, values, strict=True):
        table[c, sorted(set(values)).index(value)] += 1
    nmi, _, chi2 = even_by_definition.mutual_information(table)
    found = association(clusters, values, 0)
    assert found.nmi == pytest.approx(nmi, rel=1e-9)
    assert found.chi2 == pytest.approx(chi2, rel=1e-9)
    assert found.dof == 6
    assert found.p < 1e-30
    assert association(clusters, ["one"] * 600, 0) is None
    assert association(clusters, [None] * 600, 0) is None
    assert association(clusters, [str(i) for i in range(600)], 0) is None  # names items
    few = association(np.repeat([0, 1], 10), ["a"] * 9 + ["b"] + ["b"] * 10, 0)
    assert few.p_from == "999 shuffles"
    assert few.p <= 0.01


def test_one_long_text_does_not_widen_all():
    """4,000 entries as wide as one of 100,000 letters would be 1.6 GB."""
    values = [("a", "b")[i % 2] for i in range(4_000)]
    values[5] = "x" * 100_000
    tracemalloc.start()
    found = association(np.arange(4_000) // 2 % 2, values, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.n_values == 3
    assert peak < 20e6


def test_silhouettes():
    metrics = pytest.importorskip("sklearn.metrics")
    x = rows_of(90, 4)
    x[:30] += 4
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    x[5], x[7] = x[6], x[6]
    distances = 1 - unit @ unit.T
    np.fill_diagonal(distances, 0)
    for k in (2, 3, 7):
        labels = np.arange(90) % k
        labels[3] = k - 1
        want = metrics.silhouette_score(np.maximum(distances, 0), labels, metric="precomputed")
        assert _silhouette(np.maximum(distances, 0), labels, k) == pytest.approx(want, abs=1e-9)
        assert _silhouette(np.maximum(distances, 0), labels, k + 2) == pytest.approx(want, abs=1e-9)  # empty clusters


def test_probabilities():
    stats = pytest.importorskip("scipy.stats")
    for x, dof in ((0.0, 3), (1e-3, 1), (3, 20), (30, 20), (300, 4), (1000, 900), (5, 1)):
        assert chi2_tail(x, dof) == pytest.approx(stats.chi2.sf(x, dof), rel=1e-9)
    for n, least in ((10, 3), (1001, 540), (7, 7), (5, 6), (5, 0), (4000, 1990)):
        assert coins_tail(n, least) == pytest.approx(stats.binom.sf(least - 1, n, 0.5), rel=1e-9, abs=1e-300)
        assert coins_tail(n, least) == pytest.approx(shift_by_definition.binomial_tail(n, least), rel=1e-12)
    low, high = share_interval(8, 10)
    assert (low, high) == pytest.approx((0.4901625, 0.9433178), rel=1e-4)


@pytest.mark.parametrize("kind", ["plain", "huge", "tiny", "offset", "twins"])
def test_mmd(kind):
    permutations = 99
    scale, offset = {"huge": (1e100, 0), "tiny": (1e-100, 0), "offset": (1, 50)}.get(kind, (1, 0))
    x, y = rows_of(40, 7, scale=scale, offset=offset), rows_of(31, 7, scale=scale, offset=offset) + 0.3 * scale
    if kind == "twins":
        x[:20] = x[0]
    found = mmd(x, y, permutations=permutations)
    assert found.mmd2 == pytest.approx(shift_by_definition.mmd2(x, y, found.width2), rel=1e-9, abs=1e-11)
    assert found.shuffled.shape == (permutations,)
    assert found.p == (1 + np.sum(found.shuffled >= found.mmd2 - 1e-12)) / (1 + permutations)


def test_mmd_in_float32_of_many_rows():
    x, y = rows_of(1500, 5), rows_of(1400, 5) + 0.05
    found = mmd(x, y, permutations=99)
    assert found.mmd2 == pytest.approx(shift_by_definition.mmd2(x, y, found.width2), abs=2e-7)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 45, 9), (9, 11, 14), (30, 4, 3), (50, 50, 1)])
def test_frechet(n, m, d):
    x, y = rows_of(n, d), 2 * rows_of(m, d) + 1
    assert frechet_distance(x, y) == pytest.approx(shift_by_definition.frechet(x, y), rel=1e-6)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("n", "d", "rank"), [(60, 200, 10), (200, 60, 10), (40, 90, 39), (12, 30, 0), (12, 3, 0)])
def test_leading_directions_are_those_in_which_rows_vary(n, d, rank):
    """Rows of low rank: rounding spans no directions (divided by its square root it gave some 1e140 long)."""
    rows = rows_of(n, max(rank, 1)) @ rows_of(max(rank, 1), d) if rank else np.full((n, d), 0.1)
    mean, directions = leading_directions(rows, 128)
    k = min(rank, n - 1)
    assert directions.shape == (d, max(1, k))
    np.testing.assert_allclose(directions.T @ directions, np.eye(max(1, k)), atol=1e-8)
    centred = rows - mean
    np.testing.assert_allclose(centred @ directions @ directions.T, centred, atol=1e-8 * np.abs(rows).max())


@pytest.mark.parametrize(("n", "d"), [(80, 24), (20, 60), (700, 13)])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_spectrum(n, d, scale):
    rows = rows_of(n, d, scale=scale) @ np.diag(np.logspace(0, -1, d)) + 0.3 * scale
    found = spectrum(rows)
    assert found.rank_me == pytest.approx(suitability_by_definition.rank_me(rows), rel=1e-6)
    assert found.vendi == pytest.approx(even_by_definition.vendi(rows), rel=1e-6)
    unit = rows / scale
    assert found.participation == pytest.approx(suitability_by_definition.participation_ratio(unit), rel=1e-9)
    if n > d:
        want = suitability_by_definition.alpha_req(unit)
        assert found.alpha_req == (pytest.approx(want, rel=1e-9) if d >= 12 else None)


def test_spectrum_of_collapsed_and_spread_rows():
    assert spectrum(np.ones((50, 16)) + 1e-3 * rows_of(50, 16)).spread < 0.01
    assert spectrum(rows_of(500, 16)).spread > 0.95
    assert spectrum(np.ones((5, 3), dtype=np.float16)).participation == 1.0


@pytest.mark.parametrize(("n", "d"), [(90, 12), (10, 20)])
def test_suitability(n, d):
    x, codes = rows_of(n, d), np.arange(n) % 3
    x[:, 0] += codes
    assert log_me(x, codes, 3) == pytest.approx(suitability_by_definition.log_me(x, codes, 3), rel=1e-6)
    found = suitability(x.astype(np.float32), codes, 3)
    k = min(10, n - 1)
    assert found.purity == pytest.approx(suitability_by_definition.purity(x.astype(np.float32), codes, k), abs=1e-12)
    assert found.probe_interval[0] <= found.probe <= found.probe_interval[1]


def brute_groups(x, cosine):
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    one, other = np.nonzero(np.triu(unit @ unit.T >= cosine, 1))
    groups = Groups(len(x))
    groups.link(one, other)
    return groups.lowest()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("n", [2, 65, 700])
def test_near_rows_in_one_cell(n, dtype):
    x = rows_of(n, 12)
    x[n // 2 :] = x[: n - n // 2] + 0.2 * RNG.normal(size=(n - n // 2, 12))
    x = x.astype(dtype)
    used = np.ones(n, dtype=bool)
    found = near_rows(RowShards((x[: n // 3], x[n // 3 :])), used, 0.95)
    assert found.exact
    assert found.n_cells == 1
    assert found.near_found == found.near_checked
    assert found.groups.tolist() == brute_groups(x, 0.95).tolist()


def test_near_rows_over_many_cells():
    """Without clusters, the hardest case: rows at the borders of cells must meet."""
    x = rows_of(6000, 64).astype(np.float32)
    x[:600] = x[600:1200] + 0.2 * RNG.normal(size=(600, 64))
    used = np.ones(6000, dtype=bool)
    used[5990:] = False
    x[5990:] = np.nan
    found = near_rows(RowShards((x,)), used, 0.95)
    want = brute_groups(x[:5990], 0.95)
    paired = np.flatnonzero(want != np.arange(5990))
    assert paired.size > 500
    assert (found.groups[paired] == want[paired]).mean() >= 0.99
    assert found.groups[5990:].tolist() == list(range(5990, 6000))
    assert found.n_cells > 1


def test_separated_clusters_are_searched_exactly():
    centers = 20 * rows_of(12, 30)
    x = centers[RNG.integers(0, 12, 5000)] + RNG.normal(size=(5000, 30))
    found = near_rows(RowShards((x,)), np.ones(5000, dtype=bool), 0.9999)
    assert found.groups.tolist() == brute_groups(x, 0.9999).tolist()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_equal_rows(dtype):
    x = RNG.integers(-3, 4, (300, 3)).astype(dtype)
    used = RNG.random(300) < 0.9
    found = equal_rows(RowShards((x[:100], x[100:])), used)
    for i in range(300):
        same = [j for j in range(i) if used[j] and used[i] and (x[j] == x[i]).all()]
        assert found[i] == (same[0] if same else i)


def test_nearest_of_another_pool():
    x, y = rows_of(50, 6), rows_of(20, 6)
    y[3], y[4] = 5 * x[7], np.nan
    used, others = np.ones(50, dtype=bool), np.ones(20, dtype=bool)
    others[4], used[9] = False, False
    found, cosine = nearest_in(RowShards((x,)), used, RowShards((y,)), others)
    assert found[3] == 7
    assert cosine[3] == pytest.approx(1)
    assert found[4] == -1
    assert np.isnan(cosine[4])
    unit = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y)]
    unit[0] = np.delete(unit[0], 9, axis=0)
    want = (unit[0] @ np.delete(unit[1], 4, axis=0).T).max(axis=0)
    np.testing.assert_allclose(np.delete(cosine, 4), want, atol=1e-12)
    np.testing.assert_allclose(cosines(RowShards((x,)), np.array([1]), np.array([2])), [unit[0][1] @ unit[0][2]])


def test_reading_of_rows():
    x = rows_of(9000, 5).astype(np.float32)
    x[3, 1], x[8000, 1], x[8000, 4] = np.nan, np.nan, np.nan
    x[:, 2] = 4.0
    x[5, 0], x[6] = np.inf, 0.0
    x[:, 3] = np.minimum(x[:, 3], 0.5)
    x[10] *= 1000
    valid = np.ones(9000, dtype=bool)
    valid[20] = False
    x[20] = np.nan
    found = read_rows(RowShards((x[:4000], x[4000:])), valid)
    assert np.flatnonzero(found.nan).tolist() == [3, 8000]
    assert np.flatnonzero(found.inf).tolist() == [5]
    assert np.flatnonzero(found.zero).tolist() == [6]
    assert np.flatnonzero(~found.usable).tolist() == [3, 5, 6, 8000]
    assert found.column_nan.tolist() == [0, 2, 0, 0, 1]
    assert sum(found.patterns.values()) == 2
    good = valid & (found.nan == 0) & (found.inf == 0)
    np.testing.assert_allclose(found.norms[good], np.linalg.norm(x[good].astype(np.float64), axis=1), rtol=1e-6)
    assert np.isnan(found.norms[~good]).all()
    low = np.nanmin(np.where(np.isfinite(x), x, np.nan)[valid], axis=0)
    np.testing.assert_array_equal(found.low, low)
    x[6] = x[7]
    whole = read_rows(RowShards((x,)), valid)
    assert constant_columns(whole).tolist() == []  # row 10 is larger
    assert saturated_columns(whole, 8999).tolist() == [2, 3]  # nearly all rows share the least, the largest value
    x[10] /= 1000
    whole = read_rows(RowShards((x,)), valid)
    assert constant_columns(whole).tolist() == [2]
    assert saturated_columns(whole, 8999).tolist() == [3]


def test_every_row_of_a_common_pattern_counts():
    x = rows_of(9000, 8)
    x[:6000, 3], x[7000] = np.nan, np.nan
    assert sorted(read_rows(RowShards((x,)), np.ones(9000, dtype=bool)).patterns.values()) == [1, 6000]


def test_norm_outliers_of_unit_rows_and_of_a_giant():
    unit = np.ones(100) + 1e-6 * RNG.normal(size=100)
    assert norm_outliers(unit)[0].size == 0
    unit[7], unit[9] = 3.0, np.nan
    assert norm_outliers(unit)[0].tolist() == [7]
    assert norm_outliers(np.full(4, np.nan))[0].size == 0


def test_classifier_sees_a_shift_and_names_its_rows():
    x, y = rows_of(400, 8), rows_of(401, 8)
    y[:, 2] += 1.5
    found = c2st(x, y)
    assert found.p < 1e-6
    assert found.correct == round(found.accuracy * found.n_test)
    assert found.interval[0] > 0.5
    assert np.corrcoef(y[found.rows_y, 2], found.odds_y)[0, 1] > 0.8
    assert found.p == coins_tail(found.n_test, found.correct)
