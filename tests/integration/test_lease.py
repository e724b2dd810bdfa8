"""The lease: it holds, lets go in time, outlives a database's restart, and ends what hangs."""

import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from nst_jobs import lifecycle
from nst_jobs.artifacts import StoredFile
from nst_jobs.database import Database
from nst_jobs.errors import Cancelled, Draining, LeaseLost
from nst_jobs.records import Artifact, ArtifactKind, Event, Job, Status
from tests.losses import row, steps_of
from worker import lease as lease_module
from worker.lease import Lease

#: A process whose attempt makes no move.
_HANGING = """
import sys, threading, time
from nst_jobs.database import Database
from nst_jobs.lifecycle import Claim
from worker.lease import Lease

url, job_id = sys.argv[1:]
with Lease(Database(url), Claim(job_id, 1, {}, 30), draining=threading.Event()) as lease:
    lease.expect_steps_within(0.2)
    time.sleep(60)
"""


class DeafDatabase:
    """A database that no longer answers."""

    def writing(self):
        raise OperationalError("UPDATE", {}, Exception("gone"))


def hold(database, claim, **changes) -> Lease:
    return Lease(database, replace(claim(), **changes), draining=threading.Event())


def read(database: Database, job_id: str) -> Job:
    with database.reading() as session:
        return session.scalars(select(Job).where(Job.id == job_id)).one()


def wait_for(error: type[Exception], lease: Lease) -> None:
    deadline = time.monotonic() + 10

    def check_until_it_raises() -> None:
        while time.monotonic() < deadline:
            lease.check()
            time.sleep(0.02)

    with pytest.raises(error):
        check_until_it_raises()


def test_lease_that_cannot_be_renewed_is_given_up_in_time(submit, claim):
    submit()

    with hold(DeafDatabase(), claim, lease_seconds=0.2) as lease:
        lease.check()
        wait_for(LeaseLost, lease)


def test_heartbeat_writes_progress_and_hears_of_cancellation(database, submit, claim):
    job_id = submit()
    with hold(database, claim) as lease:
        lease.report({"step": 3, "total_steps": 9}, weights="narrow", losses=row(3))
        with database.writing() as session:
            lifecycle.cancel(session, job_id, "ann")
        wait_for(Cancelled, lease)

    job = read(database, job_id)
    assert (job.progress["step"], job.weights) == (3, "narrow")


def test_losses_of_a_heartbeat_that_failed_go_with_the_next(database, submit, claim, monkeypatch):
    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 0.02)
    job_id = submit()
    lease, beats = hold(database, claim), []

    def renew(session, claim, *, losses, **report):
        beats.append([loss.step for loss in losses])
        asked = renew_in_fact(session, claim, losses=losses, **report)
        if len(beats) == 1:
            break_connection(session)
        return asked

    renew_in_fact = lifecycle.renew
    monkeypatch.setattr(lifecycle, "renew", renew)
    for step in (1, 2):
        lease.report({"step": step}, weights="narrow", losses=row(step))
    with lease:
        deadline = time.monotonic() + 10
        while len(beats) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)

    assert beats[:3] == [[1, 2], [1, 2], []]
    assert steps_of(database, job_id) == [1, 2]


def test_end_of_an_attempt_takes_the_last_losses_along(database, submit, claim):
    job_id = submit()
    lease = hold(database, claim)
    for step in (1, 2, 3):
        lease.report({"step": step}, weights="narrow", losses=row(step))

    lease.finish(lambda session: lifecycle.release(session, lease.claim))

    assert steps_of(database, job_id) == [1, 2, 3]
    assert read(database, job_id).status == Status.QUEUED


def test_end_that_is_not_to_be_leaves_no_losses(database, submit, claim):
    job_id = submit()
    lease = hold(database, claim)
    lease.report({"step": 1}, weights="narrow", losses=row(1))
    with database.writing() as session:
        session.execute(Job.__table__.update().values(attempt=2))

    with pytest.raises(LeaseLost):
        lease.finish(lambda session: lifecycle.release(session, lease.claim))

    assert steps_of(database, job_id) == []


def test_heartbeat_of_a_zombie_is_told_so(database, submit, claim):
    submit()
    lease = hold(database, claim)
    with database.writing() as session:
        session.execute(Job.__table__.update().values(attempt=2))

    with lease:
        wait_for(LeaseLost, lease)


def test_draining_is_seen_at_once(database, submit, claim):
    submit()
    lease = hold(database, claim)
    lease.draining.set()

    with lease, pytest.raises(Draining):
        lease.check()


def test_lease_counts_from_when_it_was_asked_for(database, submit, claim):
    """And not from when its worker, frozen in between, took note of it."""
    submit()
    asked_at = time.monotonic() - 31
    lease = Lease(database, claim(), draining=threading.Event(), asked_at=asked_at)

    with pytest.raises(LeaseLost):
        lease.check()


def test_write_outlives_a_broken_connection(database, submit, claim, monkeypatch):
    """The connection breaks after the change was made and before it is committed."""
    monkeypatch.setattr(lease_module, "RETRY_SECONDS", 0.01)
    job_id = submit()
    lease, tries = hold(database, claim), []

    def change(session):
        tries.append(lifecycle.release(session, lease.claim))
        if len(tries) == 1:
            break_connection(session)
        return "done"

    assert lease.write(change) == "done"
    assert len(tries) == 2
    assert read(database, job_id).status == Status.QUEUED
    with database.reading() as session:
        reasons = session.scalars(select(Event.reason).order_by(Event.id)).all()
    assert reasons == ["submitted", "claimed", "drained"]


def break_connection(session) -> None:
    if session.get_bind().dialect.name == "sqlite":
        raise OperationalError("UPDATE", {}, Exception("disk I/O error"))
    session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_write_gives_up_when_the_lease_has_run_out(submit, claim, monkeypatch):
    monkeypatch.setattr(lease_module, "RETRY_SECONDS", 0.05)
    submit()
    lease = hold(DeafDatabase(), claim, lease_seconds=0.2)

    with pytest.raises(LeaseLost):
        lease.write(lambda _: None)


def test_pointing_at_a_file_twice_changes_nothing(database, submit, claim):
    """As happens when a COMMIT's answer was lost."""
    submit()
    lease = hold(database, claim)
    picture = StoredFile(ArtifactKind.SNAPSHOT, "jobs/x/a1/s", "image/jpeg", 1, "00", step=5)
    older, newer = (
        StoredFile(ArtifactKind.CHECKPOINT, f"jobs/x/a1/c{n}", "-", 1, "00", step=n) for n in (5, 6)
    )
    lease.write(lambda session: lifecycle.replace_checkpoint(session, lease.claim, older))

    for gone in (["jobs/x/a1/c5"], []):
        lease.write(lambda session: lifecycle.add_artifact(session, lease.claim, picture))
        found = lease.write(
            lambda session: lifecycle.replace_checkpoint(session, lease.claim, newer)
        )
        assert found == gone

    with database.reading() as session:
        keys = session.scalars(select(Artifact.key).where(Artifact.attempt == 1)).all()
    assert sorted(keys) == ["jobs/x/a1/c6", "jobs/x/a1/s"]


def test_attempt_that_hangs_is_ended_and_its_job_tried_again(database, submit, claim):
    job_id = submit()
    claim()

    url = database.engine.url.render_as_string(hide_password=False)
    done = subprocess.run([sys.executable, "-c", _HANGING, url, job_id], check=False, timeout=50)

    job = read(database, job_id)
    assert done.returncode == 70
    assert (job.status, job.failures, job.error["code"]) == (Status.QUEUED, 1, "stalled")
