"""Which queued job comes next: read only.

Next is the highest priority, then the owner with the fewest running jobs, then the oldest.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.orm import Session, aliased

from nst_jobs.database import database_now
from nst_jobs.records import Job, Status


def next_due(now: datetime, device_bytes: int) -> ScalarSelect[str]:
    """Return the id of the next due job that fits `device_bytes`, as a subquery that locks it."""
    running = aliased(Job)
    owners_load = (
        select(func.count())
        .where(running.owner == Job.owner, running.status == Status.RUNNING)
        .correlate(Job)
        .scalar_subquery()
    )
    fits = (
        Job.status == Status.QUEUED,
        Job.due_at <= now,
        Job.estimated_bytes <= device_bytes,
    )
    return (
        select(Job.id)
        .where(*fits)
        .order_by(Job.priority.desc(), owners_load, Job.created_at, Job.id)
        .limit(1)
        .with_for_update(of=Job, skip_locked=True)
        .scalar_subquery()
    )


def count_due(session: Session, *, now: datetime | None = None) -> int:
    """Return how many jobs could be claimed right now."""
    now = now or database_now(session)
    due = select(func.count()).where(Job.status == Status.QUEUED, Job.due_at <= now)
    return session.scalar(due) or 0


def count_queued(session: Session, owner: str) -> int:
    """Return how many jobs of an owner are queued."""
    queued = select(func.count()).where(Job.owner == owner, Job.status == Status.QUEUED)
    return session.scalar(queued) or 0


def seconds_to_next_due(session: Session, *, now: datetime | None = None) -> float | None:
    """Return when the first back-off ends; None when no job is backing off."""
    now = now or database_now(session)
    first = session.scalar(
        select(func.min(Job.due_at)).where(Job.status == Status.QUEUED, Job.due_at > now)
    )
    return (first - now).total_seconds() if first else None


def queue_position(session: Session, job: Job) -> int:
    """Return the place of a queued job in line, 1 being next; a running owner's load aside."""
    ahead = (Job.priority > job.priority) | (
        (Job.priority == job.priority)
        & (
            (Job.created_at < job.created_at)
            | ((Job.created_at == job.created_at) & (Job.id < job.id))
        )
    )
    before = select(func.count()).where(Job.status == Status.QUEUED, ahead)
    return 1 + (session.scalar(before) or 0)


def queue_positions(session: Session, job_ids: Collection[str]) -> dict[str, int]:
    """Return the places in line of those of some jobs that are queued, by one query."""
    order = (Job.priority.desc(), Job.created_at, Job.id)
    place = func.row_number().over(order_by=order).label("place")
    line = select(Job.id, place).where(Job.status == Status.QUEUED).subquery()
    found = session.execute(select(line.c.id, line.c.place).where(line.c.id.in_(job_ids)))
    return {row.id: row.place for row in found}
