"""The supervisor: the process whose children the embedded stack's parts are.

`python -m api.supervisor SPEC`: starts the parts that SPEC (JSON) names, starts again what dies,
and ends everything, the last part first, when its standard input ends: because `nst serve` has
closed it or has been killed. So there is one way to stop, and no way to leave something behind.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

GRACE_SECONDS = 20.0
_POLL_SECONDS = 0.1
_RESTART_SECONDS = 1.0
#: A part that has died this often within a minute will not come up.
_MOST_DEATHS = 5
_DEATHS_WITHIN_SECONDS = 60.0
#: Linux tells a child when its parent has died; elsewhere a killed supervisor leaves its parts.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


@dataclass
class Part:
    """A program to keep running, as a process group of its own."""

    name: str
    argv: Sequence[str]
    log: str | None = None
    pass_fds: Sequence[int] = ()
    deaths: list[float] = field(default_factory=list)


def command_line(parts: Sequence[Part]) -> list[str]:
    """Return the command line of a supervisor for `parts`."""
    return [
        sys.executable,
        "-P",
        "-m",
        "api.supervisor",
        json.dumps([asdict(part) for part in parts]),
    ]


def main() -> None:
    """Run the parts until standard input ends; exit with 1 when one of them will not stay up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    parts = [Part(**part) for part in json.loads(sys.argv[1])]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for part in parts:
            running.append(launch(part))
        while not select.select([sys.stdin], [], [], _POLL_SECONDS)[0]:
            for place, part in enumerate(parts):
                if running[place].poll() is not None:
                    running[place] = relaunch(part, running[place].returncode)
    finally:
        for process in reversed(running):
            end(process, grace_seconds=GRACE_SECONDS)


def launch(part: Part) -> subprocess.Popen[bytes]:
    """Start a part; Ctrl-C in the terminal does not reach it."""
    with ExitStack() as files:
        log = files.enter_context(Path(part.log).open("ab")) if part.log else None
        return subprocess.Popen(  # noqa: S603 - our own command lines
            part.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=tuple(part.pass_fds),
            preexec_fn=_prepare_child,
        )


def relaunch(part: Part, status: int) -> subprocess.Popen[bytes]:
    """Start a part again after a pause; give up when it dies again and again."""
    now = time.monotonic()
    part.deaths = [death for death in part.deaths if now - death < _DEATHS_WITHIN_SECONDS] + [now]
    if len(part.deaths) > _MOST_DEATHS:
        where = f"; see {part.log}" if part.log else ""
        sys.exit(f"{part.name} ends with status {status} whenever it is started{where}")
    sys.stderr.write(f"{part.name} ended with status {status}; starting it again\n")
    time.sleep(_RESTART_SECONDS)
    return launch(part)


def end(process: subprocess.Popen[bytes], *, grace_seconds: float) -> None:
    """Ask a part's process group to end, and kill what is left of it after the grace."""
    deadline = time.monotonic() + grace_seconds
    _signal(process.pid, signal.SIGTERM)
    while _alive(process):
        if time.monotonic() > deadline:
            _signal(process.pid, signal.SIGKILL)
            return
        time.sleep(_POLL_SECONDS)


def _alive(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # reap it, or its group seems to live on
    return _signal(process.pid, 0)


def _signal(group: int, number: int) -> bool:
    """Signal a group; False when nothing of it is left."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS denies signals to a group of zombies
        return False
    return True


def _prepare_child() -> None:
    """Undo what the child would inherit, and tie it to this process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # an ignored SIGTERM could not drain it
    if _LIBC:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main()
