"""Following a job: events, long polls, and what becomes of those who wait."""

import io
import json
import threading
import time
from contextlib import closing, contextmanager

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from api import events
from api.seats import Seats
from nst_jobs import artifacts, lifecycle
from nst_jobs.artifacts import StoredFile
from nst_jobs.errors import TooManyWaiting
from nst_jobs.lifecycle import Claim
from nst_jobs.records import ArtifactKind
from tests.submissions import PHOTO, SKY, post

Told = tuple[str, str, dict]


@pytest.fixture
def parts(app: Flask):
    return app.extensions["nst"]


@pytest.fixture
def job_id(http: FlaskClient) -> str:
    return post(http, None).json["id"]


def claim(parts) -> Claim:
    with parts.database.writing() as session:
        return lifecycle.claim(session, worker="w", device_bytes=10**15, lease_seconds=30)


def advance(parts, held: Claim, step: int) -> None:
    progress = {"step": step, "total_steps": 50, "fraction": step / 50}
    with parts.database.writing() as session:
        lifecycle.renew(session, held, progress=progress, weights="random")


def add_snapshot(parts, held: Claim, step: int) -> None:
    key = f"{artifacts.folder(held.job_id)}/a{held.attempt}/snapshot-{step}"
    file = StoredFile(ArtifactKind.SNAPSHOT, key, "image/jpeg", 1, "00", step, 40, 30)
    with parts.database.writing() as session:
        lifecycle.add_artifact(session, held, file)


def cancel(http: FlaskClient, job_id: str) -> None:
    assert http.post(f"/v1/jobs/{job_id}/cancel").status_code == 200


@contextmanager
def stream(http: FlaskClient, job_id: str, last: str | None = None):
    """Give the events of a job as they come."""
    headers = {"Last-Event-ID": last} if last else {}
    answer = http.get(f"/v1/jobs/{job_id}/events", headers=headers, buffered=False)
    assert answer.content_type.startswith("text/event-stream")
    with closing(answer):
        yield _events(answer.iter_encoded())


def _events(chunks):
    for chunk in chunks:
        for lines in chunk.decode().strip().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in lines.split("\n") if ": " in line)
            if "event" in fields:
                yield fields["id"], fields["event"], json.loads(fields["data"])


def next_of(events, kind: str) -> Told:
    return next(event for event in events if event[1] == kind)


@contextmanager
def soon(action, *args):
    """Do something a little later, while the block waits for it."""
    timer = threading.Timer(0.3, action, args)
    timer.start()
    yield
    timer.join()


def test_stream_tells_status_progress_and_snapshots_and_then_ends(http, parts, job_id):
    with stream(http, job_id) as told:
        first = next_of(told, "status")
        held = claim(parts)
        running = next_of(told, "status")
        advance(parts, held, 10)
        add_snapshot(parts, held, 10)
        snapshot = next_of(told, "snapshot")
        advance(parts, held, 20)
        progress = next_of(told, "progress")
        with parts.database.writing() as session:
            lifecycle.finish_cancelled(session, held)
        rest = list(told)

    assert (first[2]["status"], running[2]["status"]) == ("queued", "running")
    assert (snapshot[2]["step"], snapshot[2]["url"]) == (10, f"/v1/jobs/{job_id}/snapshots/10")
    assert progress[2]["step"] in (10, 20)
    assert (rest[-1][1], rest[-1][2]["status"]) == ("status", "cancelled")


def test_stream_goes_on_after_the_last_event_that_arrived(http, parts, job_id):
    held = claim(parts)
    for step in (10, 20):
        advance(parts, held, step)
        add_snapshot(parts, held, step)
    with stream(http, job_id) as told:
        first, second = next_of(told, "snapshot"), next_of(told, "snapshot")
    with parts.database.writing() as session:
        lifecycle.finish_cancelled(session, held)

    with stream(http, job_id, last=first[0]) as told:
        after_first = list(told)
    with stream(http, job_id, last=second[0]) as told:
        after_second = list(told)

    assert [event[2]["step"] for event in after_first if event[1] == "snapshot"] == [20]
    assert [event[1] for event in after_second] == ["progress", "status"]


def test_client_that_has_had_everything_is_told_to_stop(http, parts, job_id):
    cancel(http, job_id)
    with stream(http, job_id) as told:
        *_, last = told

    again = http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last[0]})

    assert again.status_code == 204


def test_request_to_cancel_a_running_job_is_told(http, parts, job_id):
    claim(parts)
    with stream(http, job_id) as told:
        next_of(told, "status")
        cancel(http, job_id)
        status = next_of(told, "status")

    assert status[2]["cancel_requested_at"] is not None


def test_quiet_stream_is_kept_alive(http, job_id, monkeypatch):
    monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.05)
    answer = http.get(f"/v1/jobs/{job_id}/events", buffered=False)

    with closing(answer):
        found = any(chunk.startswith(b":") for chunk in answer.iter_encoded())

    assert found


