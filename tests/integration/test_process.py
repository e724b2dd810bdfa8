"""What the computing child does before it takes a job."""

import os
import signal

import pytest
from sqlalchemy import select

from nst_jobs.queue import Queue, make_celery
from nst_jobs.records import Job, Status
from nst_jobs.settings import Settings

pytest.importorskip("torch", reason="this machine does not compute")

from worker.process import Child


@pytest.fixture
def child(database, valkey_url, tmp_path):
    """A child whose weights are not to be had."""
    settings = Settings(
        database_url=database.engine.url.render_as_string(hide_password=False),
        broker_url=valkey_url,
        data_dir=tmp_path,
        weights=str(tmp_path / "gone.safetensors"),
        device="cpu",
    )
    queue = Queue(make_celery(settings))
    child = Child(settings, queue)
    yield child
    child.workplace.database.close()
    queue.close()


def test_worker_without_its_weights_takes_no_job_and_ends(database, submit, child, monkeypatch):
    job_id, signalled = submit(), []
    monkeypatch.setattr(os, "kill", lambda *call: signalled.append(call))

    with pytest.raises(SystemExit):
        child.run_next()

    assert signalled == [(os.getppid(), signal.SIGTERM)]
    with database.reading() as session:
        job = session.scalars(select(Job).where(Job.id == job_id)).one()
    assert (job.status, job.attempt, job.failures) == (Status.QUEUED, 0, 0)
