"""Idempotency keys under races, kills and lost answers: one job, one set of files, no waiting."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError
from werkzeug.test import TestResponse

from nst_jobs import artifacts, idempotency, lifecycle
from nst_jobs.idempotency import Key
from nst_jobs.records import IdempotencyKey
from nst_jobs.storage import Storage
from tests.submissions import count, expire, folders, job_ids, post, record_in


def test_equal_submissions_at_once_make_one_job_and_one_set_of_files(app, settings):
    workers = 50
    together = threading.Barrier(workers)

    def send(_: int) -> TestResponse:
        http = app.test_client()
        together.wait()
        return post(http)

    with ThreadPoolExecutor(workers) as pool:
        answers = list(pool.map(send, range(workers)))

    (job_id,) = {answer.json.get("id") for answer in answers}
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.headers["Location"] for answer in answers} == {f"/v1/jobs/{job_id}"}
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert (count(app), count(app, IdempotencyKey)) == (1, 1)
    assert folders(settings) == {job_id}
    assert len([path for path in (settings.data_dir / "files").rglob("*") if path.is_file()]) == 3


def test_expired_key_is_raced_for_anew_and_makes_one_job(app, settings):
    old = post(app.test_client()).json["id"]
    expire(app)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(app.test_client()), range(8)))

    (job_id,) = {answer.json.get("id") for answer in answers}
    assert job_id != old
    assert folders(settings) == {old, job_id}


def overtaken(monkeypatch: pytest.MonkeyPatch, rival: Callable[[], object]) -> None:
    """Have `rival` called once, after the first look-up of the key and before its INSERT."""
    store, called = Storage.put, []

    def put(self: Storage, key: str, data: bytes) -> None:
        if not called:
            called.append(key)
            rival()
        store(self, key, data)

    monkeypatch.setattr(Storage, "put", put)


def test_loser_of_a_race_deletes_its_files_and_answers_the_winners_job(
    http, app, settings, monkeypatch
):
    won = []
    overtaken(monkeypatch, lambda: won.append(post(app.test_client()).json["id"]))

    lost = post(http)

    assert (lost.status_code, lost.json["id"]) == (202, won[0])
    assert lost.headers["Idempotency-Replayed"] == "true"
    assert (count(app), folders(settings)) == (1, set(won))


def test_loser_of_a_race_with_another_payload_is_refused(http, app, settings, monkeypatch):
    won = []
    overtaken(monkeypatch, lambda: won.append(post(app.test_client(), priority="9").json["id"]))

    lost = post(http)

    assert (lost.status_code, lost.json["code"]) == (422, "idempotency_key_reused")
    assert (count(app), folders(settings)) == (1, set(won))


def test_loser_whose_winner_is_deleted_at_once_is_told_to_come_again(
    http, app, settings, monkeypatch
):
    parts = app.extensions["nst"]
    overtaken(monkeypatch, lambda: post(app.test_client()))
    delete_all = Storage.delete_all

    def forget_the_winner(self: Storage, prefix: str) -> None:
        delete_all(self, prefix)
        job_id = job_ids(app)[0]
        with parts.database.writing() as session:
            lifecycle.cancel(session, job_id, "local")
            lifecycle.forget(session, retention_hours=-1)
        delete_all(self, artifacts.folder(job_id))

    monkeypatch.setattr(Storage, "delete_all", forget_the_winner)

    answer = post(http)

    assert (answer.status_code, answer.json["code"]) == (409, "idempotency_key_in_use")
    assert int(answer.headers["Retry-After"]) > 0
    assert folders(settings) == set()
    assert post(http).status_code == 202


KILLED = """
import os, signal, sys
from api.app import create_app
from nst_jobs import artifacts, idempotency, lifecycle
from nst_jobs.settings import Settings
from tests import submissions

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def keep_and_die(*key, keep=idempotency.keep):
    keep(*key)
    die()

app = create_app(Settings.model_validate_json(sys.argv[1]))
{place}
submissions.post(app.test_client())
"""
PLACES = {
    "before a file is stored": ("artifacts.store_picture = die", False),
    "before the INSERT": ("lifecycle.submit = die", False),
    "before the COMMIT": ("idempotency.keep = keep_and_die", False),
    "before the wake-up": ("app.extensions['nst'].queue.wake = die", True),
    "before the answer": ("app.after_request(die)", True),
}


@pytest.mark.parametrize(("place", "recorded"), PLACES.values(), ids=PLACES)
def test_submission_whose_server_was_killed_is_repeated_at_once(
    http, app, settings, place, recorded
):
    program = KILLED.replace("{place}", place)
    command = [sys.executable, "-c", program, settings.model_dump_json()]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], check=False)

    again = post(http)

    assert done.returncode == -signal.SIGKILL
    assert again.status_code == 202
    assert ("Idempotency-Replayed" in again.headers) == recorded
    assert (count(app), count(app, IdempotencyKey)) == (1, 1)
    for kind in ("content", "style"):
        assert list((settings.data_dir / "files").rglob(f"{again.json['id']}/*/{kind}-*"))


def test_commit_whose_answer_was_lost_is_found_by_the_retry(http, app, settings, monkeypatch):
    dialect = app.extensions["nst"].database.engine.dialect
    commit = dialect.do_commit

    def do_commit(dbapi_connection: object) -> None:
        commit(dbapi_connection)
        monkeypatch.undo()
        raise dialect.loaded_dbapi.OperationalError("connection reset")

    monkeypatch.setattr(dialect, "do_commit", do_commit)

    lost = post(http)
    again = post(http)

    assert (lost.status_code, lost.json["code"]) == (503, "database_unavailable")
    assert lost.headers["Retry-After"]
    assert again.status_code == 202
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (count(app), folders(settings)) == (1, {again.json["id"]})
    assert len(list((settings.data_dir / "files").rglob("*.*"))) == 3


#: SQLite lets one transaction write at a time.
only_on_postgresql = pytest.mark.parametrize("migrated", ["postgresql"], indirect=True)


@only_on_postgresql
def test_key_of_a_transaction_that_does_not_end_is_in_use(database, http, settings, monkeypatch):
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.1)

    with database.writing() as session:
        record_in(session, Key("local", "k1", "0" * 64))
        waiting = post(http)
    committed = post(http)

    assert (waiting.status_code, waiting.json["code"]) == (409, "idempotency_key_in_use")
    assert int(waiting.headers["Retry-After"]) > 0
    assert folders(settings) == set()
    assert committed.json["code"] == "idempotency_key_reused"


@only_on_postgresql
def test_key_of_a_server_that_vanished_becomes_free(database, http, app, monkeypatch):
    monkeypatch.setattr(idempotency, "IDLE_SECONDS", 0.2)

    with pytest.raises(DBAPIError), database.writing() as session:  # noqa: PT012 - at COMMIT
        record_in(session, Key("local", "k1", "0" * 64))
        answer = post(http)

    assert answer.status_code == 202
    assert job_ids(app) == [answer.json["id"]]
