"""JSON submissions: the same checks, jobs and keys as a form's; three sources of pictures."""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from api.fetching import Fetcher
from api.schemas import MAX_STYLES
from nst_jobs import artifacts, lifecycle
from nst_jobs.records import ArtifactKind, Job
from tests.hosts import Host, answer, hosting, trickle
from tests.submissions import FIELD, MASK, PHOTO, SKY, count, post

PROBLEM = "application/problem+json"
#: Of a public host, but for the resolver that every test here gets.
PICTURES = "http://pictures.example:{port}"


@pytest.fixture
def host(app: Flask) -> Iterator[Host]:
    """A host of the internet, as the app sees it."""
    with hosting({"/photo": answer(PHOTO), "/sky": answer(SKY)}) as host:
        parts = app.extensions["nst"]
        fetcher = Fetcher(
            schemes=("http",),
            allows=lambda address: address == "127.0.0.1",
            resolve=lambda name, _: ["10.0.0.1" if name == "inside.example" else "127.0.0.1"],
            seconds=5,
        )
        app.extensions["nst"] = replace(parts, fetcher=fetcher)
        yield host


def data(picture: bytes, prefix: str = "data:image/png;base64,") -> dict[str, str]:
    return {"data": prefix + base64.b64encode(picture).decode()}


def body(**changes: object) -> dict[str, object]:
    return {"content": data(PHOTO), "styles": [data(SKY), data(FIELD)], **changes}


def send(http: FlaskClient, given: object, key: str | None = None) -> TestResponse:
    headers = {"Idempotency-Key": key} if key else {}
    return http.post("/v1/jobs", json=given, headers=headers)


def inputs(app: Flask, job_id: str) -> dict[str, list[bytes]]:
    parts = app.extensions["nst"]
    with parts.database.reading() as session:
        found = artifacts.inputs(session, job_id)
    kinds = {"content": [found.content], "styles": found.styles, "masks": found.masks}
    return {kind: [parts.storage.get(file.key) for file in files] for kind, files in kinds.items()}


def succeed(app: Flask, job_id: str, picture: bytes) -> None:
    """Do what a worker does, but for the engine."""
    parts = app.extensions["nst"]
    with parts.database.writing() as session:
        held = lifecycle.claim(session, worker="w", device_bytes=10**12, lease_seconds=30)
    assert held.job_id == job_id
    kind, attempt = ArtifactKind.RESULT, held.attempt
    result = artifacts.store_picture(
        parts.storage, job_id, attempt, kind, picture, image_format="png", extent=(40, 40)
    )
    with parts.database.writing() as session:
        lifecycle.succeed(session, held, result, progress={"step": 1}, weights="random")


def errors(answered: TestResponse) -> dict[str, str]:
    """Return the codes of a refusal by their pointers."""
    assert answered.content_type == PROBLEM
    assert all(error["detail"] for error in answered.json["errors"])
    return {error["pointer"]: error["code"] for error in answered.json["errors"]}


def test_json_submission_is_the_job_that_a_form_makes(http, app):
    fields = {"params": {"steps": 7}, "priority": 3, "metadata": {"a": "1"}}
    styles = [{**data(SKY), "mask": data(MASK)}, {**data(FIELD, ""), "mask": data(MASK)}]

    answered = send(http, body(styles=styles, **fields))

    job = answered.json
    assert (answered.status_code, answered.headers["Location"]) == (202, job["links"]["self"])
    assert (job["params"]["steps"], job["priority"], job["metadata"]) == (7, 3, {"a": "1"})
    assert inputs(app, job["id"]) == {
        "content": [PHOTO],
        "styles": [SKY, FIELD],
        "masks": [MASK, MASK],
    }


