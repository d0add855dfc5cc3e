"""Ready vectors as features: .npy, .npz, Parquet list columns, arrays."""

from __future__ import annotations

import itertools
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import as_matrix
from .._types import FloatArray
from ..errors import InvalidInput
from ..store import BackboneInfo, Items, SourceInfo, StoreWriter
from ..store.files import digest, digest_of
from ..store.items import list_width
from .listfile import Columns, column_of, strings, without_gaps
from .progress import Callback, Meter
from .specs import default_name

VECTOR_SUFFIXES = (".npy", ".npz")
_HASH_ROWS = 1 << 14


@dataclass(frozen=True)
class Vectors:
    """Vectors of one or more backbones for the same items: arrays (n, d_b), possibly memory maps."""

    info: SourceInfo
    items: Items
    arrays: Mapping[str, FloatArray]

    def backbone_infos(self, dtype: str) -> list[BackboneInfo]:
        """dtype "auto" keeps float16 and float32 as they are; float64 and integers become float32."""
        infos = []
        for name, array in self.arrays.items():
            kept = "float16" if array.dtype == np.float16 else "float32"
            infos.append(
                BackboneInfo(
                    name=name,
                    spec="ready vectors",
                    model_hash="",
                    preprocessing="none: ready vectors",
                    pooling="none",
                    compute="none",
                    n_dims=array.shape[1],
                    dtype=kept if dtype == "auto" else dtype,
                )
            )
        return infos


def from_arrays(arrays: Mapping[str, Any], columns: Columns) -> Vectors:
    """A dict name -> (n, d) array; 1-D arrays named by the columns are ids, labels, ..."""
    return _build({str(name): value for name, value in arrays.items()}, columns, "arrays", "source")


def from_files(paths: Sequence[Path], columns: Columns) -> Vectors:
    """.npy files (memory-mapped; name = file name) and .npz files (name = file name, or file.array)."""
    arrays: dict[str, Any] = {}
    for path in paths:
        stem = default_name(path.stem)
        loaded = _load(path)
        if isinstance(loaded, np.ndarray):
            found: dict[str, Any] = {stem: loaded}
        else:
            with loaded:
                found = _from_npz(loaded, stem, columns, path)
        twice = sorted(set(found) & set(arrays) - set(columns.named().values()))
        if twice:
            raise InvalidInput(f"source: two of the files give vectors named {twice[0]!r}. Rename one file.")
        arrays.update(found)
    names = ", ".join(path.name for path in paths)
    if columns.vectors and all(path.suffix.lower() == ".npy" for path in paths):
        raise InvalidInput(
            f"vector_columns= / --vector-column names arrays of an .npz or columns of a .parquet; {names} holds one "
            "array. Leave it out."
        )
    return _build(arrays, columns, f"vectors {names}", names)


