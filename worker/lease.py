"""`Lease`: keeps a claim alive from a thread, and tells the attempt when it must stop.

The thread is the only one that talks to the database while the engine computes. It fences itself:
when it could not renew for as long as the lease lasts, the job is held to be another's.
"""

import threading
import time
from types import TracebackType
from typing import Any, Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from nst_jobs import lifecycle
from nst_jobs.database import Database
from nst_jobs.errors import Cancelled, Draining, LeaseLost
from nst_jobs.lifecycle import Claim

#: Well below the lease: progress and cancellation are seen this soon, and a few beats may fail.
HEARTBEAT_SECONDS = 1.0

logger = structlog.get_logger(__name__)


class Lease:
    """The hold of one attempt on its job, for as long as the `with` block runs."""

    def __init__(self, database: Database, claim: Claim, *, draining: threading.Event) -> None:
        self.claim = claim
        self.draining = draining
        self._database = database
        self._report: dict[str, Any] = {}
        self._cancelled = False
        self._lost = False
        self._renewed = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def report(self, progress: dict[str, Any], *, weights: str) -> None:
        """Have the next heartbeat write this progress."""
        self._report = {"progress": progress, "weights": weights}

    def check(self) -> None:
        """Return if the attempt may go on.

        Raises:
            LeaseLost: the job is another attempt's, or may be.
            Cancelled: its owner wants it to stop.
            Draining: this worker is to stop.
        """
        if self._lost or time.monotonic() - self._renewed > self.claim.lease_seconds:
            raise LeaseLost(f"job {self.claim.job_id} could not be held")
        if self._cancelled:
            raise Cancelled(f"job {self.claim.job_id} was cancelled")
        if self.draining.is_set():
            raise Draining("this worker is draining")

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS) and not self._lost:
            # Before the call: the lease counts from when the database was asked, not answered.
            asked = time.monotonic()
            report, self._report = self._report, {}
            try:
                with self._database.writing() as session:
                    self._cancelled = lifecycle.renew(session, self.claim, **report)
                self._renewed = asked
            except LeaseLost:
                self._lost = True
            except SQLAlchemyError as error:
                logger.warning("heartbeat_failed", job_id=self.claim.job_id, error=str(error))
