"""A run: the stage, the clients and the faults together, then peace, then the verdict."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from nst_jobs.records import Job, Status
from tests.chaos import workload
from tests.chaos.checks import check_jobs
from tests.chaos.checks_of_writes import check_writes
from tests.chaos.clients import Clients
from tests.chaos.evidence import Evidence, Violation, gather
from tests.chaos.faults import EVERYTHING, Saboteur
from tests.chaos.orders import Orders
from tests.chaos.recovery import check_recoveries
from tests.chaos.stage import Stage, staged

#: Of each pass of a failpoint; a job passes some dozens.
CRASH_SHARE = 0.004
JOBS_A_SECOND = 2.0
#: Enough for a machine that has other things to do as well.
_SETTLE_SECONDS = 150.0
#: For clients whose last tickets meet the last faults.
_GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Verdict:
    """What a run has shown."""

    evidence: Evidence
    violations: list[Violation]
    #: From the end of the faults until every job had ended.
    settled_seconds: float


def run_everything(folder: Path, *, database: str, seconds: float, seed: int) -> Verdict:
    """Do every kind of fault to a busy service, and judge it."""
    rounds = round(seconds * JOBS_A_SECOND)
    # The longest of the stylings half as often as the others.
    order = (*workload.STYLINGS[:3], *workload.STYLINGS)
    params = [order[number % len(order)] for number in range(rounds)]
    orders = Orders(folder, seed, crash_share=CRASH_SHARE)
    # SQLite has no process of its own to kill.
    deck = [kind for kind in EVERYTHING if database != "sqlite" or kind != "kill database"]
    return run(orders, params, deck, database=database, seconds=seconds)


def run(
    orders: Orders,
    params: Sequence[dict[str, object]],
    deck: Sequence[str],
    *,
    database: str,
    seconds: float,
    settle_seconds: float = _SETTLE_SECONDS,
) -> Verdict:
    """Submit jobs with these params while faults are drawn from a deck, and judge what became."""
    with staged(orders, database=database) as stage:
        clients = Clients(stage.url, seed=orders.seed)
        saboteur = Saboteur(stage, seed=orders.seed)
        clients.start(params, seconds=seconds, grace=_GRACE_SECONDS)
        saboteur.run(deck, seconds=seconds)
        orders.calm.touch()
        began = time.monotonic()
        clients.finish()
        _settle(stage, settle_seconds)
        settled = time.monotonic() - began
        evidence = gather(stage, clients, saboteur.faults)
        return Verdict(evidence, judge(evidence), settled)


def judge(evidence: Evidence) -> list[Violation]:
    """Return every promise that was not kept."""
    return [*check_jobs(evidence), *check_writes(evidence), *check_recoveries(evidence)]


def _settle(stage: Stage, seconds: float) -> None:
    """Return when every job has ended and nothing is left of the dead, or after so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not _is_over(stage):
        time.sleep(0.2)


def _is_over(stage: Stage) -> bool:
    alone = not any(program.left_behind() for program in (*stage.nodes, stage.api))
    return stage.is_ready() and alone and _all_ended(stage)


def _all_ended(stage: Stage) -> bool:
    open_jobs = Job.status.in_([Status.QUEUED, Status.RUNNING])
    try:
        with stage.database.reading() as session:
            return not session.scalar(select(func.count()).where(open_jobs))
    except SQLAlchemyError:
        return False
