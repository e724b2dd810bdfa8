"""One large file over HTTP: streamed, checked against its hash, and never seen half done."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx

CONNECT_SECONDS = 5.0
STALL_SECONDS = 30.0
_CHUNK_BYTES = 1 << 20

#: Told the bytes done and the bytes in all (0 when the server does not say) as a download goes on.
OnProgress = Callable[[int, int], None]


class DownloadFailed(Exception):
    """The file could not be had from its address; the message says why."""


def download(
    url: str, target: Path, *, sha256_prefix: str, on_progress: OnProgress | None = None
) -> None:
    """Fetch `url` to `target`, which appears complete or not at all.

    Proxies come from the environment, as httpx reads it. Processes that want the same file wait
    for the first of them, and then find it there.

    Raises:
        DownloadFailed: no connection, an HTTP error, a body cut short or with another hash.
        OSError: the disk would not take it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target):
        if target.exists() and file_hash(target).startswith(sha256_prefix):
            return
        part = target.with_name(f"{target.name}.part")
        try:
            with part.open("wb") as file:
                digest = _stream(url, file, on_progress)
                file.flush()
                os.fsync(file.fileno())
            if not digest.startswith(sha256_prefix):
                raise DownloadFailed(f"what {url} sent has the hash {digest[:16]}…: damaged")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)  # a part of half a gigabyte would keep a full disk full
        _fsync_folder(target.parent)


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stream(url: str, file: BinaryIO, on_progress: OnProgress | None) -> str:
    """Write the body of `url` to `file` and return its SHA-256."""
    digest = hashlib.sha256()
    timeout = httpx.Timeout(STALL_SECONDS, connect=CONNECT_SECONDS)
    try:
        with httpx.stream("GET", url, timeout=timeout, follow_redirects=True) as response:
            response.raise_for_status()
            total = int(response.headers.get("content-length", 0))
            for chunk in response.iter_bytes(_CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                if on_progress is not None:
                    on_progress(file.tell(), total)
    except httpx.HTTPStatusError as error:
        raise DownloadFailed(f"{url} answered {error.response.status_code}") from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, ImportError) as error:
        # ImportError: a SOCKS proxy of the environment wants a package that is not there.
        raise DownloadFailed(f"{url}: {str(error) or type(error).__name__}") from error
    return digest.hexdigest()


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold the lock for `target`; the system lets go of it when a process dies."""
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
