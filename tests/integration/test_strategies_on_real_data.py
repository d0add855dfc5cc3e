"""The table of all strategies on real data: its plan, a slice of it, and the refusal to print an unfinished one."""

from __future__ import annotations

import pytest

OPTIONS = "--pools neu --strategies kmeans --budgets 1% --baseline-budgets 5% --seeds 3 --heads knn --backbones sqz"
SLICE = OPTIONS.split()


def test_a_slice_is_computed_kept_and_printed(shared, tmp_path, capsys):
    import strategies_on_real_data as bench

    out = ["--out", str(tmp_path)]
    bench.main([*SLICE, *out, "--plan"])
    assert "9 of 9 cells missing" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="neu: 9 of 9 cells missing.*Run without --tables first"):
        bench.main([*SLICE, *out, "--tables"])
    bench.main([*SLICE, *out])
    text = capsys.readouterr().out
    assert "| 14 | random |" in text
    assert "kmeans against random on sqz, head knn:" in text
    bench.main([*SLICE, *out, "--tables"])
    assert capsys.readouterr().out == text
    bench.main([*SLICE, *out, "--tables", "--short"])
    table = capsys.readouterr().out
    assert "| sqz | 14 labels |" in table
    assert table.count(" x |") == 1
    assert (tmp_path / "neu" / "tables.md").read_text(encoding="utf-8") + "\n" == text


def test_every_pool_has_its_files(shared):
    import strategies_on_real_data as bench

    for pool, backbones in bench.POOLS.items():
        for backbone in backbones:
            assert (bench.DATA / f"{pool}__{backbone}.npz").exists()
