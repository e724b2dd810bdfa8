"""What the tables say of a job, and what must hold of it whatever came to pass."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import select

from nst_jobs.database import Database
from nst_jobs.records import Artifact, ArtifactKind, Attempt, Event, Job, Status
from nst_jobs.retries import MAX_FAILURES

Row = Mapping[str, Any]

#: As docs/lifecycle.md has it; what has ended becomes nothing more.
MAY_BECOME = {
    Status.QUEUED: {Status.RUNNING, Status.CANCELLED},
    Status.RUNNING: {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.QUEUED},
}
_FAILURES = ("error", "lease_expired")


@dataclass(frozen=True)
class History:
    """Every row of one job, each kind in its order."""

    job: Row
    attempts: list[Row]
    artifacts: list[Row]
    events: list[Row]

    def of_kind(self, kind: ArtifactKind) -> list[Row]:
        """Return the artifacts of a kind."""
        return [file for file in self.artifacts if file["kind"] == kind]

    @property
    def checkpoint_step(self) -> int:
        """Return the step from which the job would be gone on with."""
        return max((file["step"] for file in self.of_kind(ArtifactKind.CHECKPOINT)), default=0)


def read_histories(database: Database) -> dict[str, History]:
    """Return the history of every job by its id."""
    orders = {Attempt: Attempt.attempt, Artifact: Artifact.id, Event: Event.id}
    with database.reading() as session:
        jobs = [dict(row) for row in session.execute(select(Job.__table__)).mappings()]
        found = {job["id"]: History(job, [], [], []) for job in jobs}
        for record, order in orders.items():
            for row in session.execute(select(record.__table__).order_by(order)).mappings():
                history = found[row["job_id"]]
                rows = {
                    Attempt: history.attempts,
                    Artifact: history.artifacts,
                    Event: history.events,
                }
                rows[record].append(dict(row))
    return found


def check_history(history: History) -> None:
    """Fail if the rows of a job are not what a job can have come to."""
    _check_events(history)
    _check_attempts(history)
    job, last = history.job, history.events[-1]
    assert (job["status"], job["attempt"]) == (last["status"], last["attempt"])
    failures = [event for event in history.events if event["reason"] in _FAILURES]
    assert job["failures"] == len(failures) <= MAX_FAILURES
    assert (job["lease_expires_at"] is not None) == (job["status"] == Status.RUNNING)
    assert (job["finished_at"] is not None) == job["status"].terminal
    if job["cancel_requested_at"]:  # its owner was told so
        assert job["status"] in (Status.RUNNING, Status.CANCELLED)
    results = [file["attempt"] for file in history.of_kind(ArtifactKind.RESULT)]
    assert results == ([job["attempt"]] if job["status"] == Status.SUCCEEDED else [])
    assert len(history.of_kind(ArtifactKind.CHECKPOINT)) <= 1


def _check_events(history: History) -> None:
    first, *_ = history.events
    assert (first["attempt"], first["status"], first["reason"]) == (0, Status.QUEUED, "submitted")
    for before, after in pairwise(history.events):
        assert after["status"] in MAY_BECOME.get(before["status"], ()), history.events
        claimed = after["status"] == Status.RUNNING
        assert after["attempt"] == before["attempt"] + claimed, history.events


def _check_attempts(history: History) -> None:
    attempts = [(attempt["attempt"], attempt["outcome"]) for attempt in history.attempts]
    assert attempts == list(_attempts_by_events(history))
    for attempt in history.attempts:
        assert (attempt["ended_at"] is None) == (attempt["outcome"] is None)


def _attempts_by_events(history: History) -> Iterator[tuple[int, str | None]]:
    """Yield the number of each attempt, and how it ended, as the event log tells it."""
    for event, after in pairwise([*history.events, None]):
        if event["reason"] == "claimed":
            yield event["attempt"], after and after["reason"]
