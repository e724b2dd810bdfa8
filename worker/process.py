"""The worker process: Celery's, with one task that claims the next job and runs it.

The parent computes nothing and calls no CUDA; one child does the work (prefork, `-c 1`).
"""

import os
import signal
import socket
import threading
import time
from functools import cached_property
from typing import Any, NoReturn

import billiard
import structlog
from celery import signals
from sqlalchemy.exc import SQLAlchemyError

from nst_jobs import lifecycle, sweeper
from nst_jobs.database import Database
from nst_jobs.lifecycle import Claim
from nst_jobs.queue import QUEUE, WAKE_TASK, Queue, make_celery
from nst_jobs.settings import Settings
from nst_jobs.storage import open_storage
from worker.device import Device
from worker.lease import Lease
from worker.runner import Workplace, run_attempt

logger = structlog.get_logger(__name__)


class Child:
    """What the computing child has; each part is made after the fork, at its first use."""

    def __init__(self, settings: Settings, queue: Queue) -> None:
        self._settings = settings
        self._queue = queue
        self.draining = threading.Event()

    @cached_property
    def workplace(self) -> Workplace:
        """The database, the file store and the device."""
        settings = self._settings
        return Workplace(
            database=Database(settings.database),
            storage=open_storage(settings.storage),
            device=Device(
                settings.device,
                weights=settings.weights,
                cache_dir=settings.data_dir / "weights",
                memory_share=settings.memory_share,
            ),
        )

    def start_sweeper(self) -> None:
        """Mend what crashes leave behind, beside the work."""
        workplace = self.workplace
        sweeper.start(self._settings, workplace.database, self._queue, workplace.storage)

    def run_next(self) -> None:
        """Claim the next due job and run it, if there is one.

        Raises:
            SystemExit: this process is to make room for a fresh one, which Celery starts.
        """
        if self.draining.is_set():
            self._make_room()
        self._prove_fit()
        asked_at = time.monotonic()
        claim = self._claim()
        if claim is None:
            return
        lease = Lease(self.workplace.database, claim, draining=self.draining, asked_at=asked_at)
        if not run_attempt(claim, self.workplace, lease):
            self._make_room()

    def _prove_fit(self) -> None:
        """Have device and weights at hand before a job is claimed: their lack is no job's fault.

        Without them the whole worker ends, for whoever keeps it running to notice.
        """
        try:
            _ = self.workplace.device.network
        except Exception as error:
            logger.exception("worker_unfit", error=str(error))
            os.kill(os.getppid(), signal.SIGTERM)
            self._make_room()

    def _claim(self) -> Claim | None:
        """Return the next job; None when there is none, or the database is away."""
        workplace = self.workplace
        try:
            with workplace.database.writing() as session:
                return lifecycle.claim(
                    session,
                    worker=f"{socket.gethostname()}:{workplace.device.name}",
                    device_bytes=workplace.device.memory_bytes,
                    lease_seconds=self._settings.lease_seconds,
                )
        except SQLAlchemyError as error:  # a sweep wakes a worker again
            logger.warning("claim_failed", error=str(error))
            return None

    def _make_room(self) -> NoReturn:
        self._queue.wake()  # the message that brought us here is another worker's now
        raise SystemExit(0)

    def drain(self, _signal: int, _frame: object) -> None:
        """Stop after the present step."""
        self.draining.set()


def run(settings: Settings) -> None:
    """Serve jobs until told to stop."""
    app = make_celery(settings, consumes=True)
    child = Child(settings, Queue(app))

    @app.task(name=WAKE_TASK)
    def wake() -> None:
        # Here, not at the child's start: billiard puts its own handler in place after that.
        signal.signal(signal.SIGTERM, child.drain)
        child.run_next()

    def started(**_: Any) -> None:  # noqa: ANN401 - Celery's signal
        child.start_sweeper()

    # Not weak: the closures live as long as the process.
    signals.setup_logging.connect(_keep_logging, weak=False)
    signals.worker_process_init.connect(started, weak=False)
    signals.worker_shutting_down.connect(_drain_children, weak=False)
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool=prefork",
            "--concurrency=1",
            f"--queues={QUEUE}",
            f"--hostname=nst-{os.getpid()}@%h",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )


def _keep_logging(**_: Any) -> None:  # noqa: ANN401 - Celery's signal
    """Answer Celery's question who sets up logging: it has been done."""


def _drain_children(**_: Any) -> None:  # noqa: ANN401 - Celery's signal
    """Pass the parent's SIGTERM on: Celery itself would wait for the job's last step."""
    for process in billiard.active_children():
        if process.pid:
            os.kill(process.pid, signal.SIGTERM)
