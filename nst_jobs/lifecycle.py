"""A job's life: the only writer of `job.status`.

Every change is one conditional UPDATE that names the status (and for a worker's write the
attempt) it expects, with one row in the event log, in the caller's transaction. No row changed
means that someone else was first: the caller stops and touches nothing.

Time is the database's clock; tests pass `now` instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy import delete as sql_delete
from sqlalchemy.orm import Session
from uuid_utils import uuid7

from nst_core.errors import NstError
from nst_jobs import artifacts, retries
from nst_jobs.artifacts import StoredFile
from nst_jobs.database import database_now
from nst_jobs.due import next_due
from nst_jobs.errors import Cancelled, JobNotEnded, JobNotFound, LeaseLost, NotCancellable
from nst_jobs.losses import StepLosses, replace_losses
from nst_jobs.records import Attempt, Event, Job, Status


@dataclass(frozen=True)
class Submission:
    """What a client asked for, checked and with its pictures stored."""

    job_id: str
    owner: str
    params: dict[str, Any]
    estimated_bytes: int
    files: tuple[StoredFile, ...]
    priority: int
    metadata: dict[str, str]
    #: The job that this one repeats.
    retried_from: str | None = None


@dataclass(frozen=True)
class Claim:
    """A worker's hold on a job: `attempt` is the token that every write must name."""

    job_id: str
    attempt: int
    params: dict[str, Any]
    lease_seconds: float


def new_job_id() -> str:
    """Return a fresh UUIDv7: ids sort by the time of submission."""
    return str(uuid7())


def submit(session: Session, submission: Submission, *, now: datetime | None = None) -> Job:
    """Record a job as queued; it exists for good when the transaction commits."""
    now = now or database_now(session)
    job = Job(
        id=submission.job_id,
        owner=submission.owner,
        status=Status.QUEUED,
        revision=1,
        priority=submission.priority,
        labels=submission.metadata,
        retried_from=submission.retried_from,
        params=submission.params,
        estimated_bytes=submission.estimated_bytes,
        attempt=0,
        failures=0,
        created_at=now,
        due_at=now,
    )
    session.add(job)
    session.flush()
    for file in submission.files:
        artifacts.add(session, job.id, 0, file, now)
    _log(session, job, "submitted", now)
    return job


def claim(
    session: Session,
    *,
    worker: str,
    device_bytes: int,
    lease_seconds: float,
    now: datetime | None = None,
) -> Claim | None:
    """Take the next due job that fits the device; None means that there is none.

    Next is the highest priority, then the owner with the fewest running jobs, then the oldest.
    """
    now = now or database_now(session)
    job = _move(
        session,
        (Job.id == next_due(now, device_bytes), Job.status == Status.QUEUED),
        Status.RUNNING,
        {
            "attempt": Job.attempt + 1,
            "worker": worker,
            "started_at": func.coalesce(Job.started_at, now),
            "lease_expires_at": now + timedelta(seconds=lease_seconds),
        },
    )
    if job is None:
        return None
    session.execute(
        insert(Attempt).values(job_id=job.id, attempt=job.attempt, worker=worker, claimed_at=now)
    )
    _log(session, job, "claimed", now)
    return Claim(job.id, job.attempt, job.params, lease_seconds)


def renew(
    session: Session,
    claim: Claim,
    *,
    progress: dict[str, Any] | None = None,
    weights: str | None = None,
    losses: Sequence[StepLosses] = (),
    now: datetime | None = None,
) -> bool:
    """Extend the lease and tell what was done so far; return whether a cancel was asked for.

    `losses` are those of the steps since the last renewal. Repeatable.

    Raises:
        LeaseLost: the job is no longer this attempt's.
    """
    now = now or database_now(session)
    values: dict[str, Any] = {"lease_expires_at": now + timedelta(seconds=claim.lease_seconds)}
    if progress is not None:
        values |= {"progress": progress, "weights": weights}
    if progress is not None or losses:
        values["revision"] = Job.revision + 1
    row = session.execute(
        update(Job).where(*_held(claim)).values(values).returning(Job.cancel_requested_at)
    ).one_or_none()
    if row is None:
        raise _lost(claim)
    replace_losses(session, claim.job_id, losses)
    return row.cancel_requested_at is not None


def add_losses(session: Session, claim: Claim, losses: Sequence[StepLosses]) -> None:
    """Write the losses that no renewal has written, before the attempt's end. Repeatable.

    Raises:
        LeaseLost: the job is no longer this attempt's.
    """
    _lock(session, claim)
    replace_losses(session, claim.job_id, losses)


