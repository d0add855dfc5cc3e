"""Fixtures that several files of tests share."""

import pytest
from pipeline_pool import TOML, N, vectors, write


@pytest.fixture
def place(tmp_path):
    vectors(tmp_path / "pool.npz", N, 0)
    vectors(tmp_path / "test.npz", 60, 1)
    return write(tmp_path, TOML)
