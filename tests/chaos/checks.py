"""The checks of jobs: accepted, ended once, with one result, and that one right."""

import hashlib
from collections.abc import Iterator
from itertools import pairwise

from nst_jobs import retries
from nst_jobs.errors import StorageError
from nst_jobs.records import Artifact, ArtifactKind, Event, Job, Status
from tests.chaos import workload
from tests.chaos.clients import ticket_of
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.orders import POISON_SEED

#: What may become of a job, by the reason that its event gives.
_MOVES = {
    (Status.QUEUED, "claimed"): {Status.RUNNING},
    (Status.QUEUED, "cancelled"): {Status.CANCELLED},
    (Status.RUNNING, "succeeded"): {Status.SUCCEEDED},
    (Status.RUNNING, "error"): {Status.QUEUED, Status.FAILED},
    (Status.RUNNING, "lease_expired"): {Status.QUEUED, Status.FAILED},
    (Status.RUNNING, "drained"): {Status.QUEUED},
    (Status.RUNNING, "cancelled"): {Status.CANCELLED},
}
_FAILURES = ("error", "lease_expired")


def check_jobs(evidence: Evidence) -> Iterator[Violation]:
    """Yield everything that is wrong with tickets and jobs."""
    yield from _accepted(evidence)
    yield from _submitted(evidence)
    for status in evidence.answers.keys() - {503}:
        if status >= 500:
            yield Violation("crash of a request", "", f"{evidence.answers[status]} times {status}")
    for process in evidence.left_behind:
        yield Violation("left behind", "", process)
    for job in evidence.jobs.values():
        yield from _history(job, evidence.events.get(job.id, []))
        yield from _attempts(job, evidence)
        yield from _end(job, evidence)
        yield from _files(job, evidence)


def duplicates(evidence: Evidence) -> int:
    """Return how many jobs there are beyond one for each ticket."""
    known = [ticket_of(job.labels) for job in evidence.jobs.values()]
    return len(known) - len(set(known))


def _accepted(evidence: Evidence) -> Iterator[Violation]:
    for ticket in evidence.tickets:
        if ticket.refused:
            yield Violation("refused", "", f"{ticket.name}: {ticket.refused}")
        elif not ticket.job_ids:
            yield Violation("never accepted", "", ticket.name)
        if evidence.keys_heeded and len(set(ticket.job_ids)) > 1:
            yield Violation("key answered twice", "", f"{ticket.name}: {ticket.job_ids}")
        for job_id in set(ticket.job_ids):
            if job_id not in evidence.jobs:
                yield Violation("accepted job lost", job_id, ticket.name)
            elif ticket_of(evidence.jobs[job_id].labels) != ticket.name:
                yield Violation("another's job", job_id, ticket.name)


def _submitted(evidence: Evidence) -> Iterator[Violation]:
    known = {ticket.name for ticket in evidence.tickets}
    for job in evidence.jobs.values():
        if ticket_of(job.labels) not in known:
            yield Violation("submitted by nobody", job.id, str(job.labels))
    if evidence.keys_heeded and duplicates(evidence):
        yield Violation("job twice", "", f"{duplicates(evidence)} jobs too many")


def _history(job: Job, events: list[Event]) -> Iterator[Violation]:
    """Replay the events: each must be a move that the one before it allows."""
    told = " ".join(f"{event.reason}({event.attempt})" for event in events)
    if not events or events[0].reason != "submitted":
        yield Violation("no beginning", job.id, told)
        return
    for before, event in pairwise(events):
        attempt = before.attempt + (event.reason == "claimed")
        allowed = _MOVES.get((before.status, event.reason), set())
        if event.status not in allowed or event.attempt != attempt:
            yield Violation("impossible move", job.id, told)
    ends = [event for event in events if event.status.terminal]
    if ends and ends != events[-1:]:
        yield Violation("not one end", job.id, told)
    if (job.status, job.attempt) != (events[-1].status, events[-1].attempt):
        yield Violation("row and events differ", job.id, f"{job.status}({job.attempt}): {told}")


def _attempts(job: Job, evidence: Evidence) -> Iterator[Violation]:
    attempts = evidence.attempts.get(job.id, [])
    if [each.attempt for each in attempts] != list(range(1, job.attempt + 1)):
        yield Violation("gap in attempts", job.id, f"{[each.attempt for each in attempts]}")
    if not job.status.terminal:
        return
    if any(each.ended_at is None or each.outcome is None for each in attempts):
        yield Violation("attempt without end", job.id, f"{[each.outcome for each in attempts]}")
    failures = sum(each.outcome in _FAILURES for each in attempts)
    if job.failures != failures:
        yield Violation("failures miscounted", job.id, f"{job.failures}, and {failures} attempts")


def _end(job: Job, evidence: Evidence) -> Iterator[Violation]:
    code = (job.error or {}).get("code")
    if not job.status.terminal:
        yield Violation("never ended", job.id, f"{job.status}, attempt {job.attempt}")
    if job.status == Status.CANCELLED and job.id not in _cancels(evidence):
        yield Violation("cancelled by nobody", job.id, "")
    if job.status == Status.FAILED and (
        code != "retries_exhausted" or job.failures != retries.MAX_FAILURES
    ):
        yield Violation("failed too early", job.id, f"{code} after {job.failures} failures")
    if job.params["seed"] == POISON_SEED and job.status == Status.SUCCEEDED:
        yield Violation("poison succeeded", job.id, "")


def _cancels(evidence: Evidence) -> set[str]:
    return {
        job_id for ticket in evidence.tickets if ticket.cancel_asked for job_id in ticket.job_ids
    }


def _files(job: Job, evidence: Evidence) -> Iterator[Violation]:
    """Check that rows point at their files, and that success and a result are one."""
    files = evidence.artifacts.get(job.id, [])
    for file in files:
        data = _read(file, evidence)
        if data is None or hashlib.sha256(data).hexdigest() != file.sha256:
            yield Violation("file missing or damaged", job.id, file.key)
    results = [file for file in files if file.kind == ArtifactKind.RESULT]
    if len(results) != (job.status == Status.SUCCEEDED):
        yield Violation("results", job.id, f"{job.status} with {len(results)}")
    for result in results:
        if _read(result, evidence) != workload.reference(job.params):
            yield Violation("another picture", job.id, f"{result.key}: not the uninterrupted run's")


def _read(file: Artifact, evidence: Evidence) -> bytes | None:
    try:
        return evidence.storage.get(file.key)
    except StorageError:
        return None
