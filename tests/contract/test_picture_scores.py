"""Scores of pictures agree with their definitions, and are the same bits from every instruction set."""

import os
import subprocess
import sys
from functools import cache

import numpy as np
import picture_battery
import pytest
from picture_battery import SHAPES, pictures
from PIL import Image

from oneglance import InvalidInput, _core
from oneglance.auditing.picture_scores import PictureScores, picture_scores
from oneglance.reference import picture_scores as by_definition

ISAS = _core.build_info()["isa_runnable"]


@pytest.fixture(scope="session")
def answers(tmp_path_factory):
    @cache
    def of(isa):
        out = tmp_path_factory.mktemp("pictures") / "answers.npz"
        environment = {**os.environ, "ONEGLANCE_ISA": isa}
        subprocess.run([sys.executable, picture_battery.__file__, out], env=environment, check=True, timeout=300)
        with np.load(out) as saved:
            return {key: saved[key] for key in saved.files}

    return of


def scored(picture):
    return picture_scores(picture.tobytes(), *picture.shape[:2])


@pytest.mark.parametrize("shape", SHAPES)
def test_scores_are_those_of_their_definition(shape):
    for i, picture in enumerate(pictures(shape)):
        found, little = scored(picture), by_definition.reduced(picture)
        assert max(little.shape) <= 64
        for name, value in by_definition.scores(little).items():
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-12, atol=1e-12)
        coefficients = by_definition.cosine_transform(by_definition.averaged(by_definition.levels(little))).ravel()
        sure = np.abs(coefficients - np.median(coefficients)) > 1e-9  # ties are decided by rounding
        bits = found.hash ^ by_definition.perceptual_hash(little)
        assert not any(bits >> (63 - place) & 1 for place in np.flatnonzero(sure).tolist())
        assert sure.sum() >= 60 or min(little.shape[:2]) < 8 or i >= 3


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_gives_the_same_bits(isa, answers):
    found, first = answers(isa), answers(ISAS[0])
    assert str(found["isa"]) == isa
    for name in [f"{field}/{shape}" for field in PictureScores._fields for shape in SHAPES]:
        assert found[name].tobytes() == first[name].tobytes(), name


def test_scores_of_plain_pictures():
    found = [scored(np.full((8, 8, 3), level, dtype=np.uint8)) for level in (0, 1, 127, 255)]
    assert [one.low for one in found] == [one.high for one in found] == [0, 1 / 255, 127 / 255, 1]
    assert not any(value for one in found for value in (one.entropy, one.edges, one.colour))


def test_reduction_is_pillows_up_to_its_rounding():
    picture = np.random.default_rng(0).integers(0, 256, (333, 250, 3), dtype=np.uint8)
    apart = by_definition.reduced(picture).astype(int) - np.asarray(Image.fromarray(picture).reduce(6))
    assert np.abs(apart).max() <= 1
    assert (apart == 0).mean() > 0.9


def test_a_hash_survives_resizing():
    grey = np.add.outer(np.arange(300), np.arange(200)) % 256
    large = Image.fromarray(grey.astype(np.uint8)).resize((400, 260)).convert("RGB")
    one, other = (scored(np.asarray(large.resize(size))).hash for size in ((400, 260), (200, 130)))
    assert bin(one ^ other).count("1") <= 4


@pytest.mark.parametrize(("height", "width"), [(2, 3), (0, 0), (-2, -2), (1, 5)])
def test_pixels_that_are_not_those_of_the_shape(height, width):
    with pytest.raises(InvalidInput, match="height x width x 3"):
        picture_scores(bytes(12), height, width)
