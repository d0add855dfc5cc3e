"""The feature store: what is on disk, resumption, damage, locks."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import oneglance as og
from oneglance.errors import BadData, InvalidInput, StoreError
from oneglance.store import BackboneInfo, Items, SourceInfo, StoreWriter, files, open_store
from oneglance.store.lock import StoreLock
from oneglance.store.shards import loses_in_float16

SOURCE = SourceInfo("test", "a test", "hash-1")


def info(name: str = "a", n_dims: int = 3, dtype: str = "auto", model: str = "m") -> BackboneInfo:
    return BackboneInfo(name, "spec", model, "none", "mean", "float32", n_dims, dtype)


def items(n: int = 10) -> Items:
    return Items([f"id{i}" for i in range(n)], [f"/x/{i}" for i in range(n)], labels=["even", "odd"] * (n // 2))


def rows(first: int, stop: int, n_dims: int = 3) -> Any:
    return np.arange(first * n_dims, stop * n_dims, dtype=np.float32).reshape(-1, n_dims) + 1


def write(out: Path, *infos: BackboneInfo, stop_after: int | None = None, n: int = 10, **options: Any) -> int:
    """Writes what is missing; returns how many shards. stop_after stands for a kill."""
    options = {"shard_rows": 4, **options}
    written = 0
    with StoreWriter(out, items(n), SOURCE, infos or (info(),), **options) as writer:
        for shard, names in writer.missing():
            for name in names:
                if written == stop_after:
                    return written
                writer.write(shard, name, rows(*writer.ranges[shard]), {5: "torn"} if shard == 1 else {})
                written += 1
        writer.finish()
    return written


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "s")
    store = open_store(tmp_path / "s", verify=True)
    assert (store.n_items, store.backbones, store.n_dims("a")) == (10, ("a",), 3)
    expected = rows(0, 10)
    expected[5] = np.nan
    np.testing.assert_array_equal(np.asarray(store.features("a")), expected.astype(np.float16))
    assert len(store.features("a").shards) == 3
    assert store.valid.tolist() == [row != 5 for row in range(10)]
    assert store.column("reason")[5] == "torn"
    assert store.column("label")[:2].tolist() == ["even", "odd"]
    assert store.item_ids[9] == "id9"
    assert len(store.content_hash()) == 64
    with pytest.raises(InvalidInput, match=r"backbone must be one of \['a'\], got \"b\""):
        store.features("b")


def test_shards_are_plain_little_endian_npy_files(tmp_path: Path) -> None:
    write(tmp_path / "s")
    raw = np.load(tmp_path / "s/features/a/00000.npy")
    assert raw.dtype.str == "<f2"
    assert raw.shape == (4, 3)
    assert sorted(contents(tmp_path / "s")) == [
        "bad_items.csv",
        *(f"features/a/0000{i}.{kind}" for i in range(3) for kind in ("json", "npy")),
        "items.parquet",
        "manifest.json",
    ]


@pytest.mark.parametrize("killed_after", range(7))
def test_a_resumed_store_has_the_same_bytes(tmp_path: Path, killed_after: int) -> None:
    infos = (info("a"), info("b"))
    write(tmp_path / "whole", *infos)
    write(tmp_path / "cut", *infos, stop_after=killed_after)
    if killed_after < 6:
        with pytest.raises(StoreError, match="is not finished. Run the same embed command again"):
            open_store(tmp_path / "cut")
    assert write(tmp_path / "cut", *infos) == 6 - killed_after
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert write(tmp_path / "cut", *infos) == 0


def test_a_further_backbone_is_added_alone(tmp_path: Path) -> None:
    write(tmp_path / "s", info("a"))
    before = os.stat(tmp_path / "s/features/a/00000.npy").st_ino
    assert write(tmp_path / "s", info("b")) == 3
    assert open_store(tmp_path / "s").backbones == ("a", "b")
    assert os.stat(tmp_path / "s/features/a/00000.npy").st_ino == before
    write(tmp_path / "both", info("a"), info("b"))
    assert contents(tmp_path / "both") == contents(tmp_path / "s")


def test_a_leftover_temporary_file_is_removed(tmp_path: Path) -> None:
    write(tmp_path / "s", stop_after=1)
    (tmp_path / "s/features/a/00001.npy.tmp").write_bytes(b"half")
    write(tmp_path / "s")
    assert not list((tmp_path / "s").rglob("*.tmp"))


@pytest.mark.parametrize("damage", ["cut", "gone", "other header", "receipt gone", "receipt torn"])
def test_a_damaged_shard_is_found_and_written_again(tmp_path: Path, damage: str) -> None:
    write(tmp_path / "s")
    before = contents(tmp_path / "s")
    shard = tmp_path / "s/features/a/00001.npy"
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-2])
    elif damage == "gone":
        shard.unlink()
    elif damage == "other header":
        shard.write_bytes(shard.read_bytes().replace(b"'<f2'", b"'>f2'"))
    elif damage == "receipt gone":
        shard.with_suffix(".json").unlink()
    else:
        shard.with_suffix(".json").write_text('{"rows": [4')
    if "receipt" not in damage:
        with pytest.raises(StoreError, match=r'00001.npy of backbone "a" .*Re-run embed for that backbone'):
            open_store(tmp_path / "s")
    assert write(tmp_path / "s") == 1
    assert contents(tmp_path / "s") == before


def test_a_flipped_bit_is_found_by_verify_only(tmp_path: Path) -> None:
    write(tmp_path / "s")
    shard = tmp_path / "s/features/a/00001.npy"
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    open_store(tmp_path / "s")
    with pytest.raises(StoreError, match="has another content than its hash says"):
        open_store(tmp_path / "s", verify=True)
    assert write(tmp_path / "s") == 0
    assert write(tmp_path / "s", verify=True) == 1
    open_store(tmp_path / "s", verify=True)


def test_row_counts_that_differ_are_named(tmp_path: Path) -> None:
    write(tmp_path / "s")
    write(tmp_path / "other", n=8, max_bad_fraction=0.5)
    os.replace(tmp_path / "other/items.parquet", tmp_path / "s/items.parquet")
    with pytest.raises(
        StoreError,
        match=r'features of backbone "a" have 10 rows, items.parquet has 8. '
        r"Re-run embed for that backbone, or pass exclude=.",
    ):
        open_store(tmp_path / "s")


def test_another_source_or_backbone_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "s")
    other = SourceInfo("test", "another test", "hash-2")
    with (
        pytest.raises(StoreError, match=r"holds features of another source.*another test.*--out.*--fresh"),
        StoreWriter(tmp_path / "s", items(), other, [info()]),
    ):
        pass
    with pytest.raises(StoreError, match=r'backbone "a" with another model: .*--out.*name=.*--fresh'):
        write(tmp_path / "s", info(model="m2"))
    with pytest.raises(StoreError, match=r'backbone "a" with another dtype'):
        write(tmp_path / "s", info(dtype="float32"))
    with pytest.raises(StoreError, match="was begun with shard_rows=4, this run asks for 5"):
        write(tmp_path / "s", shard_rows=5)
    assert write(tmp_path / "s", info(model="m2"), fresh=True) == 3


def test_auto_widens_the_whole_backbone_wherever_it_is_needed() -> None:
    small = np.full((2, 3), 1e-7, dtype=np.float32)
    assert loses_in_float16(small)
    assert loses_in_float16(np.array([[70000.0, 1.0]], dtype=np.float32))
    assert not loses_in_float16(np.array([[60000.0, 1e-9], [1.0, 0.3]], dtype=np.float32))
    assert not loses_in_float16(np.array([[np.nan, 1e9]], dtype=np.float32))  # listed as bad instead


@pytest.mark.parametrize("killed_after", [None, 0, 1, 2])
def test_widening_does_not_depend_on_a_kill(tmp_path: Path, killed_after: int | None) -> None:
    def run(out: Path, stop: int | None) -> None:
        count = 0
        with StoreWriter(out, items(), SOURCE, [info()], shard_rows=4) as writer:
            while missing := writer.missing():
                for shard, _ in missing:
                    if count == stop:
                        return
                    values = rows(*writer.ranges[shard]) * (1e5 if shard == 1 else 1)
                    count += 1
                    if not writer.write(shard, "a", values, {}):
                        break
            writer.finish()

    run(tmp_path / "whole", None)
    if killed_after is not None:
        run(tmp_path / "s", killed_after)
    run(tmp_path / "s", None)
    store = open_store(tmp_path / "s", verify=True)
    assert store.features("a").dtype == np.float32
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


def test_explicit_float16_lists_rows_that_overflow(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", items(), SOURCE, [info(dtype="float16")], max_bad_fraction=0.2) as writer:
        values = rows(0, 10)
        values[3, 1] = 1e6
        writer.write(0, "a", values, {})
        writer.finish()
    store = open_store(tmp_path / "s")
    assert store.column("reason")[3] == 'backbone "a": values beyond float16 (65504)'
    assert np.isnan(np.asarray(store.features("a"))[3]).all()


def test_too_many_bad_rows_stop_the_run_and_are_listed(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", items(), SOURCE, [info()], max_bad_fraction=0.1) as writer:
        writer.write(0, "a", rows(0, 10), {2: "torn", 7: "empty"})
        with pytest.raises(BadData, match=r"2 of 10 items cannot be used, at most 1 are allowed") as caught:
            writer.check_bad_fraction()
    assert "/x/2: torn" in str(caught.value)
    listing = (tmp_path / "s/bad_items.csv").read_text().splitlines()
    assert listing == ["row_id,item_id,source,reason", "2,id2,/x/2,torn", "7,id7,/x/7,empty"]


def test_two_writers_at_once(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", items(), SOURCE, [info()]):
        with (
            pytest.raises(StoreError, match="is being written by another call of this process"),
            StoreWriter(tmp_path / "s", items(), SOURCE, [info()]),
        ):
            pass
        code = (
            "import sys; from pathlib import Path; from oneglance.store.lock import StoreLock\n"
            "try: StoreLock(Path(sys.argv[1])).acquire()\n"
            "except Exception as error: print(error)"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "s")], capture_output=True, text=True, check=True
        )
        assert f"is being written by another run (process {os.getpid()} on " in other.stdout


def test_a_full_disk_leaves_no_lock_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        lock = StoreLock(tmp_path)
        lock.acquire()
        lock.release()
    assert write(tmp_path / "s") == 3


def test_a_sorted_items_table_is_not_taken_for_the_rows_of_the_features(tmp_path: Path) -> None:
    write(tmp_path / "s")
    table = pq.read_table(tmp_path / "s/items.parquet")
    pq.write_table(table.sort_by([("row_id", "descending")]), tmp_path / "s/items.parquet")
    with pytest.raises(StoreError, match="has another order than the features: row_id does not run"):
        open_store(tmp_path / "s")


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/.lock").write_text(json.dumps({"pid": 2**22 + 1, "host": "elsewhere"}))
    assert write(tmp_path / "s") == 3
    assert not (tmp_path / "s/.lock").exists()


def test_other_peoples_folders_and_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("x")
    for fresh in (False, True):
        with pytest.raises(StoreError, match=r"not empty and not a oneglance store \(it holds 'chapter.tex'\)"):
            write(tmp_path / "thesis", fresh=fresh)
    with pytest.raises(StoreError, match="is a file, a folder is needed"):
        write(tmp_path / "thesis/chapter.tex")
    write(tmp_path / "s")
    (tmp_path / "s/notes.txt").write_text("mine")
    write(tmp_path / "s", fresh=True)
    assert (tmp_path / "s/notes.txt").read_text() == "mine"


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp())  # tmp_path itself is closed to other users
    root = os.geteuid() == 0
    try:
        folder.chmod(0o555)
        if root:
            os.seteuid(65534)
        for out in (folder, folder / "inside"):
            with pytest.raises(StoreError, match=r"out: cannot write .*Choose a folder you may write to with out="):
                write(out)
    finally:
        if root:
            os.seteuid(0)
        folder.rmdir()


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "s", stop_after=1)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(StoreError, match=r"disk full while writing .*: \d+ bytes needed, .* free\. Free some"):
            write(tmp_path / "s")
    assert not list((tmp_path / "s").rglob("*.tmp"))
    assert write(tmp_path / "s") == 2


def test_a_disk_that_is_too_small_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("oneglance.store.folder.shutil.disk_usage", lambda _: usage)
    with pytest.raises(StoreError, match=r"disk too small for .*: 60 bytes \(60 B\) are still needed, 10 B are free"):
        write(tmp_path / "s")


def test_no_store_and_other_versions(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no feature store at .*: it does not exist"):
        open_store(tmp_path / "nothing")
    with pytest.raises(StoreError, match=r"no feature store at .*: it has no manifest.json"):
        open_store(tmp_path)
    write(tmp_path / "s")
    manifest = tmp_path / "s/manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(StoreError, match="has schema version 9, this oneglance reads version 1"):
        open_store(tmp_path / "s")
    manifest.write_text("{")
    with pytest.raises(StoreError, match=r"manifest.json cannot be read"):
        open_store(tmp_path / "s")


def test_repeated_ids_are_listed() -> None:
    with pytest.raises(InvalidInput, match=r"item ids must all be different, but 'x' \(rows 0 and 2\) come twice"):
        Items(["x", "y", "x"], ["1", "2", "3"])


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_backbone_names_that_are_no_folder_names(name: str) -> None:
    with pytest.raises(InvalidInput, match="becomes a folder name"):
        info(name)


def test_a_hole_in_another_backbone_is_named(tmp_path: Path) -> None:
    write(tmp_path / "s", info("a"))
    (tmp_path / "s/features/a/00002.npy").unlink()
    with pytest.raises(StoreError, match=r'00002.npy of backbone "a" is missing or damaged. Name that backbone'):
        write(tmp_path / "s", info("b"))
    assert write(tmp_path / "s", info("a"), info("b")) == 4


def test_an_unfinished_backbone_can_wait(tmp_path: Path) -> None:
    write(tmp_path / "s", info("a"), info("b"), stop_after=3)  # shard 0 of both, shard 1 of a
    assert write(tmp_path / "s", info("a")) == 1
    assert open_store(tmp_path / "s").backbones == ("a",)
    assert write(tmp_path / "s", info("b")) == 2
    write(tmp_path / "whole", info("a"), info("b"))
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(backbones={"a": {}}), r"has not the form of a manifest \(KeyError: 'n_dims'\)"),
        (lambda m: m.update(source={}), r"has not the form of a manifest \(KeyError: 'kind'\)"),
        (lambda m: m.update(backbones=7), "has not the form of a manifest"),
        (lambda m: m.update(n_items="x"), "holds 'x' in an unexpected place"),
        (lambda m: m["backbones"]["a"]["shards"].reverse(), "lists the shards of 'a' with gaps, twice or out of order"),
        (
            lambda m: m["backbones"]["a"].update(shards=m["backbones"]["a"]["shards"][:1] * 2),
            "lists the shards of 'a' with gaps, twice or out of order",
        ),
        (lambda m: m.pop("source"), r"lacks \['source'\]"),
    ],
)
def test_damaged_manifest_is_refused_by_readers_and_writers(tmp_path: Path, change: Any, words: str) -> None:
    pool = {"a": np.ones((4, 2), dtype=np.float32)}
    og.embed(pool, None, tmp_path / "s", shard_rows=2)
    path = tmp_path / "s/manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=words + r".*it is damaged\. Embed again with fresh=True / --fresh\."):
        og.open_store(tmp_path / "s")
    with pytest.raises(StoreError, match=words):
        og.embed(pool, None, tmp_path / "s")
    og.embed(pool, None, tmp_path / "s", fresh=True)


def test_a_hostile_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(StoreError, match="cannot be read"):
        og.open_store(tmp_path)


def test_read_only_disk_is_explained_although_the_clean_up_fails_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(StoreError, match=r"cannot write .*x \(Read-only file system\)\. Choose a folder you may write"):
        files.write_atomic(tmp_path / "x", [b"1"])


def test_another_preprocessing_is_told_by_its_difference(tmp_path: Path) -> None:
    def of(preprocessing: str) -> BackboneInfo:
        return BackboneInfo("a", "spec", "m", preprocessing, "mean", "float32", 3, "auto")

    write(tmp_path / "s", of("decoded; size 64; mean 0.5"))
    with pytest.raises(StoreError, match=r"another preprocessing: the store has 'size 64', this run 'size 32'\."):
        write(tmp_path / "s", of("decoded; size 32; mean 0.5"))
