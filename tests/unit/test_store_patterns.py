"""Patterns in the store: what is on disk, resumption, damage, and stores that have none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oneglance.errors import InvalidInput, StoreError
from oneglance.store import BackboneInfo, Items, PatternInfo, SourceInfo, StoreWriter, open_store

SOURCE = SourceInfo("test", "a test", "hash-1")
OWN = PatternInfo("tokens; tau 0.5; at most 2 per picture", 3, 2)


def info(name: str = "a", patterns: PatternInfo | None = OWN, dtype: str = "auto") -> BackboneInfo:
    return BackboneInfo(name, "spec", "m", "none", "mean", "float32", 4, dtype, patterns)


def items(n: int = 10) -> Items:
    return Items([f"id{i}" for i in range(n)], [f"/x/{i}" for i in range(n)])


def rows(first: int, stop: int) -> Any:
    return np.arange(first * 4, stop * 4, dtype=np.float32).reshape(-1, 4) + 1


def found(row: int) -> Any:
    """Two patterns, or one for every third item."""
    return np.full((1 if row % 3 == 0 else 2, 3), row + 1, dtype=np.float32)


def write(out: Path, *infos: BackboneInfo, stop_after: int | None = None, **options: Any) -> int:
    """Writes what is missing; returns how many files of features or patterns. stop_after stands for a kill."""
    written = 0
    with StoreWriter(out, items(), SOURCE, infos or (info(),), **{"shard_rows": 4, **options}) as writer:
        for shard, names in writer.missing():
            first, stop = writer.ranges[shard]
            for name in names:
                for lacks, part in ((writer.lacks_features, "features"), (writer.lacks_patterns, "patterns")):
                    if not lacks(shard, name):
                        continue
                    if written == stop_after:
                        return written
                    if part == "features":
                        writer.write(shard, name, rows(first, stop), {5: "torn"} if shard == 1 else {})
                    else:
                        bad = {8: "odd"} if shard == 2 else {}
                        writer.write_patterns(shard, name, [found(row) for row in range(first, stop)], bad)
                    written += 1
        writer.finish()
    return written


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def loose(out: Path, **options: Any) -> int:
    return write(out, max_bad_fraction=0.3, **options)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    loose(tmp_path / "s")
    store = open_store(tmp_path / "s", verify=True)
    assert store.has_patterns("a")
    patterns = store.patterns("a")
    assert patterns.n_items == 10
    assert patterns.offsets.dtype == np.int64
    assert patterns.counts().tolist() == [1, 2, 2, 1, 2, 0, 1, 2, 0, 1]  # 5 has no features, 8 no patterns
    wanted = np.concatenate([found(row) for row in range(10) if row not in (5, 8)])
    np.testing.assert_array_equal(np.asarray(patterns.rows), wanted.astype(np.float16))
    assert patterns.rows.dtype == np.float16
    assert all(isinstance(shard, np.memmap) for shard in patterns.rows)
    assert not patterns.rows.shards[0].flags.writeable
    assert np.flatnonzero(~store.valid).tolist() == [5, 8]
    assert store.column("reason")[[5, 8]].tolist() == ["torn", "odd"]
    assert np.isfinite(np.asarray(store.features("a"))[8]).all()  # an item without patterns keeps its features
    assert (tmp_path / "s/bad_items.csv").read_text().splitlines()[1:] == ["5,id5,/x/5,torn", "8,id8,/x/8,odd"]


def test_files_are_plain(tmp_path: Path) -> None:
    loose(tmp_path / "s")
    assert sorted(path.name for path in (tmp_path / "s/patterns/a").iterdir()) == sorted(
        f"0000{i}.{kind}" for i in range(3) for kind in ("json", "npy", "offsets.npy")
    )
    own = np.load(tmp_path / "s/patterns/a/00001.offsets.npy")
    assert (own.dtype.str, own.tolist()) == ("<i8", [0, 2, 2, 3, 5])
    entry = json.loads((tmp_path / "s/manifest.json").read_text())["backbones"]["a"]["patterns"]
    assert [shard["n_patterns"] for shard in entry["shards"]] == [6, 5, 1]
    assert list(entry) == ["how", "n_patterns", "dtype", "n_dims", "shards"]


def test_a_shard_without_any_pattern(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, items(), SOURCE, (info(),), shard_rows=4, max_bad_fraction=0.5) as writer:
        for shard, _ in writer.missing():
            first, stop = writer.ranges[shard]
            writer.write(shard, "a", rows(first, stop), {})
            empty = dict.fromkeys(range(first, stop), "no patterns") if shard == 1 else {}
            writer.write_patterns(shard, "a", [found(row) for row in range(first, stop)], empty)
        writer.finish()
    patterns = open_store(tmp_path, verify=True).patterns("a")
    assert patterns.counts().tolist() == [1, 2, 2, 1, 0, 0, 0, 0, 2, 1]
    assert [shard.shape for shard in patterns.rows] == [(6, 3), (0, 3), (3, 3)]


@pytest.mark.parametrize("killed_after", range(13))
def test_a_resumed_store_has_the_same_bytes(tmp_path: Path, killed_after: int) -> None:
    both = (info("a"), info("b"))
    write(tmp_path / "whole", *both, max_bad_fraction=0.3)
    assert write(tmp_path / "cut", *both, stop_after=killed_after, max_bad_fraction=0.3) == killed_after
    assert write(tmp_path / "cut", *both, max_bad_fraction=0.3) == 12 - killed_after
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_kill_between_rows_offsets_and_receipt(tmp_path: Path) -> None:
    loose(tmp_path / "s")
    before = contents(tmp_path / "s")
    for left in ((), (".npy",), (".npy", ".offsets.npy")):
        for kind in (".npy", ".offsets.npy", ".json"):
            if kind not in left:
                (tmp_path / f"s/patterns/a/00001{kind}").unlink()
        (tmp_path / "s/patterns/a/00001.npy.tmp").write_bytes(b"half")
        assert loose(tmp_path / "s") == 1
        assert contents(tmp_path / "s") == before


def test_patterns_join_a_store_that_has_the_features(tmp_path: Path) -> None:
    write(tmp_path / "s", info(patterns=None), max_bad_fraction=0.3)
    old = open_store(tmp_path / "s")
    assert not old.has_patterns("a")
    with pytest.raises(InvalidInput, match=r'has no patterns of backbone "a". Embed the same source again into it'):
        old.patterns("a")
    features = {path: os.stat(path).st_ino for path in (tmp_path / "s/features").rglob("*")}
    assert loose(tmp_path / "s") == 3
    assert features == {path: os.stat(path).st_ino for path in (tmp_path / "s/features").rglob("*")}
    loose(tmp_path / "at_once")
    assert contents(tmp_path / "s") == contents(tmp_path / "at_once")


def test_a_run_without_patterns_leaves_them(tmp_path: Path) -> None:
    loose(tmp_path / "s")
    before = contents(tmp_path / "s")
    assert write(tmp_path / "s", info(patterns=None), max_bad_fraction=0.3) == 0
    assert contents(tmp_path / "s") == before
    write(tmp_path / "s", info("b", patterns=None), max_bad_fraction=0.3)
    store = open_store(tmp_path / "s", verify=True)
    assert (store.has_patterns("a"), store.has_patterns("b")) == (True, False)
    with pytest.raises(InvalidInput, match=r"Backbones with patterns: \['a'\]"):
        store.patterns("b")


def test_killed_while_patterns_were_added(tmp_path: Path) -> None:
    write(tmp_path / "s", info(patterns=None), max_bad_fraction=0.3)
    loose(tmp_path / "s", stop_after=2)
    assert not open_store(tmp_path / "s").has_patterns("a")  # the store is whole without them
    write(tmp_path / "s", info(patterns=None), max_bad_fraction=0.3)
    assert (tmp_path / "s/unfinished.json").exists()
    assert not open_store(tmp_path / "s").has_patterns("a")
    assert loose(tmp_path / "s") == 1
    assert not (tmp_path / "s/unfinished.json").exists()
    loose(tmp_path / "at_once")
    assert contents(tmp_path / "s") == contents(tmp_path / "at_once")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (PatternInfo("tokens; tau 0.9; at most 2 per picture", 3, 2), "another choice: the store has 'tau 0.5', this "),
        (PatternInfo(OWN.how, 5, 2), "another n_dims: the store has 3, this run 5"),
        (PatternInfo(OWN.how, 3, 2, "float32"), "another dtype: the store has 'float16', this run 'float32'"),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, other: PatternInfo, words: str) -> None:
    loose(tmp_path / "s")
    before = contents(tmp_path / "s")
    with pytest.raises(StoreError) as caught:
        write(tmp_path / "s", info(patterns=other), max_bad_fraction=0.3)
    assert f'holds patterns of backbone "a" with {words}' in str(caught.value)
    assert "overwrite with fresh=True / --fresh" in str(caught.value)
    assert contents(tmp_path / "s") == before
    write(tmp_path / "s", info(patterns=None), fresh=True, max_bad_fraction=0.3)
    assert not (tmp_path / "s/patterns").exists()


def test_shards_of_other_settings_are_not_taken_up(tmp_path: Path) -> None:
    loose(tmp_path / "s", stop_after=4)
    (tmp_path / "s/unfinished.json").unlink()  # nothing but the receipts can tell
    other = info(patterns=PatternInfo("tokens; tau 0.9; at most 2 per picture", 3, 2))
    assert write(tmp_path / "s", other, max_bad_fraction=0.3) == 4
    write(tmp_path / "at_once", other, max_bad_fraction=0.3)
    assert contents(tmp_path / "s") == contents(tmp_path / "at_once")


@pytest.mark.parametrize("damage", ["cut", "rows gone", "offsets gone", "offsets cut", "offsets other"])
def test_damage_is_found_and_mended(tmp_path: Path, damage: str) -> None:
    loose(tmp_path / "s")
    before = contents(tmp_path / "s")
    shard, own = tmp_path / "s/patterns/a/00001.npy", tmp_path / "s/patterns/a/00001.offsets.npy"
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-2])
    elif damage.endswith("gone"):
        (shard if damage == "rows gone" else own).unlink()
    elif damage == "offsets cut":
        own.write_bytes(own.read_bytes()[:40])
    else:
        np.save(own, np.array([0, 2, 9, 3, 5]))
    with pytest.raises(StoreError, match=r'00001.*npy, patterns of backbone "a", .*with patterns=True / --patterns'):
        open_store(tmp_path / "s")
    with pytest.raises(StoreError, match=r"are missing or damaged. Ask for them in this run as well \(patterns= / -"):
        write(tmp_path / "s", info(patterns=None), max_bad_fraction=0.3)
    assert loose(tmp_path / "s") == 1
    assert contents(tmp_path / "s") == before


@pytest.mark.parametrize("kind", ["npy", "offsets.npy"])
def test_a_flipped_bit_is_found_by_verify_only(tmp_path: Path, kind: str) -> None:
    loose(tmp_path / "s")
    path = tmp_path / f"s/patterns/a/00002.{kind}"
    raw = bytearray(path.read_bytes())
    if kind == "npy":
        raw[-1] ^= 1
    else:
        raw[-16:-8] = raw[-8:]  # still offsets, of other items
    path.write_bytes(raw)
    open_store(tmp_path / "s")
    with pytest.raises(StoreError, match=r"has another content than its hash says. Re-run .* and verify=True"):
        open_store(tmp_path / "s", verify=True)
    assert loose(tmp_path / "s") == 0
    assert loose(tmp_path / "s", verify=True) == 1
    open_store(tmp_path / "s", verify=True)


def test_patterns_widen_alone_and_wholly(tmp_path: Path) -> None:
    def run(out: Path, stop_after: int | None = None) -> None:
        with StoreWriter(out, items(), SOURCE, (info(),), shard_rows=4) as writer:
            written = 0
            while missing := writer.missing():
                for shard, _ in missing:
                    first, stop = writer.ranges[shard]
                    if writer.lacks_features(shard, "a"):
                        writer.write(shard, "a", rows(first, stop), {})
                    if written == stop_after:
                        return
                    scale = 1e6 if shard == 1 else 1.0
                    if not writer.write_patterns(shard, "a", [scale * found(row) for row in range(first, stop)], {}):
                        break
                    written += 1
            writer.finish()

    run(tmp_path / "s")
    store = open_store(tmp_path / "s", verify=True)
    assert (store.features("a").dtype, store.patterns("a").rows.dtype) == (np.float16, np.float32)
    assert store.valid.all()
    for moment in (0, 1, 2):
        run(tmp_path / f"cut{moment}", moment)
        run(tmp_path / f"cut{moment}")
        assert contents(tmp_path / f"cut{moment}") == contents(tmp_path / "s")


def test_float16_by_order_lists_what_it_cannot_hold(tmp_path: Path) -> None:
    own = info(patterns=PatternInfo(OWN.how, 3, 2, "float16"))
    with StoreWriter(tmp_path, items(), SOURCE, (own,)) as writer:
        writer.write(0, "a", rows(0, 10), {})
        assert writer.write_patterns(0, "a", [found(row) * (1e6 if row == 3 else 1) for row in range(10)], {})
        writer.finish()
    store = open_store(tmp_path)
    assert store.column("reason")[3] == 'backbone "a": patterns beyond float16 (65504)'
    assert store.patterns("a").counts()[3] == 0


def test_pictures_that_changed_in_between(tmp_path: Path) -> None:
    write(tmp_path, info(patterns=None), max_bad_fraction=0.3)
    words = r'pictures of rows 0..3 changed since backbone "a" was computed'
    with (
        StoreWriter(tmp_path, items(), SOURCE, (info(),), max_bad_fraction=0.3) as writer,
        pytest.raises(StoreError, match=words),
    ):
        writer.write_patterns(0, "a", [found(row) for row in range(4)], {}, "other pictures")


def test_manifests_with_holes(tmp_path: Path) -> None:
    loose(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["backbones"]["a"]["patterns"]["shards"][0]["offsets"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="has not the form of a manifest .*offsets"):
        open_store(tmp_path)
