"""How long a job waited after its worker was killed: from the fault to the next claim."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.chaos.evidence import Evidence, Violation
from tests.chaos.faults import Fault
from tests.chaos.journal import Entry
from tests.chaos.orders import LEASE_SECONDS, SWEEP_SECONDS

#: For the worker that is free to hear of the job.
_MARGIN_SECONDS = 5.0
#: Given a free worker. While all are starting, or the database is away, it takes longer …
_LATE_SECONDS = LEASE_SECONDS + 1.3 * SWEEP_SECONDS + _MARGIN_SECONDS
#: … but not so long.
_MOST_SECONDS = 40.0
_CRASHES = ("kill child", "kill node", "zombie child", "zombie node")


@dataclass(frozen=True)
class Recovery:
    """A job's wait for its next attempt, or its end where it had no more."""

    job_id: str
    kind: str
    since: float
    until: float

    @property
    def seconds(self) -> float:
        """Return how long it lasted."""
        return self.until - self.since


def recoveries(evidence: Evidence) -> list[Recovery]:
    """Return the wait of every job whose worker was taken away."""
    return [found for fault in _crashes(evidence) for found in _after(fault, evidence)]


def check_recoveries(evidence: Evidence) -> Iterator[Violation]:
    """Yield the jobs that waited too long."""
    for each in recoveries(evidence):
        told = f"{each.seconds:.1f} s after {each.kind}"
        if each.seconds > _MOST_SECONDS:
            yield Violation("late again", each.job_id, told)
        elif younger := _overtaking(each, evidence):
            yield Violation("overtaken", each.job_id, f"{told}, by {younger}")


def own_crashes(evidence: Evidence) -> list[Fault]:
    """Return the deaths at failpoints and of poison, as faults."""
    return [
        Fault(entry.at, entry.what, (entry.pid,))
        for entry in evidence.journal
        if entry.what == "poisoned" or entry.what.startswith("died")
    ]


def _crashes(evidence: Evidence) -> list[Fault]:
    struck = [fault for fault in evidence.faults if fault.kind in _CRASHES]
    return struck + own_crashes(evidence)


def _after(fault: Fault, evidence: Evidence) -> Iterator[Recovery]:
    for pid in fault.pids:
        held = _held(pid, fault.at, evidence.journal)
        for event in evidence.events.get(held.job, []) if held else []:
            at = event.at.timestamp()
            if at > fault.at and (event.reason == "claimed" or event.status.terminal):
                yield Recovery(event.job_id, fault.kind, fault.at, at)
                break


def _overtaking(waiting: Recovery, evidence: Evidence) -> str:
    """Return a younger job that a worker took while this one must have been due."""
    claims = (
        job_id
        for job_id, events in evidence.events.items()
        for event in events
        if event.reason == "claimed"
        and waiting.since + _LATE_SECONDS < event.at.timestamp() < waiting.until
    )
    return max((job_id for job_id in claims if job_id > waiting.job_id), default="")


def _held(pid: int, at: float, journal: list[Entry]) -> Entry | None:
    """Return the attempt that a process was in at a moment."""
    spans = [e for e in journal if e.pid == pid and e.at < at and e.what in ("began", "ended")]
    return spans[-1] if spans and spans[-1].what == "began" else None
