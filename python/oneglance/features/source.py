"""What a pool is read from: an image folder, a list file, ready vectors, or pictures in memory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidInput
from ..store import Items, SourceInfo
from ..store.files import digest
from ..store.manifest import MANIFEST
from .listfile import LIST_SUFFIXES, Columns, choose_path_column, column_of, read_list, without_gaps
from .pictures import MAX_PIXELS, BadPictureError, FilePictures, MemoryPictures, Pictures
from .vectors import VECTOR_SUFFIXES, Vectors, from_arrays, from_files, from_parquet, vector_columns

IMAGE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".webp",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".jp2",
        ".j2k",
        ".avif",
        ".tga",
    ]
)
_OWN_PICTURES = {"told.png": "backbone.json", "evaluation.png": "evaluation.json"}
"""Pictures that oneglance writes, and the file beside them that says so: no pictures of a pool."""


@dataclass(frozen=True)
class Source:
    """A pool that is ready to be read: its items, and either pictures or ready vectors."""

    info: SourceInfo
    items: Items
    pictures: Pictures | None = None
    vectors: Vectors | None = None


def open_source(
    source: Any, columns: Columns | None = None, *, max_pixels: int = MAX_PIXELS, for_backbones: bool = False
) -> Source:
    """Finds out what `source` is. for_backbones: pictures are wanted where a Parquet file offers both.

    str or Path   a folder, or a .txt/.csv/.tsv/.jsonl/.parquet list, or .npy/.npz vectors
    list          of paths of pictures, of .npy/.npz files (one backbone each), of PIL images or uint8 arrays
    array         2-D: vectors; uint8 (N, H, W[, 3]) or float (N, C, H, W): pictures
    dict          name -> 2-D array: vectors of several backbones
    other         anything with len() and [row], e.g. a torch Dataset of pictures or (picture, target)

    Raises InvalidInput.
    """
    columns = columns or Columns()
    if isinstance(source, (str, os.PathLike)):
        return _from_path(Path(source), columns, max_pixels, for_backbones)
    if isinstance(source, Mapping):
        return _vectors(from_arrays(source, columns))
    if isinstance(source, (list, tuple)):
        if not source:
            raise InvalidInput("source is an empty list; at least one item is needed.")
        if all(isinstance(item, (str, os.PathLike)) for item in source):
            paths = [Path(item) for item in source]
            if len(paths) == 1:
                return _from_path(paths[0], columns, max_pixels, for_backbones)
            if all(path.suffix.lower() in VECTOR_SUFFIXES for path in paths):
                return _vectors(from_files(paths, columns))
            folders = [path for path in paths if path.is_dir()]
            if folders:
                raise InvalidInput(
                    f"source: a list may hold files only, but {folders[0]} is a folder. Give one folder."
                )
            _refuse_columns(columns, "source is a list of paths")
            return _from_paths(paths, max_pixels)
    elif getattr(source, "ndim", None) == 2:
        return _vectors(from_arrays({"vectors": source}, columns))
    if hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        _refuse_columns(columns, f"source is {len(source)} pictures in memory")
        return _in_memory(source)
    raise InvalidInput(
        "source must be a folder, a list file, an array, a dict of arrays, or a list of paths or pictures, "
        f"got {type(source).__name__}."
    )


def _refuse_columns(columns: Columns, what: str) -> None:
    """Raises InvalidInput where a column is named and there is none."""
    named = {**columns.named(), **({} if columns.path is None else {"path": columns.path})}
    if named or columns.vectors:
        role, name = next(iter(named.items()), ("vector", str(columns.vectors[:1])[2:-3]))
        raise InvalidInput(
            f"{columns.option(role)} {name!r}: {what}, which has no columns. Give a list file (csv, jsonl, parquet) "
            "with that column, or leave it out."
        )


def _vectors(vectors: Vectors) -> Source:
    return Source(vectors.info, vectors.items, vectors=vectors)


def _from_path(path: Path, columns: Columns, max_pixels: int, for_backbones: bool) -> Source:
    suffix = path.suffix.lower()
    if path.is_dir():
        if (path / MANIFEST).is_file():
            raise InvalidInput(f"source: {path} is a feature store already; open it with open_store(), or select.")
        _refuse_columns(columns, f"{path} is a folder")
        return _from_folder(path, max_pixels)
    if not path.exists():
        raise InvalidInput(f"source: {path} does not exist.")
    if suffix in VECTOR_SUFFIXES:
        return _vectors(from_files([path], columns))
    if suffix in LIST_SUFFIXES:
        return _from_list(path, columns, max_pixels, for_backbones)
    if suffix in IMAGE_SUFFIXES:
        raise InvalidInput(f"source: {path} is one picture; a pool is needed. Give its folder {path.parent}.")
    known = ", ".join((*LIST_SUFFIXES, *VECTOR_SUFFIXES))
    raise InvalidInput(f"source: {path} must be a folder or a file of type {known}, got {suffix or 'no suffix'!r}.")


def _from_folder(folder: Path, max_pixels: int) -> Source:
    found: list[tuple[str, int]] = []
    other: Counter[str] = Counter()
    _walk(folder, "", found, other, set())
    if not found:
        seen = ", ".join(f"{count} x {suffix}" for suffix, count in other.most_common(4))
        raise InvalidInput(
            f"source: {folder} holds no pictures ({'it has ' + seen if seen else 'it is empty'}). Pictures end in "
            f"{' '.join(sorted(IMAGE_SUFFIXES))}; hidden files are left out."
        )
    found.sort()
    names, sizes = [name for name, _ in found], [size for _, size in found]
    root = Path(os.path.abspath(folder))
    _refuse_strange_names([str(root)])
    _refuse_strange_names(names)
    labels = [name.rpartition("/")[0] or None for name in names]
    paths = [os.path.join(root, name) for name in names]
    items = Items(names, paths, labels if any(labels) else None, where=f"source {folder}")
    info = SourceInfo(
        "image folder", f"image folder {root.name}", digest(items.digest().encode(), repr(sizes).encode())
    )
    return Source(info, items, FilePictures(paths, max_pixels))


def _walk(
    folder: Path, inside: str, found: list[tuple[str, int]], other: Counter[str], above: set[tuple[int, int]]
) -> None:
    try:
        entries = list(os.scandir(folder))
        stat = os.stat(folder)
    except OSError as error:
        raise InvalidInput(f"source: {folder} cannot be listed: {error.strerror}.") from None
    here = (stat.st_dev, stat.st_ino)
    if here in above:  # a link to a folder that we are inside of
        return
    names = {entry.name for entry in entries}
    for entry in entries:
        if entry.name.startswith("."):
            continue
        suffix = os.path.splitext(entry.name)[1].lower()
        if _OWN_PICTURES.get(entry.name) in names:
            continue
        if _is_folder(entry):
            _walk(folder / entry.name, f"{inside}{entry.name}/", found, other, above | {here})
        elif suffix in IMAGE_SUFFIXES:
            found.append((inside + entry.name, file_size(entry.path)))
        else:
            other[suffix or "no suffix"] += 1


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """False for a link that leads nowhere, to itself or where one may not look; a picture by its name is then bad."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def file_size(path: str) -> int:
    """Bytes, -1 where there is no file (the item will be listed as bad)."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return -1


def _refuse_strange_names(names: Sequence[str]) -> None:
    strange = [name for name in names if not _is_utf8(name)]
    if strange:
        shown = ", ".join(repr(os.fsencode(name)) for name in strange[:3])
        raise InvalidInput(f"source: {len(strange)} names are not UTF-8 ({shown}). Rename these files or folders.")


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _from_list(path: Path, columns: Columns, max_pixels: int, for_backbones: bool) -> Source:
    table = read_list(path)
    path_column = choose_path_column(table, columns.path, path)
    lists = vector_columns(table)
    if columns.vectors or (lists and columns.path is None and not (for_backbones and path_column)):
        return _vectors(from_parquet(table, path, columns))
    if path_column is None:
        raise InvalidInput(
            f"source: {path} has no column of paths (path, filepath, file or image), only {list(table)}. "
            "Name it with path_column= / --path-column."
        )
    written = without_gaps(column_of(table, path_column, "path", columns, path), f"column {path_column!r}", path)
    if not written:
        raise InvalidInput(f"source: {path} lists no pictures.")
    given = {role: column_of(table, name, role, columns, path) for role, name in columns.named().items()}
    ids = without_gaps(given["id"], f"column {columns.id!r}", path) if "id" in given else written
    base = Path(os.path.abspath(path)).parent
    _refuse_strange_names([str(base)])
    paths = [str(base / name) for name in written]
    items = Items(ids, paths, given.get("label"), given.get("stratum"), given.get("group"), where=f"source {path}")
    sizes = [file_size(file) for file in paths]
    if max(sizes) < 0:
        raise InvalidInput(f"source: none of the {len(paths)} files listed in {path} exists; the first is {paths[0]}.")
    mark = digest(items.digest().encode(), repr(sizes).encode(), repr(written).encode())
    return Source(SourceInfo("list file", f"list file {path.name}", mark), items, FilePictures(paths, max_pixels))


def _from_paths(paths: Sequence[Path], max_pixels: int) -> Source:
    names = [path.as_posix() for path in paths]
    _refuse_strange_names([*names, os.getcwd()])
    files = [os.path.abspath(path) for path in paths]
    items = Items(names, files, where="source")
    sizes = [file_size(file) for file in files]
    if max(sizes) < 0:
        raise InvalidInput(f"source: none of the {len(paths)} files exists; the first is {files[0]}.")
    mark = digest(items.digest().encode(), repr(sizes).encode())
    return Source(SourceInfo("list of paths", "list of paths", mark), items, FilePictures(files, max_pixels))


def _mark_of(pictures: Pictures, row: int) -> bytes:
    try:
        return pictures.load(row)[1]
    except BadPictureError as error:  # listed as bad when its turn comes
        return str(error).encode()


def _in_memory(pictures: Any) -> Source:
    n_items = len(pictures)
    if n_items == 0:
        raise InvalidInput("source has no items; at least one is needed.")
    width = len(str(n_items - 1))
    ids = [f"{row:0{width}d}" for row in range(n_items)]
    kind = type(pictures).__name__
    loader = MemoryPictures(pictures)
    if isinstance(pictures, (list, tuple, np.ndarray)) or hasattr(pictures, "detach"):
        mark = digest(*(_mark_of(loader, row) for row in range(n_items)))
    else:  # a Dataset may be slow: its pictures are compared shard by shard through their digests
        mark = digest(repr((kind, n_items)).encode())
    info = SourceInfo("pictures in memory", f"{n_items} pictures in memory ({kind})", mark)
    return Source(info, Items(ids, [f"{kind}[{row}]" for row in range(n_items)]), loader)
