"""Idempotency keys: a client's names for its submissions, so that one sent again is the same job.

A key is kept in the transaction that records its job, and the table lets one in: there is no
state in which a key is held without its job. Knows no header; see `docs/decisions/013`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from nst_jobs.database import bound_locks, database_now, lock_timed_out
from nst_jobs.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from nst_jobs.records import IdempotencyKey, Job

KEPT_HOURS = 24
#: A machine that vanishes between INSERT and COMMIT holds its key for so long.
IDLE_SECONDS = 5.0
#: Longer than the above: whoever waits for such a machine gets the key, not a refusal.
WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Key:
    """An owner's name for a submission, and the fingerprint of what is submitted under it."""

    owner: str
    name: str
    payload: str


def first_job(session: Session, key: Key, *, now: datetime | None = None) -> Job | None:
    """Return the job that was recorded under the key; None means that the key is free.

    Raises:
        IdempotencyKeyReused: it was recorded for another payload.
    """
    now = now or database_now(session)
    found = session.execute(
        select(Job, IdempotencyKey.payload)
        .join(IdempotencyKey, IdempotencyKey.job_id == Job.id)
        .where(*_named(key), IdempotencyKey.expires_at > now)
    ).one_or_none()
    if found is None:
        return None
    job, payload = found
    if payload != key.payload:
        raise IdempotencyKeyReused(
            f"the Idempotency-Key was already used for another submission, job {job.id}",
            hint="Take a new key for a new job, or send exactly what was sent first.",
        )
    return job


def keep(session: Session, key: Key, job_id: str, *, now: datetime | None = None) -> None:
    """Record in the job's own transaction that the key is the job's.

    Raises:
        IdempotencyKeyInUse: another request has the key; nothing of this transaction may stay.
    """
    now = now or database_now(session)
    bound_locks(session, wait_seconds=WAIT_SECONDS, idle_seconds=IDLE_SECONDS)
    try:
        session.execute(
            delete(IdempotencyKey).where(*_named(key), IdempotencyKey.expires_at <= now)
        )
        session.execute(
            insert(IdempotencyKey).values(
                owner=key.owner,
                name=key.name,
                job_id=job_id,
                payload=key.payload,
                expires_at=now + timedelta(hours=KEPT_HOURS),
            )
        )
    except IntegrityError as error:
        raise _in_use() from error
    except OperationalError as error:
        if not lock_timed_out(error):
            raise
        raise _in_use() from error


def forget(session: Session, *, now: datetime | None = None) -> None:
    """Delete the keys that are no longer kept."""
    now = now or database_now(session)
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.expires_at <= now))


def _named(key: Key) -> tuple[ColumnElement[bool], ...]:
    return (IdempotencyKey.owner == key.owner, IdempotencyKey.name == key.name)


def _in_use() -> IdempotencyKeyInUse:
    return IdempotencyKeyInUse(
        "another request with this Idempotency-Key is being recorded",
        hint="Send the same again in a moment; it will be answered with that job.",
    )
