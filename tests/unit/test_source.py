"""Sources: folders, list files, vectors, pictures in memory; and how pictures are decoded."""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import struct
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageFile

from oneglance.errors import InvalidInput
from oneglance.features.listfile import Columns
from oneglance.features.pictures import BadPictureError, FilePictures, as_picture, decode
from oneglance.features.preprocess import Preprocess, in_words
from oneglance.features.source import open_source
from oneglance.features.vectors import array_digest, from_parquet


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


# ---------------------------------------------------------------- folders


def test_folder_in_sorted_order_with_labels(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "dog", 2, suffix=".JPG")
    make_pictures(tmp_path / "cat/old", 1)
    make_pictures(tmp_path / ".hidden", 1)
    (tmp_path / "cat/readme.md").write_text("x")
    (tmp_path / "dog/.DS_Store.png").write_bytes(b"")
    (tmp_path / "dog/again").symlink_to(tmp_path / "dog")
    source = open_source(tmp_path)
    assert list(source.items.ids) == ["cat/old/000.png", "dog/000.JPG", "dog/001.JPG"]
    assert source.items.labels == ["cat/old", "dog", "dog"]
    assert source.items.sources[0] == str(tmp_path / "cat/old/000.png")


def test_flat_folder_has_no_labels_and_a_moved_folder_is_the_same_source(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "a", 3)
    first = open_source(tmp_path / "a")
    assert first.items.labels is None
    os.rename(tmp_path / "a", tmp_path / "b")
    assert open_source(str(tmp_path / "b")).info.hash == first.info.hash
    make_pictures(tmp_path / "b", 4)
    assert open_source(tmp_path / "b").info.hash != first.info.hash


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "holds no pictures (it is empty)"),
        (lambda p: (p / "a.txt").write_text("x"), "holds no pictures (it has 1 x .txt)"),
    ],
)
def test_folders_without_pictures(tmp_path: Path, make: Any, words: str) -> None:
    make(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        open_source(tmp_path)
    assert words in str(caught.value)


def test_paths_that_are_no_source(tmp_path: Path, make_pictures: Any) -> None:
    with pytest.raises(InvalidInput, match="source: .*nowhere does not exist"):
        open_source(tmp_path / "nowhere")
    (tmp_path / "x.docx").write_text("x")
    with pytest.raises(InvalidInput, match=r"must be a folder or a file of type .txt, .csv, .* got '.docx'"):
        open_source(tmp_path / "x.docx")
    picture = make_pictures(tmp_path, 1)[0]
    with pytest.raises(InvalidInput, match="is one picture; a pool is needed. Give its folder"):
        open_source(picture)
    for value, words in ((3, "got int"), ([], "empty list")):
        with pytest.raises(InvalidInput, match=words):
            open_source(value)


def test_names_that_are_not_utf8(tmp_path: Path, make_pictures: Any) -> None:
    path = make_pictures(tmp_path, 1)[0]
    os.rename(path, os.fsencode(tmp_path) + b"/\xff.png")
    with pytest.raises(InvalidInput, match=r"1 names are not UTF-8 \(b'\\xff.png'\). Rename"):
        open_source(tmp_path)


def test_a_folder_above_that_is_not_utf8_is_told_before_the_work(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path / "p", 1)
    (tmp_path / "p/l.txt").write_text("000.png\n")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.rename(tmp_path / "p", odd)
    for source in (odd, f"{odd}/l.txt", [f"{odd}/000.png", f"{odd}/l.txt"]):
        with pytest.raises(InvalidInput, match="are not UTF-8"):
            open_source(source)


def test_links_to_themselves_are_bad_pictures(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path, 1)
    (tmp_path / "b.png").symlink_to("b.png")
    (tmp_path / "loop").symlink_to("loop")
    source = open_source(tmp_path)
    assert list(source.items.ids) == ["000.png", "b.png"]
    assert source.pictures is not None
    with pytest.raises(BadPictureError, match="cannot read: Too many levels of symbolic links"):
        source.pictures.load(1)


def test_a_long_path_does_not_widen_all_others() -> None:
    paths = ["/a/b.png"] * 10_000 + ["/x" * 2000, "/ä.png"]
    pictures = FilePictures(paths)
    assert [str(pictures.path(row)) for row in (0, 9_999, 10_000, 10_001)] == [paths[row] for row in (0, 9999, -2, -1)]
    assert len(pictures) == 10_002
    assert len(pickle.dumps(pictures)) < 20 * len(pictures)
    with pytest.raises(IndexError):
        pictures.path(-1)


# ---------------------------------------------------------------- list files


def lists(folder: Path, names: list[str]) -> dict[str, Path]:
    """The same list in every format, with columns image, key, kind."""
    rows = [{"image": name, "key": f"k{i}", "kind": "ab"[i % 2]} for i, name in enumerate(names)]
    csv = "\ufeffimage,key,kind\r\n" + "".join(f'"{r["image"]}",{r["key"]},{r["kind"]}\r\n' for r in rows)
    (folder / "l.csv").write_text(csv)
    (folder / "l.tsv").write_text(csv.replace(",", "\t"))
    (folder / "l.jsonl").write_text("\n".join(json.dumps(r) for r in rows) + "\n\n")
    pq.write_table(pa.Table.from_pylist(rows), folder / "l.parquet")
    return {suffix: folder / f"l.{suffix}" for suffix in ("csv", "tsv", "jsonl", "parquet")}


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_list_files_with_columns(tmp_path: Path, make_pictures: Any, suffix: str) -> None:
    make_pictures(tmp_path / "p", 3)
    path = lists(tmp_path, ["p/000.png", str(tmp_path / "p/001.png"), "p/002.png"])[suffix]
    source = open_source(path, Columns(id="key", label="kind", group="kind"))
    assert list(source.items.ids) == ["k0", "k1", "k2"]
    assert source.items.labels == ["a", "b", "a"]
    assert source.items.groups == ["a", "b", "a"]
    assert source.items.strata is None
    assert list(source.items.sources) == [str(tmp_path / f"p/00{i}.png") for i in range(3)]
    assert open_source(path).items.ids[0] == "p/000.png"
    assert open_source(path, Columns(path="image")).items.ids == open_source(path).items.ids


def test_text_list(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path, 2)
    (tmp_path / "l.txt").write_text("000.png\r\n\n001.png\nmissing.png\n")
    source = open_source(tmp_path / "l.txt")
    assert list(source.items.ids) == ["000.png", "001.png", "missing.png"]
    assert source.pictures is not None
    with pytest.raises(BadPictureError, match="file not found"):
        source.pictures.load(2)


def test_a_nul_in_a_path_is_a_bad_picture(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path, 1)
    (tmp_path / "l.jsonl").write_text('{"path": "000.png"}\n{"path": "a\\u0000.png"}\n')
    source = open_source(tmp_path / "l.jsonl")
    assert source.pictures is not None
    with pytest.raises(BadPictureError, match="cannot read: embedded null byte"):
        source.pictures.load(1)


@pytest.mark.parametrize(
    ("name", "text", "columns", "words"),
    [
        ("l.csv", "picture,b\nx.png,1\n", {}, "has no column of paths (path, filepath, file or image), only"),
        ("l.csv", "path,b\nx.png\n", {}, "row 2 has 1 fields, the header has 2"),
        ("l.csv", "", {}, "is empty; a header line"),
        ("l.csv", "path\n000.png\n", {"label": "y"}, "label_column= / --label-column: "),
        ("l.csv", "path\n000.png\n", {"path": "y"}, "path_column: "),
        ("l.csv", 'path,b\n000.png,1\n"",2\n', {}, "column 'path' of"),
        ("l.csv", "path\n000.png\n000.png\n", {}, "'000.png' (rows 0 and 1) come twice"),
        ("l.jsonl", '{"path": "000.png"}\n{"path"\n', {}, "line 2 is not JSON"),
        ("l.csv", "path,b,b\n000.png,1,2\n", {}, "has two columns 'b'"),
        ("l.jsonl", '{"path": "000.png", "y": "\\ud800"}\n', {"label": "y"}, "labels hold '\\ud800' in row 0"),
        ("l.jsonl", "[1]\n", {}, "line 1 must be a JSON object, got list"),
        ("l.txt", "\n\n", {}, "lists no pictures"),
        ("l.txt", "a.png\nb.png\n", {}, "none of the 2 files listed in"),
        ("l.txt", b"\xff\xfe\x00", {}, "is not UTF-8 text"),
        ("l.parquet", "no parquet", {}, "cannot be read as Parquet"),
    ],
)
def test_bad_lists(
    tmp_path: Path, make_pictures: Any, name: str, text: Any, columns: dict[str, str], words: str
) -> None:
    make_pictures(tmp_path, 1)
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInput) as caught:
        open_source(tmp_path / name, Columns(**columns))
    assert words in str(caught.value)


