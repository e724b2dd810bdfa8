"""The losses of a job's steps: one row a step, written in batches behind `lifecycle`'s fence.

An attempt that goes on from a checkpoint makes some steps again; its rows replace the earlier ones.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from nst_jobs.records import Loss

#: Seven values each: fewer than either database takes in one statement.
_ROWS_A_STATEMENT = 1000
_COLUMNS = ("step", "total", "content", "style", "tv", "scale")


@dataclass(frozen=True)
class StepLosses:
    """The loss of one step and its weighted terms; `scale` counts from 1."""

    step: int
    scale: int
    total: float
    content: float
    style: float
    tv: float


def replace_losses(session: Session, job_id: str, rows: Sequence[StepLosses]) -> None:
    """Write the rows of consecutive steps in place of all from the first of them on. Repeatable."""
    if not rows:
        return
    session.execute(delete(Loss).where(Loss.job_id == job_id, Loss.step >= rows[0].step))
    for first in range(0, len(rows), _ROWS_A_STATEMENT):
        some = rows[first : first + _ROWS_A_STATEMENT]
        session.execute(insert(Loss).values([{"job_id": job_id, **asdict(row)} for row in some]))


def loss_curve(session: Session, job_id: str, *, points: int) -> dict[str, list[float]]:
    """Return at most so many rows, evenly spread over the steps so far, the last among them.

    As columns: `step`, `total`, `content`, `style`, `tv`, `scale`.
    """
    numbered = (
        select(
            Loss.step,
            func.row_number().over(order_by=Loss.step).label("number"),
            func.count().over().label("rows"),
        )
        .where(Loss.job_id == job_id)
        .subquery()
    )
    number, rows = numbered.c.number, numbered.c.rows
    # Cut into `points` equal parts, the row at which each ends.
    chosen = select(numbered.c.step).where(number * points // rows > (number - 1) * points // rows)
    columns = [getattr(Loss, name) for name in _COLUMNS]
    found = session.execute(
        select(*columns).where(Loss.job_id == job_id, Loss.step.in_(chosen)).order_by(Loss.step)
    ).all()
    values = zip(*found, strict=True) if found else ((),) * len(_COLUMNS)
    return {name: list(column) for name, column in zip(_COLUMNS, values, strict=True)}
