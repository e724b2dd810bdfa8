"""The evidence: all that is known when a run is over, read once and changed by nobody."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import select

from nst_jobs.database import Database
from nst_jobs.records import Artifact, Attempt, Event, Job
from nst_jobs.storage import Storage
from tests.chaos.clients import Clients, Ticket
from tests.chaos.faults import Fault
from tests.chaos.journal import Entry, read_journal
from tests.chaos.stage import Stage

Row = TypeVar("Row", Attempt, Artifact, Event)


@dataclass(frozen=True)
class Evidence:
    """What clients were told, what the database holds, what the workers say, what was broken."""

    tickets: list[Ticket]
    keys_heeded: bool
    answers: Counter[int]
    jobs: dict[str, Job]
    events: dict[str, list[Event]]
    attempts: dict[str, list[Attempt]]
    artifacts: dict[str, list[Artifact]]
    journal: list[Entry]
    faults: list[Fault]
    #: What still ran in the end although what had started it was dead.
    left_behind: list[str]
    storage: Storage


@dataclass(frozen=True)
class Violation:
    """A promise that was not kept."""

    rule: str
    job_id: str
    detail: str


def gather(stage: Stage, clients: Clients, faults: list[Fault]) -> Evidence:
    """Read what a run has left behind."""
    with stage.database.reading() as session:
        jobs = {job.id: job for job in session.scalars(select(Job))}
    return Evidence(
        tickets=clients.tickets,
        keys_heeded=clients.keys_heeded,
        answers=clients.answers,
        jobs=jobs,
        events=_by_job(stage.database, Event, Event.id),
        attempts=_by_job(stage.database, Attempt, Attempt.attempt),
        artifacts=_by_job(stage.database, Artifact, Artifact.id),
        journal=read_journal(stage.orders.journal),
        faults=faults,
        left_behind=[
            str(each) for part in (*stage.nodes, stage.api) for each in part.left_behind()
        ],
        storage=stage.storage,
    )


def _by_job(database: Database, kind: type[Row], order: object) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    with database.reading() as session:
        for row in session.scalars(select(kind).order_by(order)):
            found[row.job_id].append(row)
    return found
