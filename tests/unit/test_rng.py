"""Philox against the published test vectors and its Python definition."""

import numpy as np
import pytest

from oneglance import InvalidInput
from oneglance._rng import Purpose, uniforms
from oneglance.reference import philox


def test_known_answers_of_random123():
    # From the kat_vectors file that accompanies Salmon et al. 2011.
    assert philox.philox4x32((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    ones = 0xFFFFFFFF
    assert philox.philox4x32((ones,) * 4, (ones,) * 2) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)


def test_compiled_equals_the_definition():
    items = np.array([0, 1, 2, 2**31 - 1, 2**32, 2**40 + 3], dtype=np.int64)
    for seed in (0, 1, 2**32 + 5, 2**63 - 1):
        got = uniforms(seed, Purpose.POISSON, items, draw=7)
        assert np.array_equal(got, philox.uniforms(seed, Purpose.POISSON, items, draw=7))


def test_a_number_depends_on_its_item_alone():
    whole = uniforms(3, Purpose.UNIFORM, np.arange(1000))
    assert np.array_equal(whole[::-1], uniforms(3, Purpose.UNIFORM, np.arange(1000)[::-1]))
    assert np.array_equal(whole[400:500], uniforms(3, Purpose.UNIFORM, np.arange(400, 500)))


def test_numbers_look_uniform_and_differ_by_purpose_and_draw():
    items = np.arange(100_000)
    streams = [uniforms(1, Purpose.UNIFORM, items), uniforms(1, Purpose.POISSON, items)]
    streams += [uniforms(1, Purpose.POISSON, items, draw=1), uniforms(2, Purpose.POISSON, items)]
    for stream in streams:
        assert abs(stream.mean() - 0.5) < 5 * (1 / 12 / len(items)) ** 0.5
        assert 0 <= stream.min() < stream.max() < 1
    correlations = np.corrcoef(streams) - np.eye(4)
    assert np.abs(correlations).max() < 5 / len(items) ** 0.5


def test_seed_out_of_range():
    with pytest.raises(InvalidInput, match=r"seed must be an integer in 0 \.\. 2\*\*63 - 1, got -1"):
        uniforms(-1, Purpose.UNIFORM, np.arange(3))
