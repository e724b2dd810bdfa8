"""The checks of the workers' journal: fencing, checkpoints, and what a crash costs."""

from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.evidence import Evidence, Violation
from tests.chaos.journal import Entry
from tests.chaos.orders import CHECKPOINT_SECONDS
from tests.chaos.recorder import WRITES

#: Writes that leave the job running.
_ON_THE_WAY = ("renew", "add_artifact", "replace_checkpoint")
#: Between the moment that the runner counts from and the one that the journal has.
_CLOCK_SECONDS = 0.1


def check_writes(evidence: Evidence) -> Iterator[Violation]:
    """Yield everything that is wrong with what workers wrote."""
    for job_id, entries in by_job(evidence.journal).items():
        yield from _fenced(job_id, entries)
        yield from _rising(job_id, entries)
        yield from _cheap(job_id, entries)


def by_job(journal: list[Entry]) -> dict[str, list[Entry]]:
    """Return the entries about each job, by time."""
    found = defaultdict(list)
    for entry in journal:
        if entry.job:
            found[entry.job].append(entry)
    return found


def steps_again(entries: list[Entry]) -> list[int]:
    """Return for each resumption of a job how many steps it had made before already."""
    resumed = [each for each in entries if each.what == "resumed" and each.attempt > 1]
    return [max(0, _furthest("stepped", each, entries) - each.step) for each in resumed]


def _furthest(what: str, until: Entry, entries: list[Entry]) -> int:
    """Return the last step that earlier attempts had come to before an entry was written."""
    before = (e for e in entries if e.attempt < until.attempt and e.at < until.at)
    return max((each.step for each in before if each.what == what), default=0)


def _fenced(job_id: str, entries: list[Entry]) -> Iterator[Violation]:
    """No write of an attempt is accepted once there is a newer one, or the job has ended."""
    for entry in entries:
        if entry.what not in WRITES:
            continue
        told = f"{entry.what} of attempt {entry.attempt} by {entry.pid}"
        if entry.seen_attempt != entry.attempt:
            yield Violation("zombie wrote", job_id, f"{told} in attempt {entry.seen_attempt}")
        if entry.what in _ON_THE_WAY and entry.seen_status != "running":
            yield Violation("zombie wrote", job_id, f"{told} into a {entry.seen_status} job")


def _rising(job_id: str, entries: list[Entry]) -> Iterator[Violation]:
    """Each checkpoint is beyond those before it, and each attempt goes on from the last or later.

    Later is where a zombie goes on, which finds what the attempts after its own have saved.
    """
    for entry in entries:
        if entry.what not in ("replace_checkpoint", "resumed"):
            continue
        furthest = _furthest("replace_checkpoint", entry, entries)
        if entry.step < furthest:
            detail = (
                f"{entry.what} at step {entry.step} of attempt {entry.attempt} after {furthest}"
            )
            yield Violation("checkpoint fell", job_id, detail)
    for number in {entry.attempt for entry in entries}:
        saved = [e.step for e in entries if e.attempt == number and e.what == "replace_checkpoint"]
        if saved != sorted(saved):
            yield Violation("checkpoint fell", job_id, f"in attempt {number}: {saved}")


def _cheap(job_id: str, entries: list[Entry]) -> Iterator[Violation]:
    """Of what an attempt makes again, only one step is past the time for a checkpoint.

    A checkpoint is due a while after the last; the step that finds it due is lost with it when the
    process dies while saving. A longer loss means that a checkpoint was not made, or not found.
    """
    attempts = defaultdict(list)
    for entry in entries:
        attempts[entry.attempt].append(entry)
    for number in sorted(attempts)[1:]:
        resumed = [each for each in attempts[number] if each.what == "resumed"]
        before = attempts.get(number - 1, [])
        if not resumed:
            continue
        # What a zombie makes after that is nobody's loss.
        before = [each for each in before if each.at < resumed[0].at]
        lost = [each for each in before if each.what == "stepped" and each.step > resumed[0].step]
        starts = [each.at for each in before if each.what in ("resumed", "saved")]
        due = max(starts, default=0.0) + CHECKPOINT_SECONDS + _CLOCK_SECONDS
        late = [each.step for each in lost if each.at > due]
        if len(late) > 1:
            detail = f"attempt {number} resumed at {resumed[0].step}, steps {late} were past due"
            yield Violation("crash cost too much", job_id, detail)