def add_artifact(
    session: Session, claim: Claim, file: StoredFile, *, now: datetime | None = None
) -> None:
    """Point at a stored file of this attempt. Repeatable.

    Raises:
        LeaseLost: the job is no longer this attempt's; the file is an orphan.
    """
    now = now or database_now(session)
    visible = update(Job).where(*_held(claim)).values(revision=Job.revision + 1)
    if session.scalar(visible.returning(Job.id)) is None:
        raise _lost(claim)
    artifacts.add(session, claim.job_id, claim.attempt, file, now)


def replace_checkpoint(
    session: Session, claim: Claim, file: StoredFile, *, now: datetime | None = None
) -> list[str]:
    """Point at a newer checkpoint in place of the older ones; return their keys. Repeatable.

    Raises:
        LeaseLost: the job is no longer this attempt's; its checkpoints are untouched.
    """
    _lock(session, claim)  # first: of two calls at once each would miss the other's row
    gone = artifacts.drop_checkpoints(session, claim.job_id)
    add_artifact(session, claim, file, now=now)
    return [key for key in gone if key != file.key]


def succeed(
    session: Session,
    claim: Claim,
    result: StoredFile,
    *,
    progress: dict[str, Any],
    weights: str,
    now: datetime | None = None,
) -> None:
    """End the job with its result, made with these weights.

    Raises:
        LeaseLost: the job is no longer this attempt's.
        Cancelled: its owner was told that it would be cancelled.
    """
    now = now or database_now(session)
    if _lock(session, claim).cancel_requested_at is not None:
        raise Cancelled(f"job {claim.job_id} was cancelled")
    values = {"progress": progress, "weights": weights, "error": None}
    _end_attempt(session, claim, Status.SUCCEEDED, "succeeded", now, **values)
    artifacts.add(session, claim.job_id, claim.attempt, result, now)


def fail(
    session: Session,
    claim: Claim,
    error: NstError,
    *,
    reason: str = "error",
    now: datetime | None = None,
) -> Status:
    """Record that the attempt failed: queued again if another may succeed, else the end.

    Raises:
        LeaseLost: the job is no longer this attempt's.
    """
    now = now or database_now(session)
    job = _lock(session, claim)
    failures = job.failures + 1
    if job.cancel_requested_at is not None:
        return _end_attempt(session, claim, Status.CANCELLED, "cancelled", now)
    if not error.retryable:
        return _end_attempt(
            session,
            claim,
            Status.FAILED,
            reason,
            now,
            failures=failures,
            error=retries.as_json(error),
        )
    if failures >= retries.MAX_FAILURES:
        last = retries.as_json(retries.exhausted(error))
        return _end_attempt(
            session, claim, Status.FAILED, reason, now, failures=failures, error=last
        )
    # An expired lease was pause enough.
    pause = timedelta() if isinstance(error, LeaseLost) else retries.backoff(failures)
    values = {
        "failures": failures,
        "error": retries.as_json(error),
        "due_at": now + pause,
    }
    return _end_attempt(session, claim, Status.QUEUED, reason, now, **values)


def release(session: Session, claim: Claim, *, now: datetime | None = None) -> Status:
    """Give the job back unfinished, as a draining worker does; this is no failure.

    Raises:
        LeaseLost: the job is no longer this attempt's.
    """
    now = now or database_now(session)
    if _lock(session, claim).cancel_requested_at is not None:
        return _end_attempt(session, claim, Status.CANCELLED, "cancelled", now)
    return _end_attempt(session, claim, Status.QUEUED, "drained", now, due_at=now)


def finish_cancelled(session: Session, claim: Claim, *, now: datetime | None = None) -> None:
    """End a job whose cancellation its worker has seen.

    Raises:
        LeaseLost: the job is no longer this attempt's.
    """
    now = now or database_now(session)
    _end_attempt(session, claim, Status.CANCELLED, "cancelled", now)


