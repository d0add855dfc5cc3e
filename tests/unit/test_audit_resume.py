"""An audit of pictures that is broken off goes on where it was, and says the same."""

import json
import os

import numpy as np
import pytest
from command_line import run

import oneglance as og
from oneglance.auditing.picture_file import PictureFile
from oneglance.auditing.picture_pass import read_pictures
from oneglance.errors import OneglanceError
from oneglance.features.pictures import FilePictures
from oneglance.features.source import open_source

COLUMNS = ("width", "height", "low", "high", "entropy", "edges", "colour", "hashes", "digests")


@pytest.fixture
def folder(tmp_path, make_pictures):
    make_pictures(tmp_path / "many", 300, size=24)
    (tmp_path / "many" / "007.png").write_bytes(b"torn")
    return tmp_path / "many"


def stopped_at(monkeypatch, row, error=KeyboardInterrupt):
    """Rows that are loaded; the one of this number breaks off, once."""
    seen, errors, whole = [], [error], FilePictures.load

    def load(self, number):
        if number == row and errors:
            raise errors.pop()
        seen.append(number)
        return whole(self, number)

    monkeypatch.setattr(FilePictures, "load", load)
    return seen


def test_what_was_seen_is_not_decoded_again(folder, tmp_path, monkeypatch):
    pictures = open_source(folder).pictures
    whole = read_pictures(pictures, workers=0)
    kept = PictureFile(tmp_path / "state" / "seen.npz", pictures)
    seen = stopped_at(monkeypatch, 200)
    with pytest.raises(KeyboardInterrupt):
        read_pictures(pictures, workers=0, kept=kept)
    assert len(kept.read()) == 192
    seen.clear()
    found = read_pictures(pictures, workers=0, kept=kept)
    assert seen == list(range(192, 300))
    for name in COLUMNS:
        assert getattr(found, name).tobytes() == getattr(whole, name).tobytes(), name
    assert found.reasons.tolist() == whole.reasons.tolist()
    assert found.modes.tolist() == whole.modes.tolist()
    seen.clear()
    assert len(read_pictures(pictures, workers=0, kept=kept)) == 300
    assert not seen


def test_a_long_pass_writes_now_and_then(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("oneglance.auditing.picture_file._EVERY_S", 0.0)
    monkeypatch.setattr("oneglance.auditing.picture_file._SHARE", 0)
    pictures = open_source(folder).pictures
    kept = PictureFile(tmp_path / "seen.npz", pictures)
    sizes, write = [], kept.write
    monkeypatch.setattr(kept, "write", lambda table: (sizes.append(len(table)), write(table)))
    assert len(read_pictures(pictures, workers=2, kept=kept)) == 300
    assert sizes == [64, 128, 192, 256, 300, 300]


def test_other_pictures_and_damaged_files_are_begun_anew(folder, tmp_path):
    place = tmp_path / "seen.npz"
    pictures = open_source(folder).pictures
    read_pictures(pictures, workers=0, kept=PictureFile(place, pictures))
    assert PictureFile(place, pictures).read() is not None
    assert PictureFile(place, open_source(folder, max_pixels=5000).pictures).read() is None
    os.utime(folder / "010.png", ns=(1, 1))
    assert PictureFile(place, open_source(folder).pictures).read() is None
    now = open_source(folder).pictures
    read_pictures(now, workers=0, kept=PictureFile(place, now))
    whole = place.read_bytes()
    for damage in (whole[:-50], b"", whole[:2000] + b"x" * 100 + whole[2100:]):
        place.write_bytes(damage)
        assert PictureFile(place, now).read() is None
    memory = open_source(np.zeros((3, 8, 8, 3), dtype=np.uint8)).pictures
    nothing = PictureFile(tmp_path / "none.npz", memory)
    assert len(read_pictures(memory, workers=0, kept=nothing)) == 3
    assert not nothing.path.exists()


def test_the_same_command_goes_on(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("audit", "many", "--workers", "0", "--out", "whole")
    seen = stopped_at(monkeypatch, 200)
    _, err = run("audit", "many", "--workers", "0", "--out", "a", code=4)
    assert "run the same command again to go on" in err
    seen.clear()
    run("audit", "many", "--workers", "0", "--out", "a")
    assert seen == list(range(192, 300))
    one, other = (json.loads((tmp_path / name / "audit.json").read_text()) for name in ("a", "whole"))
    assert one == other
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["audit.json", "audit.md", "findings.parquet"]


def test_python_goes_on_from_its_checkpoint(folder, tmp_path, monkeypatch):
    seen = stopped_at(monkeypatch, 100, OneglanceError("a worker died"))
    with pytest.raises(OneglanceError):
        og.audit(folder, workers=0, checkpoint=tmp_path / "c")
    seen.clear()
    found = og.audit(folder, workers=0, checkpoint=tmp_path / "c")
    assert seen == list(range(64, 300))
    assert found.find("unreadable").rows.tolist() == [7]
