"""What a step is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ...errors import InvalidInput, OneglanceError
from ...features.listfile import Columns
from ...features.progress import Callback
from ...features.source import Source, open_source
from ...store import FeatureStore, open_store
from ...strategies.pool import Pool, as_pool
from ..book import Book
from ..config import Config
from ..gates import Gate
from ..hashing import Hashes, anchored, backbone_mark
from ..record import Outcome, Record

STORE, TEST_STORE, PRETRAINED = "store", "test_store", "pretrained"


PRETRAIN = "pretrain"


@dataclass(eq=False)
class Context:
    """The run as a step sees it.

    say       one line for the person watching           progress  gets Progress objects
    records   of the steps that are done, by name        book      answers so far
    parts     what the result of the step in hand depends on      before  the same of its last run, finished or not;
              None where there was none, or where everything is to be done anew
    """

    config: Config
    hashes: Hashes
    book: Book
    say: Callable[[str], None]
    progress: Callback | None = None
    records: dict[str, Record] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] | None = None
    _contents: dict[bool, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.config.folder

    @cached_property
    def source(self) -> Source | None:
        """The pool as it is opened; None where it is a feature store already. Raises InvalidInput, also for backbones
        that nothing could run."""
        opened = self._opened("pool")
        if self.config["pool"]["backbones"] and (opened is None or opened.pictures is None):
            what = "is a feature store" if opened is None else "holds ready vectors"
            raise InvalidInput(
                f"[pool] backbones run on pictures, and source {what}. Leave the key out; to use only some of the "
                "features that are there, name them in [select] backbones."
            )
        return opened

    @cached_property
    def test_source(self) -> Source | None:
        return None if self.config["test"]["source"] is None else self._opened("test")

    def _opened(self, section: str) -> Source | None:
        given = self.config.source(section)
        if isinstance(given, str) and is_store(Path(given)):
            return None
        columns = self.columns(section)
        pixels = self.config["pool"]["max_pixels"]
        wanted = bool(self.config["pool"]["backbones"]) or self.config[PRETRAIN]["method"] is not None
        return open_source(given, columns, max_pixels=pixels, for_backbones=wanted)

    def columns(self, section: str) -> Columns:
        return Columns(**self.named(section), vectors=tuple(self.config[section]["vector_columns"]))

    def named(self, section: str) -> dict[str, Any]:
        """Role -> column. A test set is neither picked from nor divided: it needs no strata and no groups."""
        roles = ("path", "id", "label") if section == "test" else ("path", "id", "label", "stratum", "group")
        pool = self.config["pool"]
        return {role: pool[f"{role}_column"] for role in roles if pool[f"{role}_column"] is not None}

    @property
    def has_pictures(self) -> bool:
        return self.source is not None and self.source.pictures is not None

    @property
    def has_test(self) -> bool:
        return self.config["test"]["source"] is not None

    def store_path(self, test: bool = False) -> Path:
        """Of the pool's, or the test set's features: what embed wrote, or the store that was given."""
        if (self.test_source if test else self.source) is None:
            return Path(self.config.source("test" if test else "pool"))
        return self.folder / (TEST_STORE if test else STORE)

    def store(self, test: bool = False) -> FeatureStore:
        return open_store(self.store_path(test))

    def pool(self) -> Pool:
        """Under the backbones that are to be used."""
        return as_pool(self.store(), self.config["select"]["backbones"] or None)

    @property
    def specs(self) -> list[str] | None:
        """Backbone strings with absolute paths, that of the step pretrain last; None for ready vectors."""
        own = [str(self.folder / PRETRAINED)] if PRETRAIN in self.records else []
        return [*(self.anchored(text) for text in self.config["pool"]["backbones"]), *own] or None

    def marks(self) -> list[Any]:
        """What decides the features beside the pictures: backbone strings and the files they name."""
        own = [[PRETRAIN, self.records[PRETRAIN].digest]] if PRETRAIN in self.records else []
        return [*(self.mark(text) for text in self.config["pool"]["backbones"]), *own]

    def anchored(self, spec: str) -> str:
        """A backbone string with the absolute path of the file it names."""
        return anchored(spec, self.config.base)

    @property
    def pixels(self) -> dict[str, int]:
        """The most pixels of a picture, for steps that read pictures: others do not depend on it."""
        return {"max_pixels": self.config["pool"]["max_pixels"]} if self.has_pictures else {}

    def mark(self, spec: str) -> list[str | None]:
        return backbone_mark(spec, self.config.base, self.hashes)

    def content(self, test: bool = False) -> str:
        """Hash of the pool's (test set's) items, files, and which arrays of these are its vectors, as they are when a
        run first asks. Raises InvalidInput, StoreError."""
        if test not in self._contents:
            self._contents[test] = self._content(test)
        return self._contents[test]

    def _content(self, test: bool) -> str:
        opened = self.test_source if test else self.source
        if opened is None:
            return open_store(self.store_path(test)).content_hash()
        given = self.config.source("test" if test else "pool")
        files = [given] if isinstance(given, str) else list(given)
        if opened.pictures is not None:
            files = list(opened.items.sources)
        vectors = self.columns("test" if test else "pool").vectors
        chosen = " ".join(("", *vectors)) if opened.vectors is not None else ""
        return self.hashes.of_all(files) + opened.items.digest() + chosen

    def column_mark(self, value: str | None) -> str | None:
        """Hash of the file that a key of kind column names; None where it names a column."""
        if value is None:
            return None
        path = self.config.path_of(value.partition(".npz:")[0] + (".npz" if ".npz:" in value else ""))
        return self.hashes.of(path) if path.is_file() else None

    def column(self, value: str) -> str:
        """The value with the path of its file absolute."""
        return str(self.config.path_of(value)) if self.column_mark(value) else value


def test_pool(store: Path, names: Sequence[str]) -> Pool:
    """The test set under these backbones. Vectors in files of other names are taken in the order of the pool's, where
    there are as many. Raises InvalidInput, StoreError."""
    pool = as_pool(store)
    there = list(pool.features)
    if not set(names) & set(there) and len(names) == len(there):
        features = dict(zip(names, pool.features.values(), strict=True))
        return replace(pool, features=features)
    missing = [name for name in names if name not in there]
    if missing:
        raise InvalidInput(f"[test] source has no features of {', '.join(missing)}, only of {', '.join(there)}.")
    return as_pool(pool, list(names))


@dataclass(frozen=True)
class Step:
    """One step of the pipeline.

    what      a sentence                              version   raised when its result would change
    settings  sections whose keys its result depends on
    needs     steps whose results it reads (their digests decide as well)
    parts     what else decides its result, by name: hashes of contents
    prepare   clears away what an earlier run left and this one cannot go on with; before anything says it has begun
    run       does it, in the run's folder            gates     judges a finished step
    left_out  why there is nothing to do, or ""       gpu       True if it will hold a GPU
    estimate  what it will take, in words, where that can be told beforehand
    seeded    it depends on the seed
    """

    name: str
    what: str
    version: int
    settings: tuple[str, ...]
    needs: tuple[str, ...]
    run: Callable[[Context], Outcome]
    parts: Callable[[Context], dict[str, Any]] = lambda _: {}
    gates: Callable[[Context, Record], list[Gate]] = lambda _, __: []
    seeded: bool = True
    prepare: Callable[[Context], None] = lambda _: None
    left_out: Callable[[Context], str] = lambda _: ""
    gpu: Callable[[Context], bool] = lambda _: False
    estimate: Callable[[Context], str] = lambda _: ""


def is_store(path: Path) -> bool:
    """A folder that `oneglance embed` wrote, finished or not."""
    from ...auditing.opening import is_store as check

    return check(path)


def on_gpu(ctx: Context) -> bool:
    """True if device = of [embed] means a GPU on this machine. A device that is not there is its step's to report."""
    if not ctx.has_pictures:
        return False
    try:
        from ...features.backbones import pick_device

        return bool(pick_device(ctx.config["embed"]["device"]).type == "cuda")
    except (ImportError, OneglanceError):
        return False
