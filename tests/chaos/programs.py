"""Programs that are kept running: each a process group, started again soon after it died."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

RESTART_SECONDS = 0.5
_POLL_SECONDS = 0.05


class Program:
    """One program, whichever process it is at the moment."""

    def __init__(self, name: str, launch: Callable[[], psutil.Process]) -> None:
        self.name = name
        self._launch = launch
        self._groups: list[int] = []
        self._process: psutil.Process | None = None
        self._died = 0.0

    @property
    def main(self) -> psutil.Process | None:
        """Return the group's first process; None while it is dead."""
        process = self._process
        return process if process and is_alive(process) else None

    def children(self) -> list[psutil.Process]:
        """Return the processes that the first one has made and that live."""
        main = self.main
        with suppress(psutil.NoSuchProcess):
            return main.children() if main else []
        return []

    def left_behind(self) -> list[psutil.Process]:
        """Return what still runs of the groups that it was before the present one."""
        former = set(self._groups[:-1])
        return [process for process in psutil.process_iter() if _group(process) in former]

    def start(self) -> None:
        """Start it."""
        self._process = self._launch()
        self._groups.append(self._process.pid)
        self._died = 0.0

    def revive(self) -> None:
        """Start it again when it has been dead for long enough."""
        if self.main:
            return
        self._died = self._died or time.monotonic()
        if time.monotonic() - self._died >= RESTART_SECONDS:
            self.start()

    def end(self) -> None:
        """Kill it and whatever is left of the groups that it once was."""
        for group in self._groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        if self._process:
            self._process.wait()


class Keeper:
    """Keeps programs running from a thread, until the `with` block ends; then ends them."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = programs
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def __enter__(self) -> "Keeper":
        for program in self._programs:
            program.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for program in reversed(self._programs):
            program.end()

    def _keep(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            for program in self._programs:
                program.revive()


def spawn(
    argv: Sequence[str], *, env: Mapping[str, str], log: Path, pass_fds: Sequence[int] = ()
) -> psutil.Process:
    """Start a process group, its output going to a log."""
    with log.open("ab") as out:
        return psutil.Popen(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            pass_fds=pass_fds,
        )


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; one that has ended is buried."""
    try:
        process.wait(timeout=0)
    except psutil.TimeoutExpired:
        return True
    return False


def send(number: int, processes: Sequence[psutil.Process]) -> tuple[int, ...]:
    """Signal processes; return the ids of those that were there."""
    reached = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
            reached.append(process.pid)
    return tuple(reached)


def _group(process: psutil.Process) -> int | None:
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        if process.status() != psutil.STATUS_ZOMBIE:
            return os.getpgid(process.pid)
    return None
