"""Pictures from files or memory, decoded strictly: a picture is whole or it is bad, with a reason.

Decoding, the same for every backbone: first frame; EXIF orientation applied; alpha laid over white; 16-bit grey
divided by 257; palette, grey, CMYK and the like converted to 8-bit RGB by Pillow. Floating-point pictures and
32-bit integers outside 0..65535 have no natural range and count as bad.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from ..errors import InvalidInput, OneglanceError
from ..store.files import digest

DECODING = "Pillow, first frame, EXIF orientation applied, alpha over white, 16-bit grey / 257, converted to 8-bit RGB"
MAX_PIXELS = 178_956_970  # Pillow's own limit for what it calls a decompression bomb
STORED_MODE = "stored mode"  # key of a decoded picture's info: the mode of the file ("L", "P", "CMYK", ...)
_TRANSIENT = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN)
_ADDRESS = re.compile(r"(?: at)? 0x[0-9a-fA-F]+")


class BadPictureError(Exception):
    """This one item cannot be used; the text is the reason that the items table will show."""


class Pictures(Protocol):
    """The pictures of a pool by row: an RGB picture, or a float array (C, H, W) taken as preprocessed."""

    def __len__(self) -> int: ...

    def load(self, row: int) -> tuple[Any, bytes]:
        """The picture and a digest of its content. Raises BadPictureError."""
        ...


def plain_reason(error: BaseException) -> str:
    """An exception in one line without memory addresses: reasons must be the same bytes in every run."""
    text = _ADDRESS.sub("", " ".join(str(error).split()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class _StrictPillow:
    """Truncated files are errors whatever the program set before; the pixel limit is ours; no warnings.

    Pillow's settings and the filters of warnings belong to the whole process: the first of several decoding threads
    changes them, the last gives them back.
    """

    def __init__(self) -> None:
        self._guard, self._inside = threading.Lock(), 0
        self._before: tuple[bool, int | None] = (False, None)
        self._quiet = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._guard:
            self._inside += 1
            if self._inside == 1:
                self._before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
                ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, None
                self._quiet = warnings.catch_warnings()
                self._quiet.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._inside -= 1
            if self._inside == 0:
                self._quiet.__exit__(None, None, None)
                ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = self._before


_strict_pillow = _StrictPillow()


def to_rgb(picture: Image.Image) -> Image.Image:
    """8-bit RGB by the rules above. Raises BadPictureError."""
    if picture.mode == "RGB":
        return picture
    if picture.mode == "F":
        raise BadPictureError("floating-point picture: it has no natural range; convert it to 8 bits")
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise BadPictureError(
                f"integer picture with values {values.min()}..{values.max()}, 0..65535 is the limit; "
                "convert it to 8 bits"
            )
        return Image.fromarray((values // 257).astype(np.uint8)).convert("RGB")
    if "A" in picture.mode or "a" in picture.mode or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return picture.convert("RGB")


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The RGB picture in an encoded file; info[STORED_MODE] says what it was there.

    Raises BadPictureError; memory errors pass through.
    """
    if not data:
        raise BadPictureError("empty file (0 bytes)")
    try:
        with _strict_pillow:
            picture: Image.Image = Image.open(io.BytesIO(data))
            width, height = picture.size
            if width * height > max_pixels:
                raise BadPictureError(f"{width} x {height} pixels are more than max_pixels={max_pixels}")
            picture.load()
            rgb = to_rgb(_upright(picture))
            rgb.info[STORED_MODE] = picture.mode
            return rgb
    except (BadPictureError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadPictureError("not a picture in a format that Pillow knows") from None
    except Exception as error:
        raise BadPictureError(f"cannot decode: {plain_reason(error)}") from None


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # damaged EXIF says nothing about the pixels
        return picture


def read_bytes(path: Path) -> bytes:
    """A file's bytes; a flaky network disk gets two more tries. Raises BadPictureError."""
    for attempt in range(3):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise BadPictureError("file not found") from None
        except ValueError as error:  # a NUL in the name
            raise BadPictureError(f"cannot read: {error}") from None
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise
            if error.errno not in _TRANSIENT or attempt == 2:
                raise BadPictureError(f"cannot read: {error.strerror}") from None
            time.sleep(0.2 * (attempt + 1))
    raise BadPictureError("cannot read")


class FilePictures:
    """Pictures in files."""

    def __init__(self, paths: Sequence[str], max_pixels: int = MAX_PIXELS) -> None:
        # One block of bytes: forked workers would copy a million strings, one reference count after another. With
        # offsets, as one long path among them would widen every entry of a NumPy array of strings.
        encoded = [os.fsencode(path) for path in paths]
        self._ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        self._paths = b"".join(encoded)
        self._max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self._ends) - 1

    def path(self, row: int) -> Path:
        """Where the picture is."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        return Path(os.fsdecode(self._paths[self._ends[row] : self._ends[row + 1]]))

    def mark(self) -> str:
        """Hash of the paths, sizes and times of change: another one where a file was edited."""
        stats = (self._stat(row) for row in range(len(self)))
        return digest(self._paths, self._ends.tobytes(), repr(self._max_pixels).encode(), *stats)

    def _stat(self, row: int) -> bytes:
        try:
            found = os.stat(self.path(row))
        except (OSError, ValueError):
            return b"none"
        return b"%d %d" % (found.st_size, found.st_mtime_ns)

    def load(self, row: int) -> tuple[Any, bytes]:
        data = read_bytes(self.path(row))
        return decode(data, self._max_pixels), hashlib.blake2b(data, digest_size=16).digest()


class MemoryPictures:
    """Pictures in memory: PIL images, uint8 arrays (H, W), (H, W, 1), (H, W, 3), or float arrays (C, H, W).

    Anything with len() and [row] is taken, a torch Dataset too; of an item (picture, target) the first counts.
    """

    def __init__(self, pictures: Any) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def load(self, row: int) -> tuple[Any, bytes]:
        try:
            item = self._pictures[row]
            item = item[0] if isinstance(item, tuple) else item
            picture = as_picture(item, f"source[{row}]")
        except (BadPictureError, OneglanceError, MemoryError):
            raise
        except Exception as error:  # a Dataset that reads files of its own, a PIL image whose file is torn
            raise BadPictureError(f"cannot load: {plain_reason(error)}") from None
        deep = isinstance(item, Image.Image) and item.mode.startswith("I")  # 16 bits, of which 8 are left
        content = item.tobytes() if deep else picture.tobytes()
        shape = repr(picture.size if isinstance(picture, Image.Image) else picture.shape).encode()
        return picture, hashlib.blake2b(shape + content, digest_size=16).digest()


def as_picture(value: Any, name: str) -> Any:
    """An RGB picture, or a float32 array (C, H, W). Raises InvalidInput for anything that is neither."""
    if isinstance(value, Image.Image):
        with _strict_pillow:
            value.load()  # a file behind it may be torn
            picture = to_rgb(_upright(value))
            picture = picture.copy() if picture is value else picture
            picture.info[STORED_MODE] = value.mode
            return picture
    array = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
    if array.dtype.kind == "f" and array.ndim == 3:
        return np.ascontiguousarray(array, dtype=np.float32)
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] not in (3, 4) and array.shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)[:, :, 0 if array.shape[0] == 1 else slice(None)]
    if array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        return to_rgb(Image.fromarray(np.ascontiguousarray(array)))
    raise InvalidInput(
        f"{name} must be a PIL image, a uint8 array (H, W) or (H, W, 3), or a float array (C, H, W) that is "
        f"already preprocessed, got {type(value).__name__} of dtype {array.dtype} and shape {array.shape}."
    )
