"""`python -m tests.chaos.nursery`: workers are forked from this process, which has torch loaded.

Loading it takes seconds of a core, and workers are killed every few seconds. Reads a line of JSON
for each worker, its environment and its log, and answers with the process's id.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.chaos import node


class Nursery:
    """The process, seen from the one that has workers made."""

    def __init__(self, *, env: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery"],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.stdin.close()

    def bear(self, *, env: Mapping[str, str], log: Path) -> psutil.Process:
        """Return a new worker, a process group of its own."""
        with self._lock:
            self._process.stdin.write(json.dumps({"env": dict(env), "log": str(log)}) + "\n")
            self._process.stdin.flush()
            return psutil.Process(int(self._process.stdout.readline()))


def main() -> None:
    """Fork a worker for each line of standard input."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries them
    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            _become_worker(wanted["env"], wanted["log"])
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


def _become_worker(env: dict[str, str], log: str) -> None:
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.environ.clear()
        os.environ.update(env)
        files = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND)
        for target, source in ((0, files[0]), (1, files[1]), (2, files[1])):
            os.dup2(source, target)
        node.main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
