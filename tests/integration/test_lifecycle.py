"""The lifecycle, on both databases: what may become what, who may write, and in which order."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from nst_core.errors import InvalidImage, OutOfMemory
from nst_jobs import artifacts, due, lifecycle
from nst_jobs.artifacts import StoredFile
from nst_jobs.database import Database, database_now
from nst_jobs.errors import Cancelled, JobNotFound, LeaseLost, NotCancellable
from nst_jobs.lifecycle import Claim
from nst_jobs.records import Artifact, ArtifactKind, Attempt, Event, Job, Status
from tests.integration.conftest import NOON
from tests.losses import row, steps_of

Submit = Callable[..., str]
Claimer = Callable[..., Claim]


def at(seconds: float):
    return NOON + timedelta(seconds=seconds)


def read(database: Database, job_id: str) -> Job:
    with database.reading() as session:
        return session.scalars(select(Job).where(Job.id == job_id)).one()


def reasons(database: Database, job_id: str) -> list[str]:
    with database.reading() as session:
        events = session.scalars(select(Event).where(Event.job_id == job_id).order_by(Event.id))
        return [event.reason for event in events]


def picture(claim: Claim, kind: ArtifactKind = ArtifactKind.RESULT, step: int = 9) -> StoredFile:
    key = f"jobs/{claim.job_id}/a{claim.attempt}/{kind}-{step}"
    return StoredFile(kind, key, "image/png", 3, "ab", step, 4, 4)


def succeed(database: Database, claim: Claim, seconds: float = 5) -> None:
    with database.writing() as session:
        lifecycle.succeed(
            session,
            claim,
            picture(claim),
            progress={"step": 9},
            weights="random",
            now=at(seconds),
        )


def test_submitted_job_is_queued_with_its_pictures_and_event(database, submit):
    job_id = submit()

    job = read(database, job_id)
    assert (job.status, job.attempt, job.failures, job.revision) == (Status.QUEUED, 0, 0, 1)
    assert job.created_at == NOON
    with database.reading() as session:
        inputs = artifacts.inputs(session, job_id)
    assert inputs.content.key == f"{job_id}/c"
    assert [style.key for style in inputs.styles] == [f"{job_id}/s"]
    assert inputs.masks == []
    assert reasons(database, job_id) == ["submitted"]


def test_claim_takes_a_job_once(database, submit, claim):
    job_id = submit()

    first, second = claim(), claim()

    assert (first.job_id, first.attempt) == (job_id, 1)
    assert second is None
    job = read(database, job_id)
    assert (job.status, job.worker, job.lease_expires_at) == (Status.RUNNING, "w1", at(31))
    with database.reading() as session:
        (attempt,) = session.scalars(select(Attempt)).all()
    assert (attempt.attempt, attempt.worker, attempt.ended_at) == (1, "w1", None)


def test_simultaneous_claims_never_share_a_job(database, submit):
    ids = {submit() for _ in range(12)}
    got: list[str] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        while True:
            with database.writing() as session:
                found = lifecycle.claim(session, worker="w", device_bytes=10**9, lease_seconds=30)
            if found is None:
                return
            got.append(found.job_id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == 12
    assert set(got) == ids


def test_claim_prefers_priority_then_idle_owner_then_age(submit, claim):
    old_ann = submit(owner="ann", seconds=-50)
    older_ann = submit(owner="ann", seconds=-60)
    bob = submit(owner="bob", seconds=-10)
    urgent_ann = submit(owner="ann", priority=5, seconds=-1)

    order = [claim().job_id for _ in range(4)]

    assert order == [urgent_ann, bob, older_ann, old_ann]


def test_claim_leaves_what_does_not_fit_the_device(submit, claim):
    submit(estimated_bytes=5000, seconds=-9)
    small = submit(estimated_bytes=500)

    assert claim(device_bytes=1000).job_id == small
    assert claim(device_bytes=1000) is None
    assert claim(device_bytes=5000) is not None


def test_success_stores_result_and_ends_attempt(database, submit, claim):
    job_id = submit()

    succeed(database, claim())

    job = read(database, job_id)
    assert (job.status, job.finished_at, job.lease_expires_at) == (Status.SUCCEEDED, at(5), None)
    with database.reading() as session:
        assert artifacts.result(session, job_id).key == f"jobs/{job_id}/a1/result-9"
        (attempt,) = session.scalars(select(Attempt)).all()
    assert (attempt.outcome, attempt.ended_at) == ("succeeded", at(5))
    assert reasons(database, job_id) == ["submitted", "claimed", "succeeded"]


def test_a_second_success_changes_nothing(database, submit, claim):
    job_id = submit()
    held = claim()
    succeed(database, held)

    with pytest.raises(LeaseLost):
        succeed(database, held)

    assert reasons(database, job_id) == ["submitted", "claimed", "succeeded"]
    with database.reading() as session:
        assert len(session.scalars(select(Artifact).where(Artifact.kind == "result")).all()) == 1


WORKER_WRITES = {
    "renew": lambda session, held: lifecycle.renew(session, held, progress={"step": 99}),
    "add_artifact": lambda session, held: lifecycle.add_artifact(session, held, picture(held)),
    "renew_losses": lambda session, held: lifecycle.renew(session, held, losses=[row(1)]),
    "add_losses": lambda session, held: lifecycle.add_losses(session, held, [row(1)]),
    "succeed": lambda session, held: lifecycle.succeed(
        session, held, picture(held), progress={}, weights=""
    ),
    "fail": lambda session, held: lifecycle.fail(session, held, OutOfMemory("full")),
    "replace_checkpoint": lambda session, held: lifecycle.replace_checkpoint(
        session, held, picture(held, ArtifactKind.CHECKPOINT)
    ),
    "release": lambda session, held: lifecycle.release(session, held),
    "finish_cancelled": lambda session, held: lifecycle.finish_cancelled(session, held),
}


@pytest.mark.parametrize("write", WORKER_WRITES.values(), ids=WORKER_WRITES.keys())
def test_zombie_of_an_older_attempt_can_write_nothing(database, submit, claim, write):
    job_id = submit()
    zombie = claim()
    with database.writing() as session:
        lifecycle.reclaim(session, now=at(100))
    with database.writing() as session:
        newer = claim_in(session, seconds=200)
        lifecycle.add_artifact(session, newer, picture(newer, ArtifactKind.CHECKPOINT, 50))
    before = read(database, job_id)

    with pytest.raises(LeaseLost), database.writing() as session:
        write(session, zombie)

    after = read(database, job_id)
    assert (after.revision, after.status, after.attempt, after.worker) == (
        before.revision,
        Status.RUNNING,
        2,
        "w2",
    )
    with database.reading() as session:
        assert artifacts.result(session, job_id) is None
        assert artifacts.latest_checkpoint(session, job_id).step == 50
    assert steps_of(database, job_id) == []


def claim_in(session, seconds: float) -> Claim:
    return lifecycle.claim(
        session, worker="w2", device_bytes=10**9, lease_seconds=30, now=at(seconds)
    )


def test_renewal_extends_the_lease_and_shows_progress(database, submit, claim):
    job_id = submit()
    held = claim()

    with database.writing() as session:
        asked = lifecycle.renew(session, held, progress={"step": 3}, weights="random", now=at(20))

    job = read(database, job_id)
    assert not asked
    assert (job.lease_expires_at, job.progress, job.weights) == (at(50), {"step": 3}, "random")


def test_renewal_without_news_leaves_the_revision(database, submit, claim):
    job_id = submit()
    held = claim()
    before = read(database, job_id).revision

    with database.writing() as session:
        lifecycle.renew(session, held, now=at(20))

    assert read(database, job_id).revision == before


def test_expired_lease_returns_job_to_queue_at_once(database, submit, claim):
    job_id = submit()
    claim()

    with database.writing() as session:
        early = lifecycle.reclaim(session, now=at(31))
        late = lifecycle.reclaim(session, now=at(31.1))

    assert (early, late) == ({}, {job_id: Status.QUEUED})
    job = read(database, job_id)
    assert (job.failures, job.due_at) == (1, at(31.1))
    assert claim(seconds=31.2).attempt == 2


def test_three_failures_end_the_job_with_the_last_cause(database, submit, claim):
    job_id = submit()

    fates = []
    for number in range(3):
        held = claim(seconds=100 * number + 1)
        with database.writing() as session:
            fates.append(
                lifecycle.fail(session, held, OutOfMemory("too big"), now=at(100 * number + 2))
            )

    assert fates == [Status.QUEUED, Status.QUEUED, Status.FAILED]
    job = read(database, job_id)
    assert (job.failures, job.error["code"]) == (3, "retries_exhausted")
    assert "too big" in job.error["message"]
    assert reasons(database, job_id)[-1] == "error"


def test_backoff_doubles(database, submit, claim):
    job_id = submit()

    pauses = []
    for number in range(2):
        held = claim(seconds=100 * number + 1)
        with database.writing() as session:
            lifecycle.fail(session, held, OutOfMemory("full"), now=at(100 * number + 2))
        pauses.append((read(database, job_id).due_at - at(100 * number + 2)).total_seconds())

    assert pauses == [2, 4]


def test_bad_input_fails_at_once(database, submit, claim):
    job_id = submit()
    held = claim()

    with database.writing() as session:
        lifecycle.fail(session, held, InvalidImage("torn", hint="send it again"), now=at(2))

    job = read(database, job_id)
    assert (job.status, job.failures) == (Status.FAILED, 1)
    assert job.error == {"code": "invalid_image", "message": "torn", "hint": "send it again"}


def test_drained_job_is_due_again_at_once_and_unpunished(database, submit, claim):
    job_id = submit()
    held = claim()

    with database.writing() as session:
        lifecycle.release(session, held, now=at(5))

    job = read(database, job_id)
    assert (job.status, job.failures, job.due_at) == (Status.QUEUED, 0, at(5))
    assert claim(seconds=6).attempt == 2


def test_queued_job_is_cancelled_at_once(database, submit, claim):
    job_id = submit()

    with database.writing() as session:
        lifecycle.cancel(session, job_id, "ann", now=at(2))

    job = read(database, job_id)
    assert (job.status, job.finished_at) == (Status.CANCELLED, at(2))
    assert claim() is None
    assert reasons(database, job_id) == ["submitted", "cancelled"]


def test_running_job_is_asked_to_stop_and_its_worker_ends_it(database, submit, claim):
    job_id = submit()
    held = claim()

    with database.writing() as session:
        lifecycle.cancel(session, job_id, "ann", now=at(2))
    asked_at = read(database, job_id).cancel_requested_at
    with database.writing() as session:
        told = lifecycle.renew(session, held, now=at(3))
        lifecycle.finish_cancelled(session, held, now=at(3))

    assert told
    assert asked_at == at(2)
    assert read(database, job_id).status == Status.CANCELLED
    assert reasons(database, job_id) == ["submitted", "claimed", "cancelled"]


def test_cancelling_again_changes_nothing(database, submit, claim):
    job_id = submit()
    claim()

    revisions = []
    for seconds in (2, 3):
        with database.writing() as session:
            lifecycle.cancel(session, job_id, "ann", now=at(seconds))
        revisions.append(read(database, job_id).revision)

    assert revisions[0] == revisions[1]
    assert read(database, job_id).cancel_requested_at == at(2)


def test_job_whose_cancel_was_answered_cannot_succeed(database, submit, claim):
    job_id = submit()
    held = claim()
    with database.writing() as session:
        lifecycle.cancel(session, job_id, "ann", now=at(2))

    with pytest.raises(Cancelled):
        succeed(database, held)

    with database.writing() as session:
        lifecycle.finish_cancelled(session, held, now=at(3))
    assert read(database, job_id).status == Status.CANCELLED


@pytest.mark.parametrize("end", ["expires", "drains", "errs"])
def test_job_asked_to_stop_is_cancelled_however_its_attempt_ends(database, submit, claim, end):
    job_id = submit()
    held = claim()
    with database.writing() as session:
        lifecycle.cancel(session, job_id, "ann", now=at(2))

    with database.writing() as session:
        if end == "expires":
            lifecycle.reclaim(session, now=at(100))
        elif end == "drains":
            lifecycle.release(session, held, now=at(3))
        else:
            lifecycle.fail(session, held, OutOfMemory("full"), now=at(3))

    assert read(database, job_id).status == Status.CANCELLED
    assert reasons(database, job_id)[-1] == "cancelled"


def test_ended_job_cannot_be_cancelled(database, submit, claim):
    job_id = submit()
    succeed(database, claim())

    with pytest.raises(NotCancellable), database.writing() as session:
        lifecycle.cancel(session, job_id, "ann")

    assert read(database, job_id).status == Status.SUCCEEDED


def test_other_owners_job_does_not_exist(database, submit):
    job_id = submit(owner="ann")

    with pytest.raises(JobNotFound), database.writing() as session:
        lifecycle.cancel(session, job_id, "bob")

    assert read(database, job_id).status == Status.QUEUED


def test_only_jobs_past_retention_are_forgotten(database, submit, claim):
    ended = submit(seconds=-9)
    succeed(database, claim())
    queued = submit()

    with database.writing() as session:
        early = lifecycle.forget(session, retention_hours=1, now=at(3605))
        late = lifecycle.forget(session, retention_hours=1, now=at(3606))

    assert (early, late) == ([], [ended])
    assert read(database, queued).status == Status.QUEUED
    with database.reading() as session:
        assert {event.job_id for event in session.scalars(select(Event))} == {queued}


def test_failed_transaction_leaves_neither_job_nor_event(database, submit, monkeypatch):
    monkeypatch.setattr(lifecycle, "_log", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        submit()

    with database.reading() as session:
        assert session.scalars(select(Job)).all() == []
        assert session.scalars(select(Artifact)).all() == []


def test_queue_position_counts_priority_and_age(database, submit):
    second = submit(seconds=2)
    first = submit(seconds=1)
    urgent = submit(seconds=3, priority=1)

    with database.reading() as session:
        jobs = {job.id: job for job in session.scalars(select(Job))}
        positions = [due.queue_position(session, jobs[i]) for i in (urgent, first, second)]

    assert positions == [1, 2, 3]


def test_newer_attempts_snapshot_of_a_step_counts(database, submit, claim):
    job_id = submit()
    held = claim()
    for again in (False, True):
        if again:
            with database.writing() as session:
                lifecycle.release(session, held, now=at(9))
            held = claim(seconds=10)
        with database.writing() as session:
            shot = picture(held, ArtifactKind.SNAPSHOT, 20)
            lifecycle.add_artifact(session, held, shot, now=at(5))

    with database.reading() as session:
        (snapshot,) = artifacts.snapshots(session, job_id)

    assert snapshot.key == f"jobs/{job_id}/a2/snapshot-20"


def test_clock_is_the_databases_and_in_utc(database):
    with database.reading() as session:
        first, second = database_now(session), database_now(session)

    assert first.utcoffset() == timedelta(0)
    assert timedelta(0) <= second - first < timedelta(seconds=10)
