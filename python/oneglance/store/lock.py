"""One writer at a time per store folder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import StoreError
from .files import explain_os_error, make_folder

LOCK_NAME = ".lock"

_held: set[tuple[int, int]] = set()  # (device, inode): a record lock does not see its own process


class StoreLock:
    """Holds `<folder>/.lock` from acquire() to release().

    A record lock of the operating system, because it ends with its process: what a killed run leaves behind
    is a file nobody holds, and the next run takes it over. Unlike flock it is not inherited by forked
    decoding workers, which may outlive a killed parent by some seconds.

    instead  for the message: how to take another folder
    """

    def __init__(self, folder: Path, instead: str = "out= / --out") -> None:
        self.path = folder / LOCK_NAME
        self._instead = instead
        self._handle: int | None = None

    def acquire(self) -> None:
        """Raises StoreError naming the other writer."""
        while True:
            self._refuse_own_second_lock()
            try:
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise explain_os_error(error, self.path, 0) from error
            try:
                self._lock(handle)
                if self._is_current(handle):
                    break
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)  # the holder before us removed this file: try the new one
        self._handle = handle
        stat = os.fstat(handle)
        _held.add((stat.st_dev, stat.st_ino))
        with contextlib.suppress(OSError):  # who holds it is a courtesy: a full disk is told where work would be lost
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())

    def release(self) -> None:
        if self._handle is None:
            return
        stat = os.fstat(self._handle)
        self.path.unlink(missing_ok=True)
        _held.discard((stat.st_dev, stat.st_ino))
        os.close(self._handle)
        self._handle = None

    def _refuse_own_second_lock(self) -> None:
        # Before any open(): closing a second handle of the file would drop the record lock of the first.
        try:
            stat = os.stat(self.path)
        except OSError:
            return
        if (stat.st_dev, stat.st_ino) in _held:
            raise StoreError(
                f"{self.path.parent} is being written by another call of this process. Wait for it to end."
            )

    def _lock(self, handle: int) -> None:
        if sys.platform == "win32":
            import msvcrt

            try:
                os.lseek(handle, 1 << 20, os.SEEK_SET)  # past the text, so that others can read who holds it
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
                os.lseek(handle, 0, os.SEEK_SET)
            except OSError:
                raise self._in_use(handle) from None
            return
        import fcntl

        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if isinstance(error, (BlockingIOError, PermissionError)):
                raise self._in_use(handle) from None
            raise explain_os_error(error, self.path, 0) from error

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(handle))
        except FileNotFoundError:
            return False

    def _in_use(self, handle: int) -> StoreError:
        try:
            owner = json.loads(os.read(handle, 4096))
            who = f" (process {owner['pid']} on {owner['host']})"
        except (ValueError, KeyError, OSError):
            who = ""
        return StoreError(
            f"{self.path.parent} is being written by another run{who}. Wait for it to end, "
            f"or choose another folder with {self._instead}."
        )


@contextlib.contextmanager
def only_writer(folder: Path, instead: str = "out= / --out") -> Iterator[None]:
    """Makes the folder and holds its lock; a folder that was made and stayed empty goes again. Raises StoreError, which
    says by `instead` how to take another folder."""
    new = not folder.exists()
    make_folder(folder)
    lock = StoreLock(folder, instead)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
        if new:
            with contextlib.suppress(OSError):  # it holds something
                folder.rmdir()


def take_lock(folder: Path, *, wait: bool) -> StoreLock | None:
    """The folder's lock, held; None if another process holds it and wait is False. Raises StoreError where it cannot
    be made."""
    lock = StoreLock(folder)
    while True:
        try:
            lock.acquire()
            return lock
        except StoreError as error:
            if error.__cause__ is not None:  # a full or read-only disk, say: nobody holds the lock
                raise
            if not wait:
                return None
            time.sleep(0.2)


@contextlib.contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, after whoever has it. Raises StoreError where it cannot be made."""
    lock = take_lock(folder, wait=True)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
