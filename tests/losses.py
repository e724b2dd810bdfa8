"""Losses of steps that nobody made, and those that a database keeps."""

from sqlalchemy import select

from nst_jobs.database import Database
from nst_jobs.losses import StepLosses
from nst_jobs.records import Loss


def row(step: int, total: float | None = None) -> StepLosses:
    total = float(step) * 1000 if total is None else total
    return StepLosses(step, scale=1 + step // 100, total=total, content=0.5, style=0.25, tv=0.0)


def steps_of(database: Database, job_id: str) -> list[int]:
    with database.reading() as session:
        chosen = select(Loss.step).where(Loss.job_id == job_id).order_by(Loss.step)
        return list(session.scalars(chosen))