def _load(path: Path) -> Any:
    if not path.exists():
        raise InvalidInput(f"source: {path} does not exist.")
    try:
        return np.load(path, mmap_mode="r" if path.suffix.lower() == ".npy" else None, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        # NumPy takes what it does not know for a pickle, and advises to load it unsafely.
        strange = "pickle" in str(error) or "Python objects" in str(error)
        why = "it holds Python objects, or is no such file" if strange else error
        raise InvalidInput(
            f"source: {path} cannot be read as {path.suffix} of numbers: {why}. Write a 2-D array of floats with numpy."
        ) from None


def _from_npz(archive: Any, stem: str, columns: Columns, path: Path) -> dict[str, Any]:
    named = set(columns.named().values())
    for key in (*columns.vectors, *named):
        if key not in archive.files:
            option = next((columns.option(role) for role, column in columns.named().items() if column == key), "source")
            raise InvalidInput(f"{option}: {path} has no array {key!r}, only {archive.files}.")
    wanted = list(columns.vectors)
    if not wanted:
        wanted = [key for key in archive.files if key not in named and _is_matrix(archive, key, path)]
    if not wanted:
        raise InvalidInput(f"source: {path} has no 2-D array of numbers, only {archive.files}.")
    found = {stem if len(wanted) == 1 else f"{stem}.{default_name(key)}": _member(archive, key, path) for key in wanted}
    if len(found) < len(wanted):
        raise InvalidInput(
            f"source: arrays of {path} get the same name once odd characters are replaced: {wanted}. Rename one."
        )
    return {**found, **{key: _member(archive, key, path) for key in named}}


def _is_matrix(archive: Any, key: str, path: Path) -> bool:
    try:
        array = _member(archive, key, path)
    except _HoldsObjectsError:  # names and the like, which nobody asked for
        return False
    return array.ndim == 2 and array.dtype.kind in "fiu"


class _HoldsObjectsError(InvalidInput):
    """An array of Python objects."""


def _member(archive: Any, key: str, path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = archive[key]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if "Object arrays" in str(error):
            raise _HoldsObjectsError(
                f"source: array {key!r} of {path} holds Python objects, which are not read: they can run code. Save it "
                "as numbers or text, e.g. array.astype(str)."
            ) from None
        raise InvalidInput(f"source: array {key!r} of {path} cannot be read: {error}. Write the file again.") from None
    return array


def vector_columns(table: Mapping[str, Any]) -> list[str]:
    """Columns of a Parquet table that hold one vector per row."""
    return [name for name, values in table.items() if hasattr(values, "type") and list_width(values.type)]


def from_parquet(table: Mapping[str, Any], path: Path, columns: Columns) -> Vectors:
    """List columns of a Parquet file (name = column)."""
    available = vector_columns(table)
    for name in columns.vectors:
        if name not in available:
            raise InvalidInput(f"vector_column: {path} has no list column {name!r}, only {available}.")
    arrays: dict[str, Any] = {}
    for name in columns.vectors or available:
        arrays[name] = _matrix_of(table[name], name, path)
    for role, column in columns.named().items():
        arrays[column] = np.array([*column_of(dict(table), column, role, columns, path), None], dtype=object)[:-1]
    return _build(arrays, columns, f"vectors {path.name}", str(path))


def _matrix_of(column: Any, name: str, path: Path) -> FloatArray:
    """Chunk by chunk: as one Arrow list, more than 2**31 numbers would overflow its offsets."""
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    lengths: set[int] = set()
    for chunk in chunks:
        found = chunk.value_lengths().to_numpy(zero_copy_only=False)
        lengths |= {int(length) for length in np.unique(found[np.isfinite(found)])}
    if column.null_count or len(lengths) != 1:
        raise InvalidInput(
            f"source: column {name!r} of {path} must hold vectors of one length without gaps, got "
            f"{column.null_count} empty rows and lengths {sorted(lengths)[:4]}."
        )
    blocks = [chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), -1) for chunk in chunks]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _build(arrays: Mapping[str, Any], columns: Columns, description: str, where: str) -> Vectors:
    named = columns.named()
    for role, column in named.items():
        if column not in arrays:
            raise InvalidInput(f"{columns.option(role)}: {where} has no {column!r}, only {list(arrays)}.")
    matrices: dict[str, FloatArray] = {}
    given_as: dict[str, str] = {}
    for name, value in arrays.items():
        if name in named.values():
            continue
        kept = default_name(name)
        if kept in given_as:
            raise InvalidInput(
                f"source: {given_as[kept]!r} and {name!r} both become the backbone {kept!r}. Rename one of them."
            )
        given_as[kept] = name
        matrices[kept] = as_matrix(value, f"source[{name!r}]")
    if not matrices:
        raise InvalidInput("source holds no vectors; at least one 2-D array (items, features) is needed.")
    rows = {name: matrix.shape[0] for name, matrix in matrices.items()}
    if len(set(rows.values())) > 1:
        listed = ", ".join(f'"{name}" has {count}' for name, count in rows.items())
        raise InvalidInput(
            f"source: all backbones must have the same number of rows, but {listed}. Give arrays of one pool only "
            "(for an .npz choose them with vector_column= / --vector-column)."
        )
    n_items = next(iter(rows.values()))
    given = {role: _strings_of(arrays[column], column, n_items) for role, column in named.items()}
    width = len(str(n_items - 1))
    ids = (
        without_gaps(given["id"], f"{columns.id!r}", Path(where))
        if "id" in given
        else [f"{row:0{width}d}" for row in range(n_items)]
    )
    places = [f"{description}[{row}]" for row in range(n_items)]
    items = Items(ids, places, given.get("label"), given.get("stratum"), given.get("group"), where=where)
    hashes = [array_digest(matrix) for matrix in matrices.values()]
    mark = digest(items.digest().encode(), *(text.encode() for text in hashes))
    return Vectors(SourceInfo("ready vectors", description, mark), items, matrices)


def _strings_of(values: Any, column: str, n_items: int) -> list[str | None]:
    array = np.asarray(values)
    if array.shape != (n_items,):
        raise InvalidInput(f"column {column!r} must have one entry per row ({n_items},), got shape {array.shape}.")
    return strings(array.tolist())


def array_digest(array: FloatArray) -> str:
    """Hash of shape, dtype and values; reads the array once."""
    head = repr((array.shape, array.dtype.str)).encode()
    blocks = (array[first : first + _HASH_ROWS] for first in range(0, array.shape[0], _HASH_ROWS))
    return digest_of(itertools.chain([head], (np.ascontiguousarray(block).tobytes() for block in blocks)))


def finite_rows(features: FloatArray, first: int, backbone: str) -> dict[int, str]:
    """row of the pool -> reason, for rows that are not finite or all zero."""
    finite = np.isfinite(features).all(axis=1)
    zero = finite & ~features.any(axis=1)
    bad = {first + int(row): f'backbone "{backbone}": features are not finite' for row in np.flatnonzero(~finite)}
    bad.update({first + int(row): f'backbone "{backbone}": features are all zero' for row in np.flatnonzero(zero)})
    return bad


def write_vectors(writer: StoreWriter, vectors: Vectors, callback: Callback | None) -> None:
    """Copies ready vectors into a store, shard by shard. Memory: one shard."""
    missing = writer.missing()
    todo = sum(writer.ranges[shard][1] - writer.ranges[shard][0] for shard, _ in missing)
    meter = Meter("embed", len(writer.items) - todo, len(writer.items), callback)
    for shard, names in missing:
        first, stop = writer.ranges[shard]
        for name in names:
            with np.errstate(over="ignore"):  # float64 beyond float32 becomes inf, and is listed as such
                given = np.asarray(vectors.arrays[name][first:stop])
                rows = given if given.dtype == np.float16 else given.astype(np.float32, copy=False)
            bad = finite_rows(rows, first, name)
            for row in bad:
                if np.isfinite(given[row - first]).all() and given[row - first].any():
                    bad[row] = f'backbone "{name}": values beyond the range of float32 (1e-45 .. 3.4e38)'
            writer.write(shard, name, rows, bad)
        writer.check_bad_fraction()
        meter.advance(stop - first, writer.n_bad)
