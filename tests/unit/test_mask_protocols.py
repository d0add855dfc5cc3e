"""The paper's kNN, probe and parts of labels."""

import numpy as np
import pytest

from oneglance import InvalidInput
from oneglance.masks.protocols import knn_hits, label_parts, probe_hits


def rows(n, seed, spread=2.0):
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % 3
    return rng.normal(size=(n, 5)) + spread * np.eye(5)[classes], classes


@pytest.mark.parametrize("k", [1, 7, 200])
def test_knn_is_its_definition(k):
    (known, classes), (asked, truth) = rows(60, 0), rows(21, 1)
    found = knn_hits(known, classes, asked, truth, k=k)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (asked, known))
    cosines = a @ b.T
    for row in range(21):
        near = np.argsort(-cosines[row])[:k]
        votes = [np.exp(cosines[row, near[classes[near] == c]] / 0.1).sum() for c in range(3)]
        assert found[row] == (np.argmax(votes) == truth[row])


def test_classes_may_be_strings():
    known, classes = rows(30, 0, 9.0)
    names = np.array(["x", "y", "z"])[classes]
    assert knn_hits(known, names, known, names, k=5).all()
    assert probe_hits(known, names, known, names).all()


def test_probe_learns_and_does_not_know_the_test_part():
    (known, classes), (asked, truth) = rows(90, 0), rows(300, 1)
    assert 0.7 < probe_hits(known, classes, asked, truth).mean() < 1
    assert abs(probe_hits(known, classes, asked, np.random.default_rng(3).permutation(truth)).mean() - 1 / 3) < 0.1


def test_parts_are_nested_and_the_same_every_time():
    parts = label_parts(400, [0.1, 0.04, 0.0025])
    assert [len(part) for part in parts] == [40, 16, 1]
    assert set(parts[2]) <= set(parts[1]) <= set(parts[0])
    assert np.array_equal(parts[0], label_parts(400, [0.1])[0])


def test_mistakes_are_named():
    known, classes = rows(6, 0)
    with pytest.raises(InvalidInput, match=r"truth must have one entry per row \(6\)"):
        knn_hits(known, classes, known, classes[:2])
    with pytest.raises(InvalidInput, match="shares must lie in"):
        label_parts(10, [10])
