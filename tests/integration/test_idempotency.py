"""Idempotency keys: what is the same submission, which keys are taken, how long they are kept."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from api.idempotency import fingerprint
from api.schemas import SubmissionFields
from api.submissions import CheckedRequest, Upload
from nst_core.images import read_image
from nst_core.params import StyleParams
from nst_jobs import idempotency, sweeper
from nst_jobs.database import Database
from nst_jobs.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from nst_jobs.idempotency import Key
from nst_jobs.records import IdempotencyKey, Job
from nst_jobs.storage import Storage
from tests.integration.conftest import NOON
from tests.submissions import FIELD, MASK, PHOTO, SKY, count, expire, folders, post, record


def test_same_submission_again_gets_the_first_answer_and_makes_nothing(http, app, settings):
    sent = {"params": '{"steps": 7}', "priority": "3", "metadata": '{"a": "1", "b": "2"}'}
    queue = app.extensions["nst"].queue

    first = post(http, masks=(MASK, MASK), **sent)
    depth = queue.depth()
    again = post(http, masks=(MASK, MASK), **sent)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json == first.json
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert (count(app), folders(settings)) == (1, {first.json["id"]})
    assert queue.depth() == depth


def test_answer_is_the_job_as_it_is_now(http):
    first = post(http).json
    http.post(f"/v1/jobs/{first['id']}/cancel")

    again = post(http)

    assert (again.status_code, again.json["id"]) == (202, first["id"])
    assert again.json["status"] == "cancelled"
    assert "Retry-After" not in again.headers


def test_submissions_without_a_key_are_each_a_job(http, app):
    for _ in range(2):
        assert "Idempotency-Replayed" not in post(http, None).headers

    assert (count(app), count(app, IdempotencyKey)) == (2, 0)


EQUAL = {
    "default spelt out": {"params": '{"size": 512, "content_weight": 1}'},
    "nothing said": {"params": "{}", "priority": "0", "metadata": "{}"},
}


@pytest.mark.parametrize("fields", EQUAL.values(), ids=EQUAL)
def test_fields_that_mean_the_same_are_the_same(http, fields):
    first = post(http)

    again = post(http, **fields)

    assert again.json["id"] == first.json["id"]


def test_parameter_that_a_release_adds_does_not_tell_a_retry_from_its_first():
    class Wider(StyleParams):
        grain: float = 0.5

    upload = Upload(PHOTO, read_image(PHOTO))

    before, after, other = (
        fingerprint(CheckedRequest(upload, (upload,), (), SubmissionFields(params=params)))
        for params in (StyleParams(size=64), Wider(size=64), Wider(size=64, grain=1))
    )

    assert before == after != other


def test_files_of_one_length_are_told_apart(http):
    post(http, content=PHOTO + b"0")

    assert post(http, content=PHOTO + b"1").status_code == 422


def test_known_key_is_answered_before_any_file_is_stored(http, monkeypatch):
    first = post(http)
    monkeypatch.setattr(Storage, "put", lambda *_: 1 / 0)

    again = post(http)

    assert (again.status_code, again.json["id"]) == (202, first.json["id"])


def test_order_of_names_in_metadata_and_params_does_not_count(http):
    first = post(http, metadata='{"a": "1", "b": "2"}', params='{"size": 64, "steps": 9}')

    again = post(http, metadata='{"b": "2", "a": "1"}', params='{"steps": 9.0, "size": 64}')

    assert (again.status_code, again.json["id"]) == (202, first.json["id"])


OTHER = {
    "parameter": {"params": '{"steps": 7}'},
    "priority": {"priority": "1"},
    "metadata": {"metadata": '{"a": "1"}'},
    "order of styles": {"styles": (FIELD, SKY)},
    "fewer styles": {"styles": (SKY,)},
    "content": {"content": SKY},
    "roles swapped": {"content": SKY, "styles": (PHOTO, FIELD)},
    "same picture, other bytes": {"content": PHOTO + b"\0"},
    "masks": {"masks": (MASK, MASK)},
    "style for a mask": {"styles": (SKY, FIELD, MASK, MASK)},
}


@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
def test_other_payload_under_the_key_is_refused(http, app, settings, other):
    first = post(http)

    refused = post(http, **other)
    free = post(http, "k2", **other)

    assert (refused.status_code, refused.content_type) == (422, "application/problem+json")
    assert refused.json["code"] == "idempotency_key_reused"
    assert first.json["id"] in refused.json["detail"]
    assert "new key" in refused.json["detail"]
    assert free.status_code == 202
    assert folders(settings) == {first.json["id"], free.json["id"]}
    assert count(app) == 2


@pytest.mark.parametrize(
    ("first", "again"),
    [("abc", '"abc"'), ('"a\\"b\\\\"', '"a\\"b\\\\"'), ("a\\b", '"a\\\\b"'), ("a b", '"a b"')],
)
def test_quoted_key_is_the_bare_one(http, app, first, again):
    job_id = post(http, first).json["id"]

    answer = post(http, again)

    assert (answer.status_code, answer.json["id"], count(app)) == (202, job_id, 1)


@pytest.mark.parametrize("key", ["x" * 255, f'"{"x" * 255}"', "x", '"%s"' % ('\\"' * 255)])
def test_key_of_1_to_255_characters_is_taken(http, key):
    assert post(http, key).status_code == 202
    assert post(http, key).headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    "key",
    [
        "x" * 256,
        f'"{"x" * 256}"',
        "",
        '""',
        '"',
        '"abc',
        'abc"',
        '"a"b"',
        '"a\\b"',
        "ä",
        "a\tb",
        '"a", "b"',
    ],
)
def test_malformed_key_is_refused_by_name(http, app, key):
    answer = post(http, key)

    assert (answer.status_code, answer.json["code"]) == (400, "malformed_request")
    assert "Idempotency-Key" in answer.json["detail"]
    assert "255" in answer.json["detail"]
    assert count(app) == 0


def test_keys_differ_in_case(http, app):
    post(http, "a")
    post(http, "A")

    assert count(app) == 2


def test_key_is_its_owners(http, app):
    other = post(http, styles=(SKY,)).json["id"]
    with app.extensions["nst"].database.writing() as session:
        session.execute(update(Job).values(owner="somebody else"))
        session.execute(update(IdempotencyKey).values(owner="somebody else"))

    mine = post(http)

    assert (mine.status_code, count(app)) == (202, 2)
    assert mine.json["id"] != other


def test_expired_key_makes_a_new_job(http, app):
    first = post(http).json["id"]
    expire(app)

    second = post(http)
    third = post(http)

    assert "Idempotency-Replayed" not in second.headers
    assert second.json["id"] == third.json["id"] != first
    assert (count(app), count(app, IdempotencyKey)) == (2, 1)


def test_key_goes_with_its_job(http, app, settings):
    parts = app.extensions["nst"]
    first = post(http).json["id"]
    http.post(f"/v1/jobs/{first}/cancel")

    sweeper.sweep(parts.database, parts.queue, parts.storage, retention_hours=-1)
    second = post(http)

    assert (second.status_code, count(app)) == (202, 1)
    assert second.json["id"] != first
    assert folders(settings) == {second.json["id"]}


def test_sweeper_deletes_expired_keys_and_no_others(http, app):
    parts = app.extensions["nst"]
    post(http, "old")
    expire(app)
    post(http, "new")

    sweeper.sweep(parts.database, parts.queue, parts.storage, retention_hours=100)

    with parts.database.reading() as session:
        assert session.scalars(select(IdempotencyKey.name)).all() == ["new"]
    assert count(app) == 2


def test_refused_submission_uses_up_no_key(http, app):
    bad = [
        post(http, content=b"no picture"),
        post(http, params='{"steps": 0}'),
        post(http, params="{"),
        post(http, styles=()),
    ]

    good = post(http)

    assert [answer.status_code for answer in bad] == [422, 422, 400, 422]
    assert good.status_code == 202
    assert "Idempotency-Replayed" not in good.headers


def test_submission_that_could_not_be_stored_uses_up_no_key(http, app, settings):
    blocked = settings.data_dir / "files"
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file where the folder should be")
    failed = post(http)
    blocked.unlink()

    good = post(http)

    assert (failed.status_code, good.status_code, count(app)) == (503, 202, 1)


def test_key_is_kept_for_a_day(database: Database):
    key = Key("ann", "k", "0" * 64)
    job_id = record(database, key, now=NOON)

    def found(hours: float) -> Job | None:
        with database.reading() as session:
            return idempotency.first_job(session, key, now=NOON + timedelta(hours=hours))

    assert found(23.99).id == job_id
    assert found(24) is None


def test_second_keeper_is_refused_and_its_job_is_not_recorded(database: Database):
    first = record(database, Key("ann", "k", "0" * 64))

    with pytest.raises(IdempotencyKeyInUse):
        record(database, Key("ann", "k", "0" * 64))

    with database.reading() as session:
        assert session.scalars(select(Job.id)).all() == [first]
    with pytest.raises(IdempotencyKeyReused), database.reading() as session:
        idempotency.first_job(session, Key("ann", "k", "1" * 64))
