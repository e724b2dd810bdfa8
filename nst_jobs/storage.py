"""`Storage`: every job's files, so written that a key has all its bytes or does not exist.

Owns durability (temporary name, fsync, rename, fsync of the folder); knows no job and no picture.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from nst_jobs.errors import FileMissing, StorageError

_UNFINISHED = ".unfinished"


class Storage:
    """Files by key in a local folder; safe between threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, key: str, data: bytes) -> None:
        """Store `data` durably: when this returns, the file survives the power going out.

        Raises:
            StorageError: the folder is full, missing or not writable; nothing is left behind.
        """
        path = self._path(key)
        unfinished = path.with_name(f"{path.name}.{uuid4().hex}{_UNFINISHED}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
            _sync_folders(path.parent, self.root)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            raise _unavailable("written", key, error) from error

    def get(self, key: str) -> bytes:
        """Return a file's bytes.

        Raises:
            FileMissing: there is no such file.
            StorageError: it cannot be read.
        """
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise FileMissing(f"{key} is not in the file store") from error
        except OSError as error:
            raise _unavailable("read", key, error) from error

    def delete(self, key: str) -> None:
        """Remove a file; one that is not there is no error."""
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            raise _unavailable("deleted", key, error) from error

    def delete_all(self, prefix: str) -> None:
        """Remove the folder `prefix` with every file in it; not being there is no error."""
        shutil.rmtree(self._path(prefix), ignore_errors=True)

    def keys(self, prefix: str, *, older_than_seconds: float) -> Iterator[str]:
        """Yield the keys of files last written so long ago, half-written ones among them."""
        before = time.time() - older_than_seconds
        for folder, _, names in os.walk(self._path(prefix)):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):  # another process was first
                    if path.stat().st_mtime < before:
                        yield str(path.relative_to(self.root))

    def delete_empty_folders(self, prefix: str, *, older_than_seconds: float) -> None:
        """Remove folders in which nothing has been for so long."""
        before = time.time() - older_than_seconds
        for folder, _, _ in os.walk(self._path(prefix), topdown=False):
            path = Path(folder)
            with suppress(OSError):  # it is not empty
                if path.stat().st_mtime < before:
                    path.rmdir()

    def check(self) -> None:
        """Prove that files can be written and read here.

        Raises:
            StorageError: they cannot.
        """
        key = f"checks/{uuid4().hex}"
        self.put(key, b"ok")
        self.delete(key)

    def _path(self, key: str) -> Path:
        path = self.root / key
        if ".." in path.parts or not path.is_relative_to(self.root):
            raise StorageError(f"{key!r} is no storage key")
        return path


def open_storage(url: str) -> Storage:
    """Return the file store that an `NST_STORAGE_URL` names.

    Raises:
        StorageError: the URL is not a `file:///…` one.
    """
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise StorageError(
            f"{url!r} is no file store that this version knows",
            hint="Set NST_STORAGE_URL to file:/// and an absolute folder.",
        )
    return Storage(Path(unquote(parts.path)))


def _sync_folders(folder: Path, root: Path) -> None:
    """Make the new names durable, up to the root: the folders may be new too."""
    while True:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if folder == root or folder.parent == folder:
            return
        folder = folder.parent


def _unavailable(verb: str, key: str, error: OSError) -> StorageError:
    return StorageError(
        f"{key} could not be {verb}: {error.strerror or error}",
        hint="See that the folder of NST_STORAGE_URL exists, is writable and has space.",
    )
