"""What can be done with a job that has ended: send it again, delete it."""

import pytest
from sqlalchemy import select

from nst_jobs import artifacts, lifecycle
from nst_jobs.records import Artifact, Job
from tests.submissions import MASK, count, folders, post

FIELDS = {"params": '{"steps": 7}', "priority": "3", "metadata": '{"a": "1"}'}


@pytest.fixture
def parts(app):
    return app.extensions["nst"]


@pytest.fixture
def cancelled(http) -> dict:
    job = post(http, None, masks=(MASK, MASK), **FIELDS).json
    return http.post(f"/v1/jobs/{job['id']}/cancel").json


def retry(http, job: dict, **headers: str):
    return http.post(job["links"]["retry"], headers=headers)


def stored(parts, job_id: str) -> list[tuple[str, int, str, bytes]]:
    with parts.database.reading() as session:
        files = session.scalars(select(Artifact).where(Artifact.job_id == job_id)).all()
    return sorted((f.kind, f.step, f.sha256, parts.storage.get(f.key)) for f in files)


def claim(parts) -> None:
    with parts.database.writing() as session:
        assert lifecycle.claim(session, worker="w", device_bytes=10**15, lease_seconds=30)


def test_retry_is_a_new_job_with_the_same_pictures_and_parameters(http, parts, cancelled):
    answer = retry(http, cancelled)

    job = answer.json
    assert (answer.status_code, job["status"]) == (202, "queued")
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert job["id"] != job["retried_from"] == cancelled["id"]
    for name in ("params", "priority", "metadata"):
        assert job[name] == cancelled[name]
    assert stored(parts, job["id"]) == stored(parts, cancelled["id"])
    assert len(stored(parts, job["id"])) == 5


def test_retry_outlives_the_job_that_it_repeats(http, parts, cancelled):
    job = retry(http, cancelled).json

    assert http.delete(cancelled["links"]["self"]).status_code == 204

    assert http.get(job["links"]["self"]).json["retried_from"] == cancelled["id"]
    assert len(stored(parts, job["id"])) == 5


def test_retry_under_a_key_makes_one_job(http, app, cancelled):
    first = retry(http, cancelled, **{"Idempotency-Key": "again"})
    second = retry(http, cancelled, **{"Idempotency-Key": "again"})

    assert first.json["id"] == second.json["id"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert count(app) == 2


def test_key_of_a_retry_is_not_another_submissions(http, cancelled):
    retry(http, cancelled, **{"Idempotency-Key": "k1"})

    assert post(http, "k1").status_code == 422


@pytest.mark.parametrize("running", [False, True], ids=["queued", "running"])
def test_job_that_has_not_ended_cannot_be_retried(http, parts, running):
    job = post(http, None).json
    if running:
        claim(parts)

    answer = retry(http, job)

    assert (answer.status_code, answer.json["code"]) == (409, "job_not_ended")


def test_retry_whose_pictures_are_gone_leaves_nothing(http, parts, app, settings, cancelled):
    parts.storage.delete_all(artifacts.folder(cancelled["id"]))

    answer = retry(http, cancelled)

    assert (answer.status_code, answer.json["code"]) == (503, "storage_unavailable")
    assert (count(app), folders(settings)) == (1, set())


def test_deleted_job_is_gone_with_its_files(http, parts, settings, cancelled):
    answer = http.delete(cancelled["links"]["self"])

    assert (answer.status_code, answer.data) == (204, b"")
    for path in ("self", "result", "snapshots", "events"):
        assert http.get(cancelled["links"][path]).status_code == 404
    assert http.delete(cancelled["links"]["self"]).status_code == 404
    assert folders(settings) == set()


def test_queued_job_can_be_deleted_and_is_never_run(http, parts):
    job = post(http, None).json

    assert http.delete(job["links"]["self"]).status_code == 204

    with parts.database.writing() as session:
        assert lifecycle.claim(session, worker="w", device_bytes=10**15, lease_seconds=30) is None


def test_running_job_cannot_be_deleted(http, parts, settings):
    job = post(http, None).json
    claim(parts)

    answer = http.delete(job["links"]["self"])

    assert (answer.status_code, answer.json["code"]) == (409, "job_not_ended")
    assert http.get(job["links"]["self"]).json["status"] == "running"
    assert folders(settings) == {job["id"]}


def test_another_owners_job_can_be_neither_retried_nor_deleted(http, parts, cancelled):
    with parts.database.writing() as session:
        session.execute(Job.__table__.update().values(owner="somebody"))

    assert retry(http, cancelled).status_code == 404
    assert http.delete(cancelled["links"]["self"]).status_code == 404
