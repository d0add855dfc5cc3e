"""What people write in NumPy today. Correct, idiomatic, and as fast as plain NumPy allows."""

import contextlib

import numpy as np


def leverage_qr(rows):
    """Leverage scores from a thin QR factorisation."""
    q, _ = np.linalg.qr(rows)
    return (q * q).sum(axis=1)


def lewis_step(rows, weights, p):
    """a_i' (A' W^(1-2/p) A)^-1 a_i for every row: Gram matrix, inverse, row-wise quadratic form."""
    scale = (weights ** (1 - 2 / p)).astype(rows.dtype)
    inverse = np.linalg.inv((rows.T * scale) @ rows)
    return np.einsum("ij,ij->i", rows @ inverse, rows)


def lewis_fixed_point(rows, p, n_steps):
    """The usual iteration w <- (a_i' G(w)^-1 a_i)^(p/2) (Cohen and Peng 2015), a given number of steps."""
    weights = np.full(len(rows), rows.shape[1] / len(rows))
    for _ in range(n_steps):
        weights = lewis_step(rows, weights, p).astype(np.float64) ** (p / 2)
    return weights


def lewis_steps_needed(rows, p, tol, most=1000):
    """Steps of the usual iteration until max |log r_i| <= tol, counted in float64."""
    rows = rows.astype(np.float64)
    weights = np.full(len(rows), rows.shape[1] / len(rows))
    for n_steps in range(1, most + 1):
        values = lewis_step(rows, weights, p)
        if np.abs(np.log(values) - 2 / p * np.log(weights)).max() <= tol:
            return n_steps
        weights = values ** (p / 2)
    raise AssertionError(f"the usual iteration did not reach {tol} in {most} steps at p={p}")


def farthest_loop(rows, n_picks):
    """Farthest-first, one reading of the rows per pick."""
    norms = np.einsum("ij,ij->i", rows, rows)
    picks = [0]
    nearest = np.full(len(rows), np.inf, dtype=rows.dtype)
    for _ in range(n_picks - 1):
        last = picks[-1]
        np.minimum(nearest, norms + norms[last] - 2 * (rows @ rows[last]), out=nearest)
        picks.append(int(nearest.argmax()))
    return picks


