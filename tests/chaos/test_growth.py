"""A soak of many short jobs, after which no process, file, connection or row is left the larger."""

import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from uuid import uuid4

import psutil
import pytest
import redis
import sqlalchemy as sa
from PIL import Image

from api.client import NstClient
from nst_core.errors import NstError
from nst_jobs.database import Database
from nst_jobs.records import Job, Record
from tests.e2e.conftest import NST, environment, wait_until
from tests.services import postgres_url, valkey_url  # noqa: F401 - fixtures

_MEMORY = Path("/dev/shm")  # noqa: S108 - TemporaryDirectory makes a folder of its own in it
ROOT = Path(__file__).parents[2]
SHORT_JOBS = [sys.executable, "-m", "tests.chaos.short_jobs"]
#: A few seconds, so that most jobs are forgotten while others still run.
_RETENTION_HOURS = 0.001
_JOBS_A_SAMPLE = 40
_MOST_OPEN = 20
#: What may come on top between the second quarter of the samples and the last: of a thousand jobs,
#: each may leave 4 kB behind.
_MARGINS = {"bytes": 4 * 2**20, "descriptors": 2, "threads": 2, "connections": 2, "keys": 2}

Figures = dict[tuple[str, str], int]


class Soak:
    """The running service, its figures, and the jobs that it is fed."""

    def __init__(self, client: NstClient, env: dict[str, str], parts: dict[str, int]) -> None:
        self.client = client
        self.database = Database(env["NST_DATABASE_URL"])
        self.files = Path(env["NST_DATA_DIR"]) / "files"
        self._broker = redis.Redis(unix_socket_path=env["NST_BROKER_URL"].partition("//")[2])
        self._parts = {**parts, "valkey": self._broker.info("server")["process_id"]}

    def close(self) -> None:
        self.database.close()
        self._broker.close()

    def run(self, jobs: int) -> list[Figures]:
        """Submit so many jobs, no faster than they are run, and return figures taken between."""
        samples = []
        for number in range(jobs):
            self.submit(number)
            if number % _JOBS_A_SAMPLE == 0:
                wait_until(lambda: self.open_jobs() <= _MOST_OPEN)
                samples.append(self.figures())
        wait_until(lambda: self.open_jobs() == 0)
        return samples

    def submit(self, number: int) -> None:
        """Submit a job with pictures of its own; of ten, one is cancelled and one is bad."""
        content, style = (_picture(2 * number + place) for place in range(2))
        params = {"size": 64, "steps": 1, "snapshot_every": 1}
        job_id = self.client.submit(content, [style], params=params).id
        if number % 10 == 3:
            self.client.cancel(job_id)
        if number % 10 == 7:
            for path in (self.files / "jobs" / job_id).rglob("content*"):
                path.write_bytes(b"no picture")

    def open_jobs(self) -> int:
        with self.database.reading() as session:
            still = sa.select(sa.func.count()).where(Job.finished_at.is_(None))
            return session.scalar(still.select_from(Job))

    def figures(self) -> Figures:
        figures = {("valkey", "keys"): self._broker.dbsize()}
        if self.database.engine.dialect.name == "postgresql":
            figures["postgresql", "connections"] = self._connections()
        for name, process in self._processes():
            with process.oneshot():
                figures[name, "bytes"] = process.memory_info().rss
                figures[name, "descriptors"] = process.num_fds()
                figures[name, "threads"] = process.num_threads()
        return figures

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has."""
        with self.database.reading() as session:
            return {
                name: session.scalar(sa.select(sa.func.count()).select_from(table))
                for name, table in Record.metadata.tables.items()
            }

    def files_left(self) -> list[Path]:
        """Return what is left of any job's files, folders too."""
        return list((self.files / "jobs").iterdir())

    def _connections(self) -> int:
        with self.database.reading() as session:
            of_ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            return session.scalar(sa.text(of_ours))

    def _processes(self) -> Iterator[tuple[str, psutil.Process]]:
        for name, pid in self._parts.items():
            process = psutil.Process(pid)
            yield f"{name} {pid}", process
            for child in process.children(recursive=True):
                yield f"{name}'s child {child.pid}", child


def _picture(number: int) -> bytes:
    out = io.BytesIO()
    color = (number % 251, number // 251, 90)
    picture = Image.composite(
        Image.new("RGB", (48, 32), color),
        Image.new("RGB", (48, 32), "white"),
        Image.linear_gradient("L").resize((48, 32)),
    )
    picture.save(out, "PNG")
    return out.getvalue()


@contextmanager
def running(command: list[str], env: dict[str, str], log: Path) -> Iterator[int]:
    """Run a process until the block ends; give its id."""
    with (
        log.open("wb") as out,
        subprocess.Popen(
            command, env=env, cwd=ROOT, stdout=out, stderr=out, start_new_session=True
        ) as process,
    ):
        try:
            yield process.pid
        finally:
            process.terminate()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if there is one: nothing here is to outlive the power going out."""
    if not _MEMORY.is_dir():
        yield tmp_path
        return
    with TemporaryDirectory(prefix="nst-growth-", dir=_MEMORY) as name:
        yield Path(name)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """An address of a database of this test's own."""
    if request.param == "sqlite":
        yield f"sqlite:///{folder}/nst.db"
        return
    server = request.getfixturevalue("postgres_url")
    url = sa.make_url(server.replace("postgresql://", "postgresql+psycopg://"))
    name = f"growth_{uuid4().hex}"  # it goes with its server, which is the tests' own
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield url.set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def soak(
    database_url: str,
    folder: Path,
    valkey_url: str,  # noqa: F811 - the fixture's name
    free_tcp_port: int,
) -> Iterator[Soak]:
    env = environment(
        folder,
        NST_DATABASE_URL=database_url,
        NST_BROKER_URL=valkey_url,
        NST_RETENTION_HOURS=str(_RETENTION_HOURS),
        NST_LOG_FORMAT="json",
    )
    api = [*NST, "api", "--port", str(free_tcp_port), "--processes", "1"]
    subprocess.run([*NST, "migrate"], env=env, check=True, capture_output=True)
    with ExitStack() as stack:
        parts = {
            name: stack.enter_context(running(command, env, folder / f"{name}.log"))
            for name, command in {"api": api, "worker": SHORT_JOBS}.items()
        }
        client = stack.enter_context(NstClient(f"http://127.0.0.1:{free_tcp_port}"))
        soak = Soak(client, env, parts)
        stack.callback(soak.close)
        wait_until(lambda: _takes_jobs(client))
        yield soak


def _takes_jobs(client: NstClient) -> bool:
    try:
        return client.list() is not None
    except NstError:
        return False


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("database_url", "jobs"), [("sqlite", 2000), ("postgresql", 300)], indirect=["database_url"]
)
def test_service_is_no_larger_after_many_jobs_than_after_few(soak, jobs, folder):
    samples = soak.run(jobs)
    wait_until(lambda: not any(soak.rows().values()))
    wait_until(lambda: not soak.files_left(), seconds=5)

    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    grown = _growth(early, late)
    assert {name: more for name, more in grown.items() if more > _MARGINS[name[1]]} == {}
    assert _ends(folder / "worker.log")["job_succeeded"] >= 0.8 * jobs


def _growth(early: list[Figures], late: list[Figures]) -> dict[tuple[str, str], float]:
    """Return by how much each figure has grown; a process that was replaced has none."""
    return {
        name: median(figures[name] for figures in late) - median(figures[name] for figures in early)
        for name in early[0]
    }


def _ends(log: Path) -> Counter[str]:
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return Counter(json.loads(line)["event"] for line in lines)