# ---------------------------------------------------------------- vectors


def test_vectors_from_files_arrays_and_columns(tmp_path: Path) -> None:
    a, b = np.arange(12, dtype=np.float16).reshape(4, 3), np.arange(8, dtype=np.float64).reshape(4, 2)
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    np.savez(tmp_path / "z.npz", X=a, Y=b, names=np.array(["p", "q", "r", "s"]), y=np.array([1, 2, 3, 4]))
    table = pa.table(
        {"a": list(a.astype(float)), "b": pa.FixedSizeListArray.from_arrays(b.ravel(), 2), "n": [1, 2, 3, 4]}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    columns = Columns(id="names", label="y")
    cases = {
        "file": (open_source(tmp_path / "a.npy"), ["a"]),
        "files": (open_source([tmp_path / "a.npy", str(tmp_path / "b.npy")]), ["a", "b"]),
        "npz": (open_source(tmp_path / "z.npz", columns), ["z.X", "z.Y"]),
        "one of npz": (open_source(tmp_path / "z.npz", Columns(vectors=("X",))), ["z"]),
        "dict": (open_source({"one": a, "two": b}), ["one", "two"]),
        "array": (open_source(a), ["vectors"]),
        "parquet": (open_source(tmp_path / "t.parquet", Columns(label="n")), ["a", "b"]),
    }
    for name, (source, names) in cases.items():
        assert source.vectors is not None, name
        assert list(source.vectors.arrays) == names
        np.testing.assert_array_equal(source.vectors.arrays[names[0]], a)
    assert list(cases["npz"][0].items.ids) == ["p", "q", "r", "s"]
    assert cases["parquet"][0].items.labels == ["1", "2", "3", "4"]
    assert isinstance(cases["file"][0].vectors.arrays["a"], np.memmap)  # type: ignore[union-attr]
    kept = cases["files"][0].vectors.backbone_infos("auto")  # type: ignore[union-attr]
    assert [info.dtype for info in kept] == ["float16", "float32"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": np.ones((3, 2)), "b": np.ones((4, 2))}, 'but "a" has 3, "b" has 4'),
        ({"a": np.ones(3)}, "source['a'] must be 2-D (rows, features), got shape (3,)"),
        ({"a": np.array([["x"]])}, "must hold float16, float32 or float64 numbers, got dtype <U1"),
        ({}, "source holds no vectors"),
    ],
)
def test_bad_vectors(value: Any, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_source(value)
    assert words in str(caught.value)


def test_bad_vector_files(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_text("no array")
    (tmp_path / "a.npz").write_text("no archive")
    np.savez(tmp_path / "b.npz", names=np.array(["x"]))
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    pq.write_table(pa.table({"v": [[1.0], [1.0, 2.0]]}), tmp_path / "r.parquet")
    for name, words in {
        "a.npy": "cannot be read as .npy of numbers",
        "a.npz": "cannot be read as .npz of numbers",
        "b.npz": "has no 2-D array of numbers, only ['names']",
        "o.npy": "cannot be read as .npy of numbers",
        "r.parquet": "must hold vectors of one length without gaps",
    }.items():
        with pytest.raises(InvalidInput) as caught:
            open_source(tmp_path / name)
        assert words in str(caught.value)


def test_objects_in_an_npz_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.ones((2, 3)), names=np.array(["a", "b"], dtype=object))
    source = open_source(tmp_path / "a.npz")
    assert source.vectors is not None
    assert list(source.vectors.arrays) == ["a"]
    with pytest.raises(InvalidInput, match=r"array 'names' of .* holds Python objects, which are not read"):
        open_source(tmp_path / "a.npz", Columns(id="names"))
    whole = (tmp_path / "a.npz").read_bytes()
    at = whole.index(b"NUMPY") + 140
    (tmp_path / "torn.npz").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(InvalidInput, match="array 'X' of .* cannot be read"):
        open_source(tmp_path / "torn.npz")


def test_backbones_whose_names_fall_together_are_not_dropped(tmp_path: Path) -> None:
    arrays = {"a b": np.ones((3, 2)), "a_b": np.full((3, 2), 2.0)}
    with pytest.raises(InvalidInput, match="'a b' and 'a_b' both become the backbone 'a_b'"):
        open_source(arrays)
    np.savez(tmp_path / "v.npz", **arrays)
    with pytest.raises(InvalidInput, match="get the same name once odd characters are replaced"):
        open_source(tmp_path / "v.npz")
    pq.write_table(pa.table({name: value.tolist() for name, value in arrays.items()}), tmp_path / "v.parquet")
    with pytest.raises(InvalidInput, match="'a b' and 'a_b' both become the backbone 'a_b'"):
        open_source(tmp_path / "v.parquet")


def test_vector_columns_of_an_npy_are_not_ignored(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 3)))
    with pytest.raises(InvalidInput, match=r"--vector-column names arrays of an .npz .*; a.npy holds one array"):
        open_source(tmp_path / "a.npy", Columns(vectors=("x",)))


