"""The journal: what processes did, by their own account, outside the database that is judged.

Each process appends to a file of its own. A line is written after what it tells has happened, so a
process that is killed in between tells less than it did, never more.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One line; `seen_…` is what a write found in the job's row within its own transaction."""

    at: float
    pid: int
    what: str
    job: str = ""
    attempt: int = 0
    step: int = 0
    seen_attempt: int = 0
    seen_status: str = ""


class Journal:
    """Appends lines; a forked child goes on in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pid = 0
        self._file = -1

    def write(self, what: str, **more: object) -> None:
        """Append a line, whole and at once."""
        line = {"at": time.time(), "pid": os.getpid(), "what": what, **more}
        os.write(self._descriptor(), json.dumps(line).encode() + b"\n")

    def _descriptor(self) -> int:
        if self._pid != os.getpid():
            path = self._folder / f"{os.getpid()}.jsonl"
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            self._pid = os.getpid()
        return self._file


def read_journal(folder: Path) -> list[Entry]:
    """Return the lines of every process by time."""
    return sorted(_entries(folder), key=lambda entry: entry.at)


def is_busy(folder: Path, pid: int) -> bool:
    """Return whether a process was in the midst of an attempt when it last wrote."""
    path = folder / f"{pid}.jsonl"
    if not path.exists():
        return False
    (*_, last) = path.read_text().splitlines()
    return json.loads(last)["what"] != "ended"


def _entries(folder: Path) -> Iterator[Entry]:
    for path in folder.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            yield Entry(**json.loads(line))
