"""The whole stack as its users run it: `nst serve` as a process, spoken to over HTTP."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from api.client import NstClient
from tests.services import postgres_url  # noqa: F401 - a fixture

SAMPLES = Path(__file__).parents[2] / "api" / "samples"
NST = [sys.executable, "-P", "-m", "api"]


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """Return an environment in which nothing of this machine's own setting is left."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NST_")}
    # One thread: the tests run side by side, and threads of two runs wait for each other.
    calm = {"OMP_NUM_THREADS": "1", "NST_DATA_DIR": str(data_dir), "NST_WEIGHTS": "random"}
    return {**clean, **calm, **more}


class Server:
    """A running `nst serve`."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url
        self.client = NstClient(url)

    def family(self) -> list[psutil.Process]:
        """Return every process that the server is made of."""
        return [*psutil.Process(self.process.pid).children(recursive=True)]

    def worker_child(self) -> psutil.Process:
        """Return the process that computes: Celery's child."""
        for process in self.family():
            parent = process.parent()
            if parent and "worker" in process.cmdline() and "worker" in parent.cmdline():
                return process
        raise AssertionError("no worker runs")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the server and return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def serving(data_dir: Path, *, cwd: Path | None = None, **settings: str) -> Iterator[Server]:
    """Run a server on a free port until the block ends."""
    with subprocess.Popen(
        [*NST, "serve", "--port", "0"],
        cwd=cwd,
        env=environment(data_dir, **settings),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline()
            assert "listens on" in line, f"the server said {line!r}"
            server = Server(process, line.split()[3])
            with server.client:
                yield server
        finally:
            if process.poll() is None:
                process.terminate()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return when the condition holds; fail when it does not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that is not harmed."""
    with serving(tmp_path_factory.mktemp("data")) as server:
        yield server


@pytest.fixture
def submit() -> Callable[..., str]:
    """Submit the sample pair, small and short unless told otherwise; return the job's id."""

    def submit(server: Server, **params: object) -> str:
        params = {"size": 96, "scales": 1, "steps": 10, "snapshot_every": 4, **params}
        job = server.client.submit(SAMPLES / "content.jpg", [SAMPLES / "style.jpg"], params=params)
        return job.id

    return submit
