"""The report of a run: a table for people."""

from collections import Counter
from collections.abc import Iterator
from statistics import median

from tests.chaos.checks import duplicates
from tests.chaos.checks_of_writes import by_job, steps_again
from tests.chaos.recovery import own_crashes, recoveries
from tests.chaos.run import Verdict

_MOST_SHOWN = 40


def report(verdict: Verdict) -> str:
    """Return the table."""
    rows = [*_rows(verdict)]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {value}" for name, value in rows]
    broken = [f"  {each.rule}: {each.job_id} {each.detail}" for each in verdict.violations]
    return "\n".join(["", *lines, *broken[:_MOST_SHOWN], ""])


def _rows(verdict: Verdict) -> Iterator[tuple[str, str]]:
    evidence = verdict.evidence
    jobs = evidence.jobs.values()
    faults = Counter(fault.kind for fault in (*evidence.faults, *own_crashes(evidence)))
    yield "jobs", f"{len(jobs)}: {_counts(Counter(str(job.status) for job in jobs))}"
    yield "attempts", _counts(Counter(f"{job.attempt} a job" for job in jobs))
    yield "answers", _counts(Counter({str(k): n for k, n in evidence.answers.items()}))
    yield "faults", f"{faults.total()}: {_counts(faults)}"
    yield "recovery", _spread([each.seconds for each in recoveries(evidence)], "s")
    resumed = sum(entry.what == "resumed" and entry.step > 0 for entry in evidence.journal)
    yield "resumed from a checkpoint", f"{resumed}"
    yield "steps made again", _spread(_again(verdict), "")
    yield "settled", f"{verdict.settled_seconds:.1f} s after the last fault"
    heeded = "heeded" if evidence.keys_heeded else "NOT heeded"
    yield "idempotency keys", f"{heeded}; {duplicates(evidence)} duplicates"
    rules = Counter(each.rule for each in verdict.violations)
    yield "violations", f"{rules.total()}" + (f": {_counts(rules)}" if rules else "")


def _again(verdict: Verdict) -> list[float]:
    return [
        n for entries in by_job(verdict.evidence.journal).values() for n in steps_again(entries)
    ]


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counted.items()))


def _spread(numbers: list[float], unit: str) -> str:
    if not numbers:
        return "none"
    middle, most = median(numbers), max(numbers)
    return f"{len(numbers)}: p50 {middle:.1f} {unit}, max {most:.1f} {unit}"
