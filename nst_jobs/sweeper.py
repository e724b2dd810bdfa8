"""The sweeper: a daemon thread that mends what crashes and lost messages leave behind.

Runs in every API and worker process and is safe in any number: each thing it does is conditional
and can be done twice. There is no leader and no schedule.
"""

import random
import threading
import time

import structlog

from nst_jobs import artifacts, due, idempotency, lifecycle
from nst_jobs.database import Database
from nst_jobs.queue import BROKER_ERRORS, Queue
from nst_jobs.settings import Settings
from nst_jobs.storage import Storage

SWEEP_SECONDS = 5.0
_JITTER = 0.3
#: So that the job is due for sure when the sweep comes.
_DUE_MARGIN_SECONDS = 0.05
#: More wake-ups than any fleet has idle workers would only be answered by "nothing due".
_MOST_WAKE_UPS = 64
_COLLECT_SECONDS = 3600.0
#: Longer than any file waits for its row.
_ORPHAN_SECONDS = 3600.0
_KEYS_A_QUERY = 500

logger = structlog.get_logger(__name__)


def sweep(database: Database, queue: Queue, storage: Storage, *, retention_hours: float) -> None:
    """Reclaim jobs of silent workers, wake workers for what is due, forget expired jobs."""
    with database.writing() as session:
        outcomes = lifecycle.reclaim(session)
    for job_id, status in outcomes.items():
        logger.warning("job_reclaimed", job_id=job_id, status=status)
        if status.terminal:
            artifacts.discard_checkpoints(database, storage, job_id)
    top_up(database, queue)
    with database.writing() as session:
        forgotten = lifecycle.forget(session, retention_hours=retention_hours)
        idempotency.forget(session)
    for job_id in forgotten:
        storage.delete_all(artifacts.folder(job_id))


def collect(
    database: Database, storage: Storage, *, older_than_seconds: float = _ORPHAN_SECONDS
) -> int:
    """Delete old files that no row points at, and checkpoints that nobody will need.

    Left behind by processes that were killed between a file and its row, or between an ending and
    the tidying after it. Returns how many files went.
    """
    with database.writing() as session:
        gone = artifacts.drop_spent_checkpoints(session)
    keys = list(storage.keys(artifacts.FOLDER, older_than_seconds=older_than_seconds))
    for first in range(0, len(keys), _KEYS_A_QUERY):
        some = keys[first : first + _KEYS_A_QUERY]
        with database.reading() as session:
            known = artifacts.known_keys(session, some)
        gone += [key for key in some if key not in known]
    for key in gone:
        storage.delete(key)
    storage.delete_empty_folders(artifacts.FOLDER, older_than_seconds=older_than_seconds)
    return len(gone)


def top_up(database: Database, queue: Queue) -> None:
    """Publish the wake-ups that are missing: a due job whose message is lost is heard of again."""
    with database.reading() as session:
        waiting = due.count_due(session)
    if not waiting:
        return
    try:
        missing = min(waiting, _MOST_WAKE_UPS) - queue.depth()
    except BROKER_ERRORS as error:
        logger.warning("broker_unreachable", error=str(error))
        return
    for _ in range(missing):
        if not queue.wake():
            return


def pause_seconds(database: Database) -> float:
    """Return how long to wait before the next sweep: less when a back-off ends before."""
    regular = SWEEP_SECONDS * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
    with database.reading() as session:
        soon = due.seconds_to_next_due(session)
    return regular if soon is None else min(regular, soon + _DUE_MARGIN_SECONDS)


def start(
    settings: Settings, database: Database, queue: Queue, storage: Storage
) -> threading.Thread:
    """Sweep every few seconds, off the beat of the other processes, until the process ends.

    Orphaned files are looked for about once an hour.
    """

    def run() -> None:
        pause = SWEEP_SECONDS
        collect_at = time.monotonic() + random.uniform(0, _COLLECT_SECONDS)  # noqa: S311 - no secret
        while True:
            time.sleep(pause)
            pause = SWEEP_SECONDS
            try:
                sweep(database, queue, storage, retention_hours=settings.retention_hours)
                pause = pause_seconds(database)
                if time.monotonic() >= collect_at:
                    collect_at = time.monotonic() + _COLLECT_SECONDS
                    logger.info("orphans_collected", files=collect(database, storage))
            except Exception as error:  # noqa: BLE001 - the next sweep tries again, whatever it was
                logger.warning("sweep_failed", error=str(error))

    thread = threading.Thread(target=run, name="sweeper", daemon=True)
    thread.start()
    return thread
