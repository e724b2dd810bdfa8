"""`Watcher`: sees what becomes of jobs, for everybody in this process who waits for them.

One thread asks the database at a steady pace for all jobs that are watched at once, so the number
of queries does not grow with the number of those who watch.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from nst_jobs import artifacts, due
from nst_jobs.database import Database
from nst_jobs.records import Artifact, Job, Status

#: How late a change is seen at most; well below the workers' heartbeat.
LOOK_SECONDS = 0.5

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Sight:
    """A job as it was seen; `job` is None when it no longer exists."""

    job: Job | None
    queue_position: int | None = None
    snapshots: Sequence[Artifact] = ()

    @property
    def version(self) -> tuple[int, int | None] | None:
        """What differs between two sights that a client can tell apart."""
        return None if self.job is None else (self.job.revision, self.queue_position)


class Watcher:
    """Looks at the jobs that anybody watches; `is_open` says whether the process still serves."""

    def __init__(self, database: Database) -> None:
        self.is_open: Callable[[], bool] = lambda: True
        self._database = database
        self._watched: Counter[str] = Counter()
        self._sights: dict[str, Sight] = {}
        self._changed = threading.Condition()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, job_id: str) -> Iterator[None]:
        """Have the job looked at until the block ends."""
        with self._changed:
            self._watched[job_id] += 1
            self._start()
        self._wanted.set()
        try:
            yield
        finally:
            with self._changed:
                self._watched[job_id] -= 1
                if not self._watched[job_id]:
                    del self._watched[job_id]
                    self._sights.pop(job_id, None)

    def wait(self, job_id: str, seen: Sight | None, *, seconds: float) -> Sight | None:
        """Return a sight of a watched job that is not `seen`; None when none came in time."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                sight = self._sights.get(job_id)
                if sight is not None and (seen is None or sight.version != seen.version):
                    return sight
                left = deadline - time.monotonic()
                if left <= 0 or not self.is_open():
                    return None
                self._changed.wait(min(left, 1.0))

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            while self._watched:
                try:
                    self._look()
                except SQLAlchemyError as error:  # those who wait hear of nothing, and go on
                    logger.warning("watching_failed", error=str(error))
                self._wanted.wait(LOOK_SECONDS)
                self._wanted.clear()

    def _look(self) -> None:
        with self._changed:
            known = {job_id: self._sights.get(job_id) for job_id in self._watched}
        found = self._sights_of(known)
        with self._changed:
            for job_id in self._watched.keys() & found.keys():
                self._sights[job_id] = found[job_id]
            self._changed.notify_all()

    def _sights_of(self, known: dict[str, Sight | None]) -> dict[str, Sight]:
        """Return the jobs as they are now, by three queries whatever their number."""
        with self._database.reading() as session:
            jobs = session.scalars(select(Job).where(Job.id.in_(known))).all()
            queued = [job.id for job in jobs if job.status == Status.QUEUED]
            places = due.queue_positions(session, queued) if queued else {}
            changed = [job.id for job in jobs if _has_changed(job, known[job.id])]
            snapshots = artifacts.snapshots_of(session, changed) if changed else {}
        sights = dict.fromkeys(known, Sight(None))
        for job in jobs:
            before = known[job.id]
            pictures = snapshots.get(job.id, before.snapshots if before else ())
            sights[job.id] = Sight(job, places.get(job.id), pictures)
        return sights


def _has_changed(job: Job, before: Sight | None) -> bool:
    return before is None or before.job is None or before.job.revision != job.revision