def test_stream_ends_when_its_job_is_deleted(http, job_id):
    with stream(http, job_id) as told:
        next_of(told, "status")
        assert http.delete(f"/v1/jobs/{job_id}").status_code == 204

        assert list(told) == []


def test_stream_ends_when_the_process_is_to_stop(http, parts, job_id):
    with stream(http, job_id) as told:
        next_of(told, "status")
        parts.watcher.is_open = lambda: False

        assert list(told) == []


def test_stream_of_an_unknown_job_is_a_problem(http):
    answer = http.get("/v1/jobs/00000000-0000-7000-8000-000000000000/events")

    assert (answer.status_code, answer.json["code"]) == (404, "job_not_found")


def test_queries_do_not_grow_with_the_streams(http, parts, job_id, app):
    asked = []
    sa.event.listen(parts.database.engine, "before_cursor_execute", lambda *_: asked.append(1))

    def queries() -> int:
        before = len(asked)
        time.sleep(2)
        return len(asked) - before

    with stream(http, job_id) as one:
        next_of(one, "status")
        alone = queries()
        others = [app.test_client() for _ in range(30)]
        answers = [other.get(f"/v1/jobs/{job_id}/events", buffered=False) for other in others]
        for answer in answers:
            next_of(_events(answer.iter_encoded()), "status")
        crowded = queries()
        for answer in answers:
            answer.close()

    assert alone > 0
    assert crowded <= 2 * alone + 4


def test_more_than_the_seats_are_sent_away_and_seats_come_free(http, parts, job_id):
    object.__setattr__(parts, "seats", Seats(1))
    with stream(http, job_id) as told:
        next_of(told, "status")
        full = http.get(f"/v1/jobs/{job_id}/events")
        waiting = http.get(f"/v1/jobs/{job_id}?wait=5")

    with stream(http, job_id) as told:
        assert next_of(told, "status")
    assert (full.status_code, full.json["code"]) == (503, "too_many_waiting")
    assert waiting.status_code == 503
    assert full.headers["Retry-After"]


def test_seat_is_given_back_once():
    seats = Seats(1)
    give_back = seats.take()

    give_back()
    give_back()

    seats.take()
    with pytest.raises(TooManyWaiting):
        seats.take()


def test_long_poll_answers_when_the_job_has_changed(http, parts, job_id):
    tag = http.get(f"/v1/jobs/{job_id}").headers["ETag"]

    begun = time.monotonic()
    with soon(claim, parts):
        answer = http.get(f"/v1/jobs/{job_id}?wait=20", headers={"If-None-Match": tag})

    assert (answer.status_code, answer.json["status"]) == (200, "running")
    # A bound of a promise: it does not sit the time out.
    assert time.monotonic() - begun < 10


def test_long_poll_without_a_change_is_a_304_in_time(http, job_id):
    tag = http.get(f"/v1/jobs/{job_id}").headers["ETag"]

    begun = time.monotonic()
    answer = http.get(f"/v1/jobs/{job_id}?wait=0.5", headers={"If-None-Match": tag})

    assert answer.status_code == 304
    assert time.monotonic() - begun >= 0.5


def test_long_poll_without_a_tag_waits_for_the_end(http, parts, job_id):
    held = claim(parts)
    advance(parts, held, 10)

    with soon(cancel_as_worker, parts, held):
        answer = http.get(f"/v1/jobs/{job_id}?wait=20")

    assert answer.json["status"] == "cancelled"


def cancel_as_worker(parts, held: Claim) -> None:
    with parts.database.writing() as session:
        lifecycle.finish_cancelled(session, held)


def test_ended_job_is_not_waited_for(http, job_id):
    cancel(http, job_id)
    tag = http.get(f"/v1/jobs/{job_id}").headers["ETag"]

    begun = time.monotonic()
    answer = http.get(f"/v1/jobs/{job_id}?wait=30", headers={"If-None-Match": tag})

    assert answer.status_code == 304
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("seconds", ["-1", "61", "soon", "nan", ""])
def test_wait_that_is_no_time_is_refused(http, job_id, seconds):
    answer = http.get(f"/v1/jobs/{job_id}?wait={seconds}")

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/wait"


def test_submission_that_prefers_to_wait_is_answered_with_the_end(http, parts):
    def work() -> None:
        deadline = time.monotonic() + 10
        while (held := claim(parts)) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        cancel_as_worker(parts, held)

    with soon(work):
        answer = http.post("/v1/jobs", data=sent(), headers={"Prefer": "respond-async, wait=20"})

    assert (answer.status_code, answer.json["status"]) == (202, "cancelled")
    assert answer.headers["Preference-Applied"] == "wait=20"


def sent() -> dict:
    return {"content": (io.BytesIO(PHOTO), "c.png"), "style": (io.BytesIO(SKY), "s.png")}
