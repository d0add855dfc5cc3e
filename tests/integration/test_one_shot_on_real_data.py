"""The one-shot protocol on real features: its plan, a slice of it, and the refusal to print an unfinished table."""

from __future__ import annotations

import numpy as np
import pytest

OPTIONS = "--pools tiny100 --targets components --heads unpenalised --strategies lewis --budgets 900 --seeds 3"
SLICE = OPTIONS.split()


def test_a_slice_is_computed_kept_and_printed(shared, tmp_path, capsys):
    import one_shot_on_real_data as bench

    out = ["--out", str(tmp_path)]
    bench.main([*SLICE, *out, "--plan"])
    assert "6 of 6 cells missing" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="6 of 6 cells missing.*Run without --tables and --summary first"):
        bench.main([*SLICE, *out, "--tables"])
    bench.main([*SLICE, *out])
    text = capsys.readouterr().out
    assert "## tiny100, components, unpenalised heads, 3 seeds" in text
    assert "| lewis, weighted |" in text
    bench.main([*SLICE, *out, "--tables"])
    assert capsys.readouterr().out == text
    bench.main([*SLICE, *out, "--summary"])
    lines = capsys.readouterr().out.split("\n")
    assert lines[:3] == ["", "| tiny100 | 900 picks |", "|---|---|"]
    assert [line.partition(" | ")[0] for line in lines[3:5]] == [
        "| components, unpenalised, plain",
        "| components, unpenalised, weighted",
    ]
    for line in lines[3:5]:  # the table's own cells
        kind = line.partition(" | ")[0].rpartition(" ")[2]
        assert f"| lewis, {kind} | {line.partition(' | ')[2]}" in text


def test_targets_are_what_they_say(shared, tmp_path):
    import one_shot_on_real_data as bench

    train, values, test, test_values, _ = bench.question("tiny100", "truth", tmp_path, "ridge")
    assert list(train) == ["mnv2", "mnv1_0.5", "sqz", "r56"]
    assert values.shape == (10_000, 4)
    assert np.abs(values.var(axis=0) - 2.0).max() < 0.3  # signal 1, noise 1
    assert np.abs(test_values.var(axis=0) - 1.0).max() < 0.3  # no noise
    for target in ("scores", "components"):
        train, values, test, test_values, _ = bench.question("tiny100", target, tmp_path, "ridge")
        assert bench.WITHHELD not in train
        assert bench.WITHHELD not in test
        assert values.shape == (10_000, 10)
        assert test_values.shape == (2_000, 10)
        assert np.abs(values.mean(axis=0)).max() < 1e-8 * np.abs(values).max()
