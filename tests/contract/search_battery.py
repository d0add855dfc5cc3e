"""Digests of every distance answer with the active instruction set, one line per case.

Run in a process of its own per ONEGLANCE_ISA: the set is chosen once, at import.
Usage: python search_battery.py
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from pools import cases

import oneglance as og
from oneglance import _core


def digest(*arrays):
    return hashlib.blake2b(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays), digest_size=8).hexdigest()


def answers(x, metric):
    """Name -> digest of everything that must not depend on threads, panels, shards or instruction set."""
    n = len(x)
    near = og.nearest(x[: min(n, 40)], x, k=min(n, 4), metric=metric)
    far = og.farthest_points(x, min(n, 50), metric=metric, assign=True)
    draw = og.weighted_draw(x, min(n, 50), metric=metric, gamma=1.5, seed=3, assign=True)
    yield "nearest", digest(near.indices, near.distances)
    for name, cover in (("farthest", far), ("draw", draw)):
        yield name, digest(cover.indices, cover.radii, cover.rows, cover.row_distance, cover.row_nearest)


def main():
    print("isa", _core.build_info()["isa_active"])
    for name, x in cases():
        for metric in ("sqeuclidean", "cosine"):
            for kind, value in answers(x, metric):
                print(f"{name}/{metric}/{kind}", value)


if __name__ == "__main__":
    main()
