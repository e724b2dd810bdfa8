"""How long a job waited after its worker was killed: from the fault to the next claim."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.chaos.evidence import Evidence, Violation
from tests.chaos.faults import Fault
from tests.chaos.journal import Entry
from tests.chaos.orders import LEASE_SECONDS, SWEEP_SECONDS

#: For a free worker to be there: all three may be starting, and the database may be away.
MARGIN_SECONDS = 15.0
MOST_SECONDS = LEASE_SECONDS + 1.3 * SWEEP_SECONDS + MARGIN_SECONDS
_CRASHES = ("kill child", "kill node", "zombie child", "zombie node")


@dataclass(frozen=True)
class Recovery:
    """A job's wait for its next attempt, or its end where it had no more."""

    job_id: str
    kind: str
    seconds: float


def recoveries(evidence: Evidence) -> list[Recovery]:
    """Return the wait of every job whose worker was taken away."""
    return [found for fault in _crashes(evidence) for found in _after(fault, evidence)]


def check_recoveries(evidence: Evidence) -> Iterator[Violation]:
    """Yield the jobs that waited too long."""
    for each in recoveries(evidence):
        if each.seconds > MOST_SECONDS:
            yield Violation("late again", each.job_id, f"{each.seconds:.1f} s after {each.kind}")


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
            seconds = event.at.timestamp() - fault.at
            if seconds > 0 and (event.reason == "claimed" or event.status.terminal):
                yield Recovery(event.job_id, fault.kind, seconds)
                break


def _held(pid: int, at: float, journal: list[Entry]) -> Entry | None:
    """Return the attempt that a process was in at a moment."""
    spans = [e for e in journal if e.pid == pid and e.at < at and e.what in ("began", "ended")]
    return spans[-1] if spans and spans[-1].what == "began" else None
