"""What people write in NumPy today. Correct, idiomatic, and as fast as plain NumPy allows."""

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
