"""The recorder: has a worker's process journal each write that the database accepted.

A write is judged by what its own transaction finds in the row: whoever is fenced off gets there
never, and whoever is not tells on itself.
"""

from collections.abc import Callable
from functools import wraps

from sqlalchemy import event, select
from sqlalchemy.orm import Session

from nst_jobs import lifecycle
from nst_jobs.artifacts import StoredFile
from nst_jobs.lifecycle import Claim
from nst_jobs.records import Job
from tests.chaos.journal import Journal
from worker import process, runner

WRITES = (
    "renew",
    "add_artifact",
    "replace_checkpoint",
    "succeed",
    "fail",
    "release",
    "finish_cancelled",
)


class Recorder:
    """Journals for one worker's process; `claim` is the job that it computes."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.claim: Claim | None = None

    def install(self) -> None:
        """Have writes, saved checkpoints and the spans of attempts journalled."""
        for name in WRITES:
            setattr(lifecycle, name, self._recorded(name))
        process.run_attempt = self._spanned(process.run_attempt)
        runner._Attempt._save_checkpoint = self._saved(runner._Attempt._save_checkpoint)

    def note(self, what: str, **more: object) -> None:
        """Journal something about the present attempt."""
        if self.claim is None:
            raise RuntimeError(f"{what} outside of an attempt")
        self.journal.write(what, job=self.claim.job_id, attempt=self.claim.attempt, **more)

    def _recorded(self, name: str) -> Callable[..., object]:
        original = getattr(lifecycle, name)

        @wraps(original)
        def recorded(session: Session, claim: Claim, *args: object, **options: object) -> object:
            answer = original(session, claim, *args, **options)
            row = session.execute(
                select(Job.attempt, Job.status).where(Job.id == claim.job_id)
            ).one()
            entry = {
                "job": claim.job_id,
                "attempt": claim.attempt,
                "step": next((each.step for each in args if isinstance(each, StoredFile)), 0),
                "seen_attempt": row.attempt,
                "seen_status": row.status,
            }
            event.listen(
                session, "after_commit", lambda _: self.journal.write(name, **entry), once=True
            )
            return answer

        return recorded

    def _spanned(self, original: Callable[..., bool]) -> Callable[..., bool]:
        @wraps(original)
        def spanned(claim: Claim, *args: object) -> bool:
            self.claim = claim
            self.note("began")
            try:
                return original(claim, *args)
            finally:
                self.note("ended")

        return spanned

    def _saved(self, original: Callable[..., None]) -> Callable[..., None]:
        @wraps(original)
        def saved(attempt: object, progress: runner.Progress) -> None:
            original(attempt, progress)
            self.note("saved", step=progress.step)

        return saved