def cancel(session: Session, job_id: str, owner: str, *, now: datetime | None = None) -> Job:
    """Cancel a queued job at once, ask a running one to stop; asking again changes nothing.

    Raises:
        JobNotFound: the owner has no such job.
        NotCancellable: it has succeeded or failed.
    """
    now = now or database_now(session)
    job = session.scalar(select(Job).where(Job.id == job_id, Job.owner == owner).with_for_update())
    if job is None:
        raise _not_found(job_id)
    if job.status in (Status.SUCCEEDED, Status.FAILED):
        raise NotCancellable(
            f"job {job_id} has already {job.status}", hint="Only a job that has not ended can be."
        )
    if job.status == Status.CANCELLED or job.cancel_requested_at is not None:
        return job
    to = Status.CANCELLED if job.status == Status.QUEUED else job.status
    values: dict[str, Any] = {"cancel_requested_at": now}
    if to.terminal:
        values |= {"finished_at": now}
    moved = _move(session, (Job.id == job_id, Job.status == job.status), to, values)
    if moved is None:
        raise RuntimeError(f"job {job_id} changed while its row was locked")
    if to.terminal:
        _log(session, moved, "cancelled", now)
    return moved


def delete(session: Session, job_id: str, owner: str) -> None:
    """Delete the rows of a job that does not run; its files may go when that is committed.

    Raises:
        JobNotFound: the owner has no such job.
        JobNotEnded: a worker is at it.
    """
    mine = (Job.id == job_id, Job.owner == owner)
    idle = sql_delete(Job).where(*mine, Job.status != Status.RUNNING)
    if session.scalar(idle.returning(Job.id)) is not None:
        return
    if session.scalar(select(Job.id).where(*mine)) is None:
        raise _not_found(job_id)
    raise JobNotEnded(f"job {job_id} is running", hint="Cancel it first.")


def reclaim(session: Session, *, now: datetime | None = None) -> dict[str, Status]:
    """Take jobs back from workers whose leases have expired; return ids and new statuses."""
    now = now or database_now(session)
    expired = session.scalars(
        select(Job)
        .where(Job.status == Status.RUNNING, Job.lease_expires_at < now)
        .with_for_update(skip_locked=True)
    ).all()
    outcomes = {}
    for job in expired:
        silent = LeaseLost(
            f"worker {job.worker} fell silent", hint="See that worker's log and its machine."
        )
        held = Claim(job.id, job.attempt, job.params, lease_seconds=0)
        outcomes[job.id] = fail(session, held, silent, reason="lease_expired", now=now)
    return outcomes


def forget(
    session: Session, *, retention_hours: float, limit: int = 100, now: datetime | None = None
) -> list[str]:
    """Delete the rows of jobs that ended longer ago than their retention; return the ids."""
    now = now or database_now(session)
    expired = (
        select(Job.id).where(Job.finished_at < now - timedelta(hours=retention_hours)).limit(limit)
    )
    return list(session.scalars(sql_delete(Job).where(Job.id.in_(expired)).returning(Job.id)))


def _held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that hold while the claim is good: the fence."""
    return (
        Job.id == claim.job_id,
        Job.status == Status.RUNNING,
        Job.attempt == claim.attempt,
    )


def _lock(session: Session, claim: Claim) -> Job:
    """Return the claimed job, held still until the transaction ends."""
    job = session.scalar(select(Job).where(*_held(claim)).with_for_update())
    if job is None:
        raise _lost(claim)
    return job


def _move(
    session: Session,
    conditions: tuple[ColumnElement[bool], ...],
    to: Status,
    values: dict[str, Any],
) -> Job | None:
    """Write the status if the conditions still hold; None means that they do not."""
    return session.scalar(
        update(Job)
        .where(*conditions)
        .values(status=to, revision=Job.revision + 1, **values)
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )


def _end_attempt(
    session: Session, claim: Claim, to: Status, reason: str, now: datetime, **values: object
) -> Status:
    """Write the job's new status, the attempt's outcome and the event, together."""
    if to.terminal:
        values["finished_at"] = now
    job = _move(session, _held(claim), to, {**values, "lease_expires_at": None})
    if job is None:
        raise _lost(claim)
    session.execute(
        update(Attempt)
        .where(Attempt.job_id == claim.job_id, Attempt.attempt == claim.attempt)
        .values(ended_at=now, outcome=reason, error=values.get("error"))
    )
    _log(session, job, reason, now)
    return to


def _not_found(job_id: str) -> JobNotFound:
    return JobNotFound(f"there is no job {job_id}", hint="GET /v1/jobs lists your jobs.")


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(f"job {claim.job_id} is no longer attempt {claim.attempt}'s")


def _log(session: Session, job: Job, reason: str, now: datetime) -> None:
    session.execute(
        insert(Event).values(
            job_id=job.id, attempt=job.attempt, status=job.status, reason=reason, at=now
        )
    )
