"""The processes apart, as in production: tables, API and worker over a database and a broker."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from api.client import NstClient
from tests.e2e.conftest import NST, SAMPLES, environment, wait_until
from tests.services import valkey_url  # noqa: F401 - a fixture


@contextmanager
def running(*command: str, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([*NST, *command], env=env, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.fixture
def apart(tmp_path: Path, valkey_url: str, free_tcp_port: int):  # noqa: F811 - the fixture's name
    """An API without a worker; gives a client and the environment that they share."""
    env = environment(tmp_path / "data", NST_BROKER_URL=valkey_url)
    subprocess.run([*NST, "migrate"], env=env, check=True, stdout=subprocess.DEVNULL)
    with running("api", "--port", str(free_tcp_port), env=env):
        url = f"http://127.0.0.1:{free_tcp_port}"
        wait_until(lambda: _answers(url))
        with NstClient(url) as client:
            yield client, env


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").json()["status"] == "ok"
    except httpx.TransportError:
        return False


def submit(client: NstClient, steps: int) -> str:
    params = {"size": 64, "scales": 1, "steps": steps}
    return client.submit(SAMPLES / "content.jpg", [SAMPLES / "style.jpg"], params=params).id


def test_job_waits_for_a_worker_and_then_succeeds(apart):
    client, env = apart
    job_id = submit(client, steps=5)
    waiting = client.get(job_id)

    with running("worker", env=env):
        states = list(client.watch(job_id))

    assert (waiting.status, waiting.progress.queue_position) == ("queued", 1)
    assert states[-1].status == "succeeded"


def test_sigterm_to_the_worker_alone_gives_its_job_back_within_a_step(apart):
    client, env = apart
    job_id = submit(client, steps=9000)

    with running("worker", env=env) as worker:
        wait_until(lambda: client.get(job_id).progress.step > 0)
        begun = time.monotonic()
        worker.terminate()
        worker.wait(timeout=30)
        seconds = time.monotonic() - begun

    job = client.get(job_id)
    assert (job.status, job.failures, job.attempt) == ("queued", 0, 1)
    # A bound of a promise: at 64 pixels a step takes tens of milliseconds.
    assert seconds < 15


def test_sigterm_to_the_computing_child_alone_costs_no_more_than_a_restart(apart):
    client, env = apart
    job_id = submit(client, steps=150)

    with running("worker", env=env) as worker:
        wait_until(lambda: client.get(job_id).progress.step > 0)
        (child,) = psutil.Process(worker.pid).children()
        child.terminate()
        wait_until(lambda: client.get(job_id).status == "succeeded")

    job = client.get(job_id)
    assert (job.attempt, job.failures) == (2, 0)


def test_restarted_api_still_knows_the_job(apart, free_tcp_port_factory):
    client, env = apart
    job_id = submit(client, steps=5)
    port = free_tcp_port_factory()

    with running("api", "--port", str(port), env=env):
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(url))
        with NstClient(url) as second:
            seen = second.get(job_id)

    assert seen.status == "queued"