def test_parquet_vectors_in_several_chunks(tmp_path: Path) -> None:
    rows = [[float(i), float(-i)] for i in range(10)]
    pq.write_table(pa.table({"v": rows}), tmp_path / "v.parquet", row_group_size=3)
    column = pa.chunked_array([rows[:4], [], rows[4:]], type=pa.list_(pa.float64()))
    for vectors in (
        open_source(tmp_path / "v.parquet").vectors,
        from_parquet({"v": column}, tmp_path / "v.parquet", Columns()),
    ):
        assert vectors is not None
        np.testing.assert_array_equal(vectors.arrays["v"], rows)


# ---------------------------------------------------------------- decoding


def test_hashing_vectors_holds_one_block_at_a_time() -> None:
    array = np.zeros((200_000, 32), dtype=np.float32)  # 25.6 MB; a block has 2.1 MB
    tracemalloc.start()
    array_digest(array)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


def test_files_that_are_no_arrays_are_not_called_pickles(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_text("text")
    with pytest.raises(
        InvalidInput, match=r"x\.npy cannot be read as \.npy of numbers: it holds Python objects, or is no"
    ):
        open_source(tmp_path / "x.npy")


def test_array_of_an_npz_names_its_option(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", X=np.ones((3, 2)))
    with pytest.raises(InvalidInput, match=r"id_column= / --id-column: .*x\.npz has no array 'name', only \['X'\]"):
        open_source(tmp_path / "x.npz", Columns(id="name"))


def test_torch_bfloat16_is_read_as_float32() -> None:
    torch = pytest.importorskip("torch")
    vectors = open_source({"a": torch.ones((3, 2), dtype=torch.bfloat16)}).vectors
    assert vectors is not None
    assert vectors.arrays["a"].dtype == np.float32


def test_every_mode_becomes_rgb() -> None:
    grey = Image.fromarray(np.arange(0, 256, dtype=np.uint8).reshape(16, 16))
    assert np.asarray(decode(encoded(grey)))[15, 15].tolist() == [255, 255, 255]
    deep = Image.fromarray((np.arange(256, dtype=np.uint16) * 257).reshape(16, 16))
    np.testing.assert_array_equal(np.asarray(decode(encoded(deep)))[:, :, 0], np.asarray(grey))
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert np.asarray(decode(encoded(clear)))[0, 0].tolist() == [255, 255, 255]
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    assert np.asarray(decode(encoded(palette)))[0, 0].tolist() == [10, 200, 30]
    assert np.asarray(decode(encoded(palette, transparency=1)))[0, 0].tolist() == [255, 255, 255]
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = np.asarray(decode(encoded(cmyk, "JPEG")))[0, 0].astype(int)
    assert red[0] > 240
    assert red[1:].max() < 20
    assert decode(encoded(Image.new("1", (4, 4), 1))).mode == "RGB"


def test_exif_orientation_is_applied() -> None:
    picture = Image.new("RGB", (8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture, "JPEG", exif=exif)
    assert decode(data).size == (4, 8)
    np.testing.assert_array_equal(np.asarray(as_picture(Image.open(io.BytesIO(data)), "x")), np.asarray(decode(data)))


@pytest.mark.parametrize("allowed_elsewhere", [False, True])
def test_bad_files_have_reasons(allowed_elsewhere: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", allowed_elsewhere)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    jpeg, png = encoded(Image.fromarray(noise), "JPEG"), encoded(Image.fromarray(noise))
    cases = {
        b"": "empty file (0 bytes)",
        b"just some text": "not a picture in a format that Pillow knows",
        jpeg[: len(jpeg) // 2]: "cannot decode: OSError: image file is truncated",
        jpeg[:-40]: "cannot decode: OSError: image file is truncated",
        png[: len(png) // 2]: "cannot decode: ",
        png[:300] + b"\0\0\0\0" + png[304:]: "cannot decode: ",
    }
    for data, words in cases.items():
        with pytest.raises(BadPictureError) as caught:
            decode(data)
        assert words in str(caught.value)
        assert "0x" not in str(caught.value)
    assert allowed_elsewhere == ImageFile.LOAD_TRUNCATED_IMAGES


def test_decoding_threads_give_back_the_settings_of_the_process() -> None:
    data = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)), "JPEG")
    before, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: decode(data), range(800)))
    assert before == Image.MAX_IMAGE_PIXELS
    assert before is not None
    assert list(warnings.filters) == filters


def test_decompression_bomb() -> None:
    raw = bytearray(encoded(Image.new("L", (2, 2))))
    raw[16:24] = struct.pack(">II", 60_000, 60_000)
    raw[29:33] = struct.pack(">I", __import__("zlib").crc32(bytes(raw[12:29])))
    with pytest.raises(BadPictureError, match="60000 x 60000 pixels are more than max_pixels=178956970"):
        decode(bytes(raw))
    assert Image.MAX_IMAGE_PIXELS is not None


def test_pictures_without_a_natural_range_are_bad() -> None:
    with pytest.raises(BadPictureError, match="floating-point picture: it has no natural range"):
        decode(encoded(Image.fromarray(np.ones((4, 4), dtype=np.float32)), "TIFF"))
    with pytest.raises(BadPictureError, match=r"integer picture with values 70000..70000, 0..65535 is the limit"):
        decode(encoded(Image.fromarray(np.full((4, 4), 70000, dtype=np.int32)), "TIFF"))


def test_pictures_in_memory() -> None:
    array = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    for value in (array, array.transpose(2, 0, 1), Image.fromarray(array)):
        np.testing.assert_array_equal(np.asarray(as_picture(value, "x")), array)
    assert as_picture(array[:, :, :1], "x").mode == "RGB"
    assert as_picture(np.ones((3, 4, 4)), "x").dtype == np.float32
    with pytest.raises(InvalidInput, match=r"source\[0\] must be a PIL image, .* got ndarray of dtype int64 and shape"):
        as_picture(np.ones((4, 4), dtype=np.int64), "source[0]")
    source = open_source([Image.fromarray(array), array])
    assert list(source.items.ids) == ["0", "1"]
    assert open_source(np.stack([array, array])).pictures is not None


# ---------------------------------------------------------------- preprocessing


def test_preprocess_in_numbers() -> None:
    torch = pytest.importorskip("torch")
    picture = Image.new("RGB", (40, 20), (255, 0, 51))
    default = Preprocess()(picture)
    assert default.shape == (3, 224, 224)
    expected = (torch.tensor([1.0, 0.0, 0.2]) - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    torch.testing.assert_close(default[:, 0, 0], expected)
    caffe = Preprocess(size=8, channels="bgr", scale=255, mean=(104, 117, 123), std=(1, 1, 1), fit="squash")
    torch.testing.assert_close(caffe(picture)[:, 0, 0], torch.tensor([51.0 - 104, -117.0, 255.0 - 123]))
    assert Preprocess(size=None, mean=(0, 0, 0), std=(1, 1, 1))(picture).shape == (3, 20, 40)
    assert "BGR; resized to 8 x 8" in str(caffe)


def test_a_strip_is_cut_before_it_is_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    strip = Image.fromarray(np.random.default_rng(0).integers(0, 256, (3001, 7, 3), dtype=np.uint8))
    preprocess = Preprocess(size=20, resize=24)
    whole = np.asarray(preprocess.place(strip), dtype=int)
    monkeypatch.setattr("oneglance.features.preprocess._MOST_RESIZED", 1000)
    assert preprocess.place(strip).size == (20, 20)
    assert np.abs(np.asarray(preprocess.place(strip), dtype=int) - whole).max() <= 2
    monkeypatch.undo()
    sizes: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def noted(self: Image.Image, size: tuple[int, int], *given: Any) -> Image.Image:
        sizes.append(size)
        return resize(self, size, *given)

    monkeypatch.setattr(Image.Image, "resize", noted)
    Preprocess(size=224, resize=256).place(Image.new("RGB", (1, 20_000)))
    assert sizes == [(224, 224)]


def test_preprocess_crops_the_centre() -> None:
    pytest.importorskip("torch")
    array = np.zeros((10, 30, 3), dtype=np.uint8)
    array[:, 10:20] = 255
    out = Preprocess(size=10, filter="nearest", mean=(0, 0, 0), std=(1, 1, 1))(Image.fromarray(array))
    assert float(out.min()) == 1.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fit": "zoom"}, "fit must be one of ('crop', 'squash'), got 'zoom'"),
        ({"mean": (1, 2)}, "mean must be three numbers"),
        ({"std": (1, 0, 1)}, "std and scale must be > 0"),
        ({"size": 0}, "size must be an integer >= 1"),
        ({"resize": 100}, "resize must be >= size=224, got 100"),
    ],
)
def test_preprocess_arguments(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Preprocess(**options)
    assert words in str(caught.value)


def test_words_for_functions_tell_their_code_apart() -> None:
    def one(picture: Any) -> Any:
        return picture

    def two(picture: Any) -> Any:
        return [picture]

    two.__qualname__ = one.__qualname__
    assert in_words(one) != in_words(two)
    assert "0x" not in in_words(lambda picture: picture)


def test_words_tell_apart_what_a_preprocessing_holds() -> None:
    """Else a store is continued with pictures of another size."""

    def sized(side: int, *, mean: Any = None) -> Any:
        return lambda picture: (picture.resize((side, side)), mean)

    class Sized:
        def __init__(self, side: int) -> None:
            self.side = side

        def __call__(self, picture: Any) -> Any:
            return picture.resize((self.side, self.side))

    def resized(picture: Any, side: int) -> Any:
        return picture.resize((side, side))

    def with_default(side: int) -> Any:
        def inner(picture: Any, *, side: int = side) -> Any:
            return resized(picture, side)

        return inner

    for make in (
        sized,
        Sized,
        with_default,
        lambda side: Sized(side).__call__,
        lambda side: functools.partial(resized, side=side),
        lambda side: functools.partial(sized(side), 1),
        lambda side: sized(8, mean=np.full(4000, side)),
    ):
        assert in_words(make(8)) == in_words(make(8))
        assert in_words(make(8)) != in_words(make(9))
        assert "0x" not in in_words(make(8))
    held: list[Any] = []

    def first(picture: Any) -> Any:
        return second(picture)

    def second(picture: Any) -> Any:
        return first(picture) if held else picture

    assert "first" in in_words(first)


@pytest.mark.parametrize(
    "columns", [Columns(group="scene"), Columns(id="name"), Columns(path="x"), Columns(vectors=("v",))]
)
def test_columns_of_sources_without_columns_are_refused(tmp_path: Path, make_pictures: Any, columns: Columns) -> None:
    """They were ignored: groups that were named leaked."""
    make_pictures(tmp_path / "pool", 3)
    files = sorted(str(path) for path in (tmp_path / "pool").iterdir())
    for source in (tmp_path / "pool", files, np.zeros((3, 8, 8, 3), dtype=np.uint8)):
        with pytest.raises(InvalidInput, match=r"-column '\w+': .* has no columns. Give a list file"):
            open_source(source, columns)


def test_pictures_that_oneglance_wrote_are_none_of_a_pool(tmp_path: Path, make_pictures: Any) -> None:
    make_pictures(tmp_path, 3)
    for folder, picture, mark in (("vit", "told.png", "backbone.json"), ("e", "evaluation.png", "evaluation.json")):
        make_pictures(tmp_path / folder, 1)
        (tmp_path / folder / "000.png").rename(tmp_path / folder / picture)
        assert len(open_source(tmp_path).items) == 4, "somebody's picture of that name"
        (tmp_path / folder / mark).write_text("{}")
        assert len(open_source(tmp_path).items) == 3
