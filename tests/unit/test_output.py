"""Shared printing: what a person reads on a terminal and in a log."""

from __future__ import annotations

import json
import sys
import warnings

import pytest

from oneglance.cli.output import cell, collected_warnings, duration, print_json, print_table

HEADERS = ("backbone", "n", "d", "rank", "passes", "residual", "precision", "condition")
ROW = ("vit_small", 1440, 1280, 1279, 8, 1.5e-13, "float64", 12.3)


def test_plain_text_is_aligned(capsys):
    print_table(HEADERS, [ROW, ("b", 2, 3, 1, 2, False, "float32", None)], "title")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "title"
    assert lines[2].startswith("vit_small  1,440  1,280")
    assert lines[3].startswith("b              2      3")
    assert lines[3].split() == ["b", "2", "3", "1", "2", "NO", "float32", "-"]


def test_a_terminal_of_80_columns_shows_every_header(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    print_table(HEADERS, [ROW])
    out = capsys.readouterr().out
    assert all(header in out for header in HEADERS)
    assert "1.5e-13" in out


@pytest.mark.parametrize(
    ("value", "text"), [(True, "yes"), (False, "NO"), (None, "-"), (12345, "12,345"), (0.12345, "0.123"), ("a", "a")]
)
def test_cells(value, text):
    assert cell(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "< 1 s"), (12.4, "12 s"), (240, "4 min"), (9000, "2.5 h")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_warnings_are_collected_once_each(capsys):
    with collected_warnings() as texts:
        warnings.warn("one", UserWarning, stacklevel=1)
        warnings.warn("two", DeprecationWarning, stacklevel=1)
    assert texts == ["one", "two"]
    assert capsys.readouterr().err == ""


def test_json_is_one_document(capsys):
    print_json({"a": [1, "é"]})
    assert json.loads(capsys.readouterr().out) == {"a": [1, "é"]}