def freesel_loop(patterns, per_image, n_images, seed=0):
    """FreeSel's rule: draw a pattern by its squared cosine distance to the nearest chosen one; its image joins."""
    rng = np.random.default_rng(seed)
    unit = patterns / np.linalg.norm(patterns, axis=1, keepdims=True)
    picks = [int(rng.integers(len(unit) // per_image))]
    nearest = np.full(len(unit), np.inf, dtype=unit.dtype)
    for _ in range(n_images - 1):
        own = slice(picks[-1] * per_image, (picks[-1] + 1) * per_image)
        np.minimum(nearest, 1 - (unit @ unit[own].T).max(axis=1), out=nearest)
        nearest[own] = 0
        np.maximum(nearest, 0, out=nearest)
        weights = nearest.astype(np.float64) ** 2
        picks.append(int(rng.choice(len(unit), p=weights / weights.sum())) // per_image)
    return picks


def small_kmeans_torch(points, k, max_iter=100, tol=1e-4, seed=0):
    """k-means of all images at once with batched torch products: (images, m, d) -> (images, k, d)."""
    import torch

    x = torch.from_numpy(points)
    n_images, m, n_dims = x.shape
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(n_images, m, generator=generator).argsort(dim=1)[:, :k]
    centers = torch.gather(x, 1, first[:, :, None].expand(-1, -1, n_dims))
    for _ in range(max_iter):
        distance = (centers * centers).sum(2)[:, None, :] - 2 * torch.bmm(x, centers.transpose(1, 2))
        chosen = torch.nn.functional.one_hot(distance.argmin(2), k).to(x.dtype)
        counts = chosen.sum(1)[:, :, None]
        means = torch.bmm(chosen.transpose(1, 2), x) / counts.clamp(min=1)
        moved = torch.where(counts > 0, means, centers)
        shift = (moved - centers).norm(dim=2).sum(1)
        centers = moved
        if bool((shift * shift < tol).all()):
            break
    return centers.numpy()


def bilaf_scipy(rows, cores, n_picks, n_neighbors=10, growth=0.1, removal=0.1, penalty=1.1):
    """BiLAF's second stage as one writes it down: SciPy distances per class, NumPy loops over rounds and picks."""
    from scipy.spatial.distance import cdist

    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    to_cores = cdist(unit, unit[cores])
    labels = to_cores.argmin(axis=1)
    labels[cores] = np.arange(len(cores))
    kept, picks = [], []
    for i, core in enumerate(cores):
        members = np.flatnonzero(labels == i)
        distance = cdist(unit[members], unit[members])
        inside, step = [int(np.searchsorted(members, core))], max(1, int(growth * len(members)))
        while len(inside) < len(members):
            rest = np.setdiff1d(np.arange(len(members)), inside)
            near = np.sort(distance[np.ix_(rest, inside)], axis=1)[:, :n_neighbors]
            inside += rest[np.argsort(near.mean(axis=1), kind="stable")[:step]].tolist()
        kept.append(np.sort(members[inside[: len(members) - int(removal * len(members))]]))
    sizes = np.array([len(members) for members in kept])
    budgets = np.maximum(1, n_picks * sizes // sizes.sum())
    for i, (members, budget) in enumerate(zip(kept, budgets, strict=True)):
        distance = cdist(unit[members], unit[members])
        others = np.delete(to_cores[members], i, axis=1)
        intra, times = distance.mean(axis=1), np.zeros(others.shape[1])
        left, last = np.arange(len(members)), int(np.searchsorted(members, cores[i]))
        for _ in range(budget):
            picks.append(int(members[last]))
            left = left[np.argsort(distance[last, left], kind="stable")[len(members) // budget :]]
            if not len(left):
                break
            value = (penalty**times * others[left] - intra[left, None]) / np.maximum(others[left], intra[left, None])
            last = int(left[value.min(axis=1).argmin()])
            times[others[last].argmin()] += 1
    return picks


def kernel_coverage_stored(rows, n_picks, width):
    """Lazy greedy of the mean largest Gaussian kernel with the n x n kernel in memory."""
    import heapq

    norms = np.einsum("ij,ij->i", rows, rows)
    kernel = rows @ rows.T
    kernel *= 2
    kernel -= norms
    kernel -= norms[:, None]
    kernel /= width
    np.exp(kernel, out=kernel)
    covered = np.zeros(len(rows), dtype=rows.dtype)
    heap = [(-gain, row, 0) for row, gain in enumerate(kernel.sum(axis=1, dtype=np.float64))]
    heapq.heapify(heap)
    picks = []
    while len(picks) < n_picks:
        _, row, seen = heapq.heappop(heap)
        if seen < len(picks):
            fresh = np.maximum(kernel[row] - covered, 0).sum(dtype=np.float64)
            heapq.heappush(heap, (-fresh, row, len(picks)))
            continue
        picks.append(row)
        np.maximum(covered, kernel[row], out=covered)
    return picks


def lp_lbfgs(rows, targets, p, goal):
    """mean |A x - b|^p by SciPy's L-BFGS from least squares until the value is at most `goal`: value, evaluations."""
    from scipy.optimize import minimize

    count = 0

    def loss(x):
        nonlocal count
        count += 1
        off = rows @ x - targets
        size = np.abs(off)
        value = float((size**p).mean())
        best[0] = min(best[0], value)
        if value <= goal:
            raise StopIteration
        return value, rows.T @ (p / len(rows) * size ** (p - 1) * np.sign(off))

    best = [np.inf]
    start = np.linalg.solve(rows.T @ rows, rows.T @ targets)
    options = {"maxiter": 1000, "maxfun": 1500, "maxcor": 20, "ftol": 0.0, "gtol": 0.0}
    with contextlib.suppress(StopIteration):
        minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return best[0], count


def lp_irls(rows, targets, p, goal, most=200):
    """The same by iteratively reweighted least squares, damped by 1 / (p - 1) for p > 2, halved while it gets worse."""
    x = np.linalg.solve(rows.T @ rows, rows.T @ targets)
    off = rows @ x - targets
    value = float((np.abs(off) ** p).mean())
    for step in range(most):
        if value <= goal:
            return value, step
        weights = np.maximum(np.abs(off), 1e-10 * np.abs(off).max()) ** (p - 2)
        scaled = rows * weights[:, None]
        move = np.linalg.solve(scaled.T @ rows, scaled.T @ targets) - x
        length, turned = 1.0 / max(1.0, p - 1.0), rows @ move
        while float((np.abs(off + length * turned) ** p).mean()) > value and length > 1e-8:
            length /= 2
        x, off = x + length * move, off + length * turned
        value = float((np.abs(off) ** p).mean())
    return value, most


def near_blocked(rows, cosine, every=1, block=2048):
    """All pairs of rows of at least this cosine, by blocks of products of unit rows, each pair once.

    every  only each so-manieth block of rows does its work
    """
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    ones, others = [], []
    for start in range(0, len(unit), block * every):
        mine = unit[start : start + block]
        for column in range(start, len(unit), block):
            i, j = np.nonzero(mine @ unit[column : column + block].T >= cosine)
            later = start + i < column + j
            ones.append(start + i[later])
            others.append(column + j[later])
    return np.concatenate(ones), np.concatenate(others)


def _mmd2(kernel, n):
    m = len(kernel) - n
    within_x = (kernel[:n, :n].sum(dtype=np.float64) - n) / (n * (n - 1))
    within_y = (kernel[n:, n:].sum(dtype=np.float64) - m) / (m * (m - 1))
    return within_x + within_y - 2 * kernel[:n, n:].mean(dtype=np.float64)


def _kernel(rows, width2):
    squares = np.einsum("ij,ij->i", rows, rows)
    kernel = rows @ rows.T
    kernel *= -2
    kernel += squares[:, None]
    kernel += squares
    np.maximum(kernel, 0, out=kernel)
    kernel /= -width2
    np.exp(kernel, out=kernel)
    return kernel


def mmd_by_recomputing(x, y, width2, permutations, seed=0):
    """MMD^2 of the rows as they are and of permutations, the kernel matrix anew for each."""
    rows, rng = np.concatenate([x, y]), np.random.default_rng(seed)
    values = [_mmd2(_kernel(rows, width2), len(x))]
    return values + [_mmd2(_kernel(rng.permutation(rows), width2), len(x)) for _ in range(permutations - 1)]


def mmd_by_gathering(x, y, width2, permutations, seed=0):
    """The same from one stored kernel matrix, its rows and columns permuted."""
    kernel, rng = _kernel(np.concatenate([x, y]), width2), np.random.default_rng(seed)
    values = [_mmd2(kernel, len(x))]
    for _ in range(permutations - 1):
        order = rng.permutation(len(kernel))
        values.append(_mmd2(kernel[order][:, order], len(x)))
    return values