def test_form_and_json_of_one_meaning_are_one_submission(http, app, host):
    url = PICTURES.format(port=host.port)
    given = body(content={"url": f"{url}/photo"}, params={"steps": 7}, priority=2)

    first = post(http, "k", params='{"steps": 7}', priority="2")
    again = send(http, given, "k")
    other = send(http, {**given, "content": {"url": f"{url}/sky"}}, "k")

    assert (again.status_code, again.json["id"]) == (202, first.json["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    assert count(app) == 1


def test_weights_become_the_style_blend(http):
    styles = [{**data(SKY), "weight": 3}, data(FIELD)]

    job = send(http, body(styles=styles, params={"preset": "fast"})).json
    without = send(http, body()).json

    assert job["params"]["style_blend"] == [3.0, 1.0]
    assert job["params"]["size"] == 256
    assert without["params"]["style_blend"] == []


def test_weights_and_a_style_blend_are_not_both_taken(http):
    styles = [{**data(SKY), "weight": 3}, data(FIELD)]

    answered = send(http, body(styles=styles, params={"style_blend": [1, 2]}))
    alone = send(http, body(params={"style_blend": [1, 2]}))

    assert errors(answered) == {"/params/style_blend": "invalid_params"}
    assert alone.json["params"]["style_blend"] == [1.0, 2.0]


def test_base64_may_be_broken_into_lines(http, app):
    lines = base64.encodebytes(PHOTO).decode()
    prefix = "DATA:image/png;charset=x;base64,"

    ids = [send(http, body(content={"data": text})).json["id"] for text in (lines, prefix + lines)]

    assert [inputs(app, job_id)["content"] for job_id in ids] == [[PHOTO], [PHOTO]]


def test_result_of_a_job_is_the_picture_of_another(http, app):
    first = send(http, body()).json["id"]
    succeed(app, first, SKY)

    second = send(http, body(content={"job": first}, styles=[{"job": first}]))

    assert inputs(app, second.json["id"])["content"] == [SKY]
    assert inputs(app, second.json["id"])["styles"] == [SKY]


def test_job_without_a_result_is_refused_by_field(http):
    waiting, cancelled = (send(http, body()).json["id"] for _ in range(2))
    http.post(f"/v1/jobs/{cancelled}/cancel")
    given = body(content={"job": waiting}, styles=[data(SKY), {"job": cancelled}])

    answered = send(http, {**given, "params": {"steps": 0}})
    unknown = send(http, body(content={"job": str(uuid4())}))

    assert errors(answered) == {
        "/params/steps": "greater_than_equal",
        "/content/job": "result_not_ready",
        "/styles/1/job": "result_not_ready",
    }
    assert (unknown.status_code, errors(unknown)) == (422, {"/content/job": "job_not_found"})


def test_job_of_another_owner_does_not_exist(http, app):
    first = send(http, body()).json["id"]
    succeed(app, first, SKY)
    with app.extensions["nst"].database.writing() as session:
        session.execute(update(Job).values(owner="somebody else"))

    answered = send(http, body(content={"job": first}))

    assert errors(answered) == {"/content/job": "job_not_found"}


def test_pictures_are_fetched_by_url(http, app, host):
    url = PICTURES.format(port=host.port)
    styles = [{"url": f"{url}/sky", "mask": {"url": f"{url}/photo"}}]

    answered = send(http, body(content={"url": f"{url}/photo"}, styles=styles))

    files = {"content": [PHOTO], "styles": [SKY], "masks": [PHOTO]}
    assert inputs(app, answered.json["id"]) == files


def test_every_url_that_fails_is_named(http, app, host):
    url = PICTURES.format(port=host.port)
    host.plays["/large"] = answer(PHOTO + bytes(2**20))
    host.plays["/text"] = answer(b"no picture", Content_Type="image/png")
    mask = {"url": f"http://inside.example:{host.port}/sky"}
    styles = [{"url": f"{url}/{name}"} for name in ("gone", "large", "text", "sky")]

    answered = send(
        http,
        body(content={"url": "file:///a"}, styles=[{**style, "mask": mask} for style in styles]),
    )

    assert errors(answered) == {
        "/content/url": "url_not_allowed",
        "/styles/0/url": "url_unreachable",
        "/styles/1/url": "file_too_large",
        "/styles/2/url": "invalid_image",
        **{f"/styles/{place}/mask/url": "url_not_allowed" for place in range(4)},
    }
    assert (answered.status_code, answered.json["code"]) == (422, "url_not_allowed")
    assert count(app) == 0


def test_slow_urls_share_one_time_and_keep_no_form_waiting(http, app, host):
    asked = threading.Event()
    host.plays["/slow"] = lambda request: (asked.set(), trickle(host.over)(request))
    parts = app.extensions["nst"]
    fetcher = replace(parts.fetcher, seconds=1)
    one = threading.Semaphore(1)
    app.extensions["nst"] = replace(parts, fetcher=fetcher, decoding=one)
    slow = {"url": f"{PICTURES.format(port=host.port)}/slow"}
    answers: list[TestResponse] = []
    client = app.test_client()
    sender = threading.Thread(
        target=lambda: answers.append(send(client, body(content=slow, styles=[slow] * 8)))
    )

    sender.start()
    assert asked.wait(10)
    form = post(http)
    waited = not answers
    sender.join(10)

    assert (form.status_code, waited) == (202, True)
    assert set(errors(answers[0]).values()) == {"url_unreachable"}
    assert len(errors(answers[0])) == 9
    # Four are asked at once; the others' time is up when those have used it.
    assert len(host.asked) <= 4


def test_default_app_fetches_from_nobody_here(http, app):
    """The guard of the real app, not one that a test has made."""
    with hosting({"/photo": answer(PHOTO)}) as host:
        urls = [f"https://127.0.0.1:{host.port}/photo", f"http://127.0.0.1:{host.port}/photo"]
        answered = [errors(send(http, body(content={"url": url}))) for url in urls]

    assert answered == [{"/content/url": "url_not_allowed"}] * 2
    assert host.asked == []


TWO = {**data(SKY), "url": "https://a.example/"}
BAD = {
    "no source": (body(content={}), {"/content": "one_source"}),
    "two sources": (body(content=TWO), {"/content": "one_source"}),
    "content missing": ({"styles": [data(SKY)]}, {"/content": "missing"}),
    "styles missing": ({"content": data(SKY)}, {"/styles": "missing"}),
    "no styles": (body(styles=[]), {"/styles": "too_short"}),
    "many styles": (body(styles=[data(SKY)] * (MAX_STYLES + 1)), {"/styles": "too_long"}),
    "style for styles": (body(styles=data(SKY)), {"/styles": "list_type"}),
    "unknown fields": (
        body(style=[], content={**data(SKY), "x": 1}),
        {"/style": "extra_forbidden", "/content/x": "extra_forbidden"},
    ),
    "mask of content": (
        body(content={**data(PHOTO), "mask": data(MASK)}),
        {"/content/mask": "extra_forbidden"},
    ),
    "weight of a mask": (
        body(styles=[{**data(SKY), "mask": {**data(MASK), "weight": 1}}]),
        {"/styles/0/mask/weight": "extra_forbidden"},
    ),
    "no weight": (body(styles=[{**data(SKY), "weight": 0}]), {"/styles/0/weight": "greater_than"}),
    "no job id": (body(content={"job": "x"}), {"/content/job": "uuid_parsing"}),
    "not base64": (body(content={"data": "ä!"}), {"/content/data": "invalid_base64"}),
    "cut short": (
        body(content={"data": data(PHOTO, "")["data"][:-1]}),
        {"/content/data": "invalid_base64"},
    ),
    "url as data": (
        body(content={"data": "https://a.example/x.png"}),
        {"/content/data": "invalid_base64"},
    ),
    "data url without base64": (
        body(content={"data": "data:image/svg+xml,abcd"}),
        {"/content/data": "invalid_base64"},
    ),
    "empty": (body(content={"data": ""}), {"/content/data": "invalid_image"}),
    "too large": (body(content=data(PHOTO + bytes(2**20))), {"/content/data": "file_too_large"}),
    "one mask": (
        body(styles=[{**data(SKY), "mask": data(MASK)}, data(FIELD)]),
        {"/styles": "invalid_mask"},
    ),
    "mask of another shape": (
        body(styles=[{**data(SKY), "mask": data(SKY)}]),
        {"/styles/0/mask/data": "invalid_mask"},
    ),
    "blend": (body(params={"style_blend": [1]}), {"/params/style_blend": "invalid_params"}),
    "params": (body(params=[1]), {"/params": "model_type"}),
    "params beside weights": (
        body(params=[1], styles=[{**data(SKY), "weight": 1}]),
        {"/params": "model_type"},
    ),
    "operator's size": (body(params={"size": 4000}), {"/params/size": "size_too_large"}),
    "everything": (
        body(params={"steps": 0}, priority=10, content={"data": "?"}, styles=[data(b"x")]),
        {
            "/params/steps": "greater_than_equal",
            "/priority": "less_than_equal",
            "/content/data": "invalid_base64",
            "/styles/0/data": "invalid_image",
        },
    ),
    "shape and fields": (
        body(params={"steps": 0}, content={}),
        {"/content": "one_source", "/params/steps": "greater_than_equal"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), BAD.values(), ids=BAD)
def test_every_bad_field_is_named_at_once(http, app, given, expected):
    answered = send(http, given)

    assert errors(answered) == expected
    status = 413 if "file_too_large" in expected.values() else 422
    assert (answered.status_code, answered.json["status"]) == (status, status)
    assert count(app) == 0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"a"', "{'a': 1}", '{"priority": NaN}', "\xff"]
)
def test_body_that_is_no_json_object_is_malformed(http, app, text):
    answered = http.post("/v1/jobs", data=text.encode("latin-1"), content_type="application/json")

    assert (answered.status_code, answered.json["code"]) == (400, "malformed_request")


def test_deep_json_is_malformed_not_a_fault(http):
    deep = '{"content": ' + "[" * 100_000 + "]" * 100_000 + "}"

    answered = http.post("/v1/jobs", data=deep, content_type="application/json")

    assert (answered.status_code, answered.json["code"]) == (400, "malformed_request")


def test_body_of_too_many_bytes_is_refused_unread(http):
    over = {"CONTENT_LENGTH": str(2**30)}

    answered = http.post("/v1/jobs", json={}, environ_overrides=over)

    assert (answered.status_code, answered.json["code"]) == (413, "request_too_large")


def test_refused_submission_uses_up_no_key_and_stays_out_of_the_store(http, app, settings):
    refused = send(http, body(content={"data": "?"}), "k")
    good = send(http, json.loads(json.dumps(body())), "k")

    assert (refused.status_code, good.status_code) == (422, 202)
    assert "Idempotency-Replayed" not in good.headers
