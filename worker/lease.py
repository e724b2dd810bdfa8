"""`Lease`: keeps a claim alive from a thread, and tells the attempt when it must stop.

It fences itself: when it could not renew for as long as the lease lasts, the job is held to be
another's. And it is the watchdog: where the attempt makes no move, it ends the process.
"""

import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from nst_jobs import lifecycle
from nst_jobs.database import Database
from nst_jobs.errors import Cancelled, Draining, LeaseLost, Stalled
from nst_jobs.lifecycle import Claim
from nst_jobs.losses import StepLosses

Answer = TypeVar("Answer")

#: Well below the lease: progress and cancellation are seen this soon, and a few beats may fail.
HEARTBEAT_SECONDS = 1.0
#: Between two tries at a database that is away.
RETRY_SECONDS = 1.0
#: An attempt that made no move for this long hangs, unless its steps are known to take longer.
STALL_SECONDS = 120.0
_EXIT_STALLED = 70
#: What a database says that is away, restarting, full or locked, or that has ended a transaction
#: in which nothing happened for too long: the same may succeed later.
_AWAY = (OperationalError, InterfaceError, InternalError)

logger = structlog.get_logger(__name__)


class Lease:
    """The hold of one attempt on its job, for as long as the `with` block runs."""

    def __init__(
        self,
        database: Database,
        claim: Claim,
        *,
        draining: threading.Event,
        asked_at: float | None = None,
    ) -> None:
        """Hold a claim; `asked_at` is when the database was asked for it, `time.monotonic()`."""
        self.claim = claim
        self.draining = draining
        self._database = database
        self._report: dict[str, Any] = {}
        #: Not known to be written; a row stays here until its transaction is through.
        self._losses: list[StepLosses] = []
        self._cancelled = False
        self._lost = False
        self._moved = time.monotonic()
        # Not from now: this process may have been frozen since.
        self._renewed = self._moved if asked_at is None else asked_at
        self._stall_seconds = STALL_SECONDS
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

    def expect_steps_within(self, seconds: float) -> None:
        """Take the attempt for stalled when nothing was reported for so long."""
        self._stall_seconds = seconds
        self._moved = time.monotonic()

    def report(self, progress: dict[str, Any], *, weights: str, losses: StepLosses) -> None:
        """Have the next heartbeat write this progress, and the losses of every step till then."""
        self._moved = time.monotonic()
        self._losses.append(losses)
        self._report = {"progress": progress, "weights": weights}

    def write(self, change: Callable[[Session], Answer]) -> Answer:
        """Commit a change, trying again for as long as the lease lasts while the database is away.

        A COMMIT whose answer was lost may have happened: `change` must bear being made twice.

        Raises:
            LeaseLost: the job is another attempt's, or may be.
        """
        while True:
            try:
                with self._database.writing() as session:
                    return change(session)
            except _AWAY as error:
                logger.warning("write_delayed", job_id=self.claim.job_id, error=str(error))
                if self._expired:
                    raise self._not_held() from error
                time.sleep(RETRY_SECONDS)

    def finish(self, change: Callable[[Session], Answer]) -> Answer:
        """Commit the change that ends the attempt like `write`, with the losses not yet written.

        Raises:
            LeaseLost: the job is another attempt's, or may be.
        """

        def last(session: Session) -> Answer:
            self._write_losses(session)
            return change(session)

        return self.write(last)

    def check(self) -> None:
        """Return if the attempt may go on.

        Raises:
            LeaseLost: the job is another attempt's, or may be.
            Cancelled: its owner wants it to stop.
            Draining: this worker is to stop.
        """
        if self._expired:
            raise self._not_held()
        if self._cancelled:
            raise Cancelled(f"job {self.claim.job_id} was cancelled")
        if self.draining.is_set():
            raise Draining("this worker is draining")

    @property
    def _expired(self) -> bool:
        return self._lost or time.monotonic() - self._renewed > self.claim.lease_seconds

    def _not_held(self) -> LeaseLost:
        return LeaseLost(f"job {self.claim.job_id} could not be held")

    def _write_losses(self, session: Session) -> None:
        # A heartbeat may be writing some of them: whichever is second replaces them, or is fenced.
        lifecycle.add_losses(session, self.claim, list(self._losses))

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS) and not self._lost:
            if time.monotonic() - self._moved > self._stall_seconds:
                self._give_up()
            # Before the call: the lease counts from when the database was asked, not answered.
            asked = time.monotonic()
            report, self._report = self._report, {}
            losses = list(self._losses)
            try:
                with self._database.writing() as session:
                    self._cancelled = lifecycle.renew(session, self.claim, losses=losses, **report)
                self._renewed = asked
                del self._losses[: len(losses)]
            except LeaseLost:
                self._lost = True
            except SQLAlchemyError as error:
                logger.warning("heartbeat_failed", job_id=self.claim.job_id, error=str(error))

    def _give_up(self) -> None:
        """Record that the attempt hangs and end the process: nothing else ends a stuck kernel."""
        stalled = Stalled(
            f"no step came for {self._stall_seconds:.0f} s",
            hint="See the worker's log, and whether its device still answers.",
        )
        logger.error("attempt_stalled", job_id=self.claim.job_id, attempt=self.claim.attempt)
        try:
            with self._database.writing() as session:
                self._write_losses(session)
                lifecycle.fail(session, self.claim, stalled)
        except (LeaseLost, SQLAlchemyError) as error:  # then the lease's end tells it
            logger.warning("stall_not_recorded", job_id=self.claim.job_id, error=str(error))
        os._exit(_EXIT_STALLED)
