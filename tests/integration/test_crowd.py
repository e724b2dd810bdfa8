"""The lifecycle under real threads, each with connections of its own, at the same few jobs."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count

from sqlalchemy.orm import Session

from nst_core.errors import OutOfMemory
from nst_jobs import lifecycle
from nst_jobs.artifacts import StoredFile
from nst_jobs.database import Database
from nst_jobs.errors import Cancelled, LeaseLost, NotCancellable
from nst_jobs.lifecycle import Claim
from nst_jobs.records import ArtifactKind, Job, Status
from tests.integration.conftest import NOON
from tests.integration.histories import History, check_history, read_histories

_THREADS = 8
_ROUNDS = 6
_JOBS_A_ROUND = 5
#: In the threads' hurry a second lasts ten milliseconds.
_SECONDS_A_SECOND = 100
_ROUND_SECONDS = 20


class Crowd:
    """Threads that all work at the same few jobs; remembers what each was told that it did."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.told: list[tuple[str, int, str]] = []
        self.claims: list[Claim] = []
        self._own = threading.local()
        self._serial = count()
        self._began = time.monotonic()

    def now(self) -> datetime:
        hurried = (time.monotonic() - self._began) * _SECONDS_A_SECOND
        return NOON + timedelta(seconds=hurried)

    def work(self, ids: list[str], seed: int, ended: threading.Event) -> None:
        database = Database(self.url)
        chance = random.Random(seed)  # noqa: S311 - no secret
        calls = {
            self.claim: 4,
            self.renew: 3,
            self.replace_checkpoint: 2,
            self.succeed: 1,
            self.fail: 1,
            self.release: 1,
            self.cancel: 0.3,
            self.reclaim: 2,
        }
        try:
            while not ended.is_set():
                (call,) = chance.choices(list(calls), list(calls.values()))
                self.attempt(database, call, ids, chance)
        finally:
            database.close()

    def attempt(self, database: Database, call, ids: list[str], chance: random.Random) -> None:
        # Often a claim that is long stale, and one that another thread holds too.
        claim = chance.choice(self.claims[-12:]) if self.claims else None
        job_id = chance.choice(ids)
        if claim is None and call not in (self.claim, self.cancel, self.reclaim):
            return
        try:
            with database.writing() as session:
                told = call(session, claim, job_id)
        except (LeaseLost, Cancelled, NotCancellable):
            return
        self.told += told  # after COMMIT

    def claim(self, session: Session, _claim: Claim, _job_id: str):
        found = lifecycle.claim(
            session, worker="w", device_bytes=10**9, lease_seconds=5, now=self.now()
        )
        if found is None:
            return []
        self.claims.append(found)
        self._own.claim = found
        return [(found.job_id, found.attempt, "claimed")]

    def renew(self, session: Session, claim: Claim, _job_id: str):
        now = self.now()
        if not lifecycle.renew(session, claim, now=now):
            return []
        lifecycle.finish_cancelled(session, claim, now=now)
        return [(claim.job_id, claim.attempt, "cancelled")]

    def replace_checkpoint(self, session: Session, _claim: Claim, _job_id: str):
        claim = getattr(self._own, "claim", None)  # an attempt has one thread that makes them
        if claim is None:
            return []
        lifecycle.replace_checkpoint(
            session, claim, self.file(claim, ArtifactKind.CHECKPOINT), now=self.now()
        )
        return [(claim.job_id, claim.attempt, "checkpoint")]

    def succeed(self, session: Session, claim: Claim, _job_id: str):
        result = self.file(claim, ArtifactKind.RESULT)
        lifecycle.succeed(session, claim, result, progress={}, weights="", now=self.now())
        return [(claim.job_id, claim.attempt, "succeeded")]

    def fail(self, session: Session, claim: Claim, _job_id: str):
        status = lifecycle.fail(session, claim, OutOfMemory("full"), now=self.now())
        return [(claim.job_id, claim.attempt, _reason(status, "error"))]

    def release(self, session: Session, claim: Claim, _job_id: str):
        status = lifecycle.release(session, claim, now=self.now())
        return [(claim.job_id, claim.attempt, _reason(status, "drained"))]

    def cancel(self, session: Session, _claim: Claim, job_id: str):
        now = self.now()
        job = lifecycle.cancel(session, job_id, "ann", now=now)
        return [(job_id, job.attempt, "cancelled")] if job.finished_at == now else []

    def reclaim(self, session: Session, _claim: Claim, _job_id: str):
        outcomes = lifecycle.reclaim(session, now=self.now())
        return [
            (job_id, session.get_one(Job, job_id).attempt, _reason(status, "lease_expired"))
            for job_id, status in outcomes.items()
        ]

    def file(self, claim: Claim, kind: ArtifactKind) -> StoredFile:
        key = f"jobs/{claim.job_id}/a{claim.attempt}/{kind}-{next(self._serial)}"
        return StoredFile(kind, key, "image/png", 3, "ab", claim.attempt, 4, 4)


def _reason(status: Status, otherwise: str) -> str:
    return "cancelled" if status == Status.CANCELLED else otherwise


def test_threads_at_the_same_jobs_do_what_they_were_told_and_nothing_else(database, submit):
    crowd = Crowd(database.url)

    for round_number in range(_ROUNDS):
        ids = [submit() for _ in range(_JOBS_A_ROUND)]
        ended = threading.Event()
        with ThreadPoolExecutor(_THREADS) as pool:
            works = [
                pool.submit(crowd.work, ids, round_number * _THREADS + number, ended)
                for number in range(_THREADS)
            ]
            _wait_for_the_end(database, ids, works)
            ended.set()
            for work in works:
                work.result()

    histories = read_histories(database)
    for history in histories.values():
        check_history(history)
        assert history.job["status"].terminal
        assert history.checkpoint_step == _newest_checkpoint(crowd, history)
    logged = [
        (job_id, event["attempt"], event["reason"])
        for job_id, history in histories.items()
        for event in history.events
    ]
    told = [entry for entry in crowd.told if entry[2] != "checkpoint"]
    assert Counter(told) == Counter(entry for entry in logged if entry[2] != "submitted")


def _wait_for_the_end(database: Database, ids: list[str], works: list) -> None:
    deadline = time.monotonic() + _ROUND_SECONDS
    while time.monotonic() < deadline and not any(work.done() for work in works):
        histories = read_histories(database)
        if all(histories[job_id].job["status"].terminal for job_id in ids):
            return
        time.sleep(0.02)


def _newest_checkpoint(crowd: Crowd, history: History) -> int:
    job_id = history.job["id"]
    return max(
        (number for told, number, what in crowd.told if (told, what) == (job_id, "checkpoint")),
        default=0,
    )
