"""What a person reads when og.audit refuses an input."""

import numpy as np
import pytest

import oneglance as og


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(60, 5))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"near": 1.0}, r"near is a cosine below 1, got 1\. Rows that are equal are always found\."),
        ({"near": -0.5}, "near must be a finite number > 0, got -0.5"),
        ({"hamming": 17}, r"hamming must be an integer in 0\.\.16 \(of 64 bits\), got 17\."),
        ({"hamming": True}, r"hamming must be an integer in 0\.\.16"),
        ({"permutations": 50}, "permutations must be at least 199, for p values of 0.01 and less after doubling"),
        ({"sample_rows": 7}, "sample_rows must be at least 100, got 7"),
        ({"clusters": 1001}, "clusters must be at most 1000, the rows of the sample that finds them, got 1001"),
        ({"clusters": 0}, "clusters must be an integer >= 1, got 0"),
        ({"seed": -1}, "seed must be an integer"),
        ({"labels": "kind"}, r"labels: the pool has no column 'kind', only \[\]\."),
        ({"labels": ["cat"] * 60}, "labels hold one class only, 'cat': suitability needs two"),
        ({"labels": ["cat"] * 7}, "labels must have one entry per pick"),
        ({"labels": {0: "cat", 1: "", 2: -1, 3: float("nan")}}, "labels hold one class only, 'cat'"),
        ({"columns": {"site": "a" * 60}}, "columns: 'site' must have one entry per item .60., got the text 'aaaa"),
        ({"columns": {"site": ["a"]}}, r"columns: 'site' must have one entry per item \(60\), got 1\."),
        ({"backbones": ["vit"]}, "backbones must be among"),
    ],
)
def test_arguments(x, arguments, words):
    with pytest.raises(og.InvalidInput, match=words):
        og.audit(x, **arguments)


def test_second_pools(x):
    with pytest.raises(og.InvalidInput, match='against: backbone "features" has 3 columns there and 5 here'):
        og.audit(x, against=x[:, :3])
    with pytest.raises(og.InvalidInput, match=r"against cannot be compared: .* features of \['a', 'b'\] and .*\['c'\]"):
        og.audit({"a": x, "b": x}, against={"c": x})
    with pytest.raises(og.InvalidInput, match=r"against cannot be compared: .* has pictures"):
        og.audit(x, against=np.zeros((30, 8, 8, 3), dtype=np.uint8))


def test_patterns_only():
    with pytest.raises(og.InvalidInput, match="source: the pool holds patterns only, an audit needs one row"):
        og.audit({"vit": og.Patterns(np.ones((9, 3)), np.arange(10))})


def test_pictures(x, tmp_path, make_pictures):
    make_pictures(tmp_path / "photos", 5)
    with pytest.raises(og.InvalidInput, match="has 5 pictures, source has 60 items without ids"):
        og.audit(x, pictures=tmp_path / "photos")
    with pytest.raises(og.InvalidInput, match=r"source holds pictures already: leave pictures= / --pictures out"):
        og.audit(tmp_path / "photos", pictures=tmp_path / "photos")
    with pytest.raises(og.InvalidInput, match=r"source\[0\] is a float array: an audit of pictures needs 8-bit pixels"):
        og.audit(np.zeros((30, 3, 8, 8), dtype=np.float32), workers=0)
    with pytest.raises(og.InvalidInput, match="labels are held against features, and source holds pictures only"):
        og.audit(tmp_path / "photos", labels=["a"] * 5)
    with pytest.raises(og.InvalidInput, match="does not exist"):
        og.audit(tmp_path / "nowhere")
