"""The HTTP contract, over a real database, file store and broker: answers good and bad."""

import gc
import io
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy import func, select, text
from werkzeug.test import TestResponse

from api.app import create_app
from api.schemas import MAX_STYLES
from nst_core.params import StyleParams
from nst_jobs import artifacts, lifecycle
from nst_jobs.records import ArtifactKind, Job
from nst_jobs.settings import Settings

PROBLEM = "application/problem+json"


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str) -> Settings:
    return Settings(data_dir=tmp_path / "data", broker_url=valkey_url, max_upload_mb=1)


@pytest.fixture
def app(settings: Settings) -> Flask:
    app = create_app(settings)
    app.extensions["nst"].database.migrate()
    yield app
    app.extensions["nst"].close()


@pytest.fixture(autouse=True)
def _close_test_clients_files():
    """Let go of the temporary files that werkzeug's test client leaves open for large bodies."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def http(app: Flask) -> FlaskClient:
    return app.test_client()


def png(width: int = 40, height: int = 30, color: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), color).save(out, "PNG")
    return out.getvalue()


def form(
    content: bytes | None = None,
    styles: list[bytes] | None = None,
    masks: list[bytes] | None = None,
    **fields: object,
):
    data: dict[str, object] = {**fields}
    data["content"] = (io.BytesIO(png() if content is None else content), "content.png")
    data["style"] = [
        (io.BytesIO(style), f"style{number}.png")
        for number, style in enumerate([png()] if styles is None else styles)
    ]
    data["mask"] = [(io.BytesIO(mask), "mask.png") for mask in masks or ()]
    return data


def post(http: FlaskClient, data: dict, **more: object) -> TestResponse:
    return http.post("/v1/jobs", data=data, content_type="multipart/form-data", **more)


def count_jobs(app: Flask) -> int:
    with app.extensions["nst"].database.reading() as session:
        return session.scalar(select(func.count()).select_from(Job))


def run_to_result(app: Flask, job_id: str) -> None:
    """Do what a worker does, but for the engine."""
    parts = app.extensions["nst"]
    with parts.database.writing() as session:
        held = lifecycle.claim(session, worker="w", device_bytes=10**12, lease_seconds=30)
    assert held.job_id == job_id
    for kind, step in ((ArtifactKind.SNAPSHOT, 20), (ArtifactKind.SNAPSHOT, 40)):
        color = "green" if step == 20 else "blue"
        _store(parts, held, kind, step, color)
    result = artifacts.store_picture(
        parts.storage,
        job_id,
        held.attempt,
        ArtifactKind.RESULT,
        png(color="white"),
        image_format="png",
        extent=(40, 30),
        step=50,
    )
    with parts.database.writing() as session:
        lifecycle.succeed(
            session, held, result, progress={"step": 50, "total_steps": 50}, weights="random"
        )


def _store(parts, held, kind: ArtifactKind, step: int, color: str) -> None:
    file = artifacts.store_picture(
        parts.storage,
        held.job_id,
        held.attempt,
        kind,
        png(color=color),
        image_format="png",
        extent=(40, 30),
        step=step,
    )
    with parts.database.writing() as session:
        lifecycle.add_artifact(session, held, file)


def test_submission_is_accepted_with_location_and_the_job(http, app):
    answer = post(
        http,
        form(
            params='{"steps": 7, "size": 64}',
            priority="3",
            metadata='{"album": "summer"}',
        ),
    )

    job = answer.json
    assert answer.status_code == 202
    assert answer.headers["Location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert int(answer.headers["Retry-After"]) > 0
    assert (job["status"], job["attempt"], job["priority"]) == ("queued", 0, 3)
    assert job["metadata"] == {"album": "summer"}
    assert job["params"] == StyleParams(steps=7, size=64).model_dump(mode="json")
    assert job["progress"]["queue_position"] == 1
    assert job["progress"]["total_steps"] == 7
    assert http.get(answer.headers["Location"]).json["id"] == job["id"]


def test_masks_are_kept_in_the_order_of_their_styles(http, app):
    styles = [png(color=color) for color in ("red", "green", "blue")]
    masks = [png(80, 60, color) for color in ("white", "grey", "silver")]

    job_id = post(http, form(styles=styles, masks=masks)).json["id"]

    parts = app.extensions["nst"]
    with parts.database.reading() as session:
        inputs = artifacts.inputs(session, job_id)
    assert [parts.storage.get(file.key) for file in inputs.styles] == styles
    assert [parts.storage.get(file.key) for file in inputs.masks] == masks
    assert {(file.kind, file.width, file.height) for file in inputs.masks} == {("mask", 80, 60)}


def test_every_style_may_have_a_mask_as_large_as_a_picture_may_be(http):
    large = png() + bytes(2**20 - len(png()))

    answer = post(http, form(large, [large] * MAX_STYLES, [large] * MAX_STYLES))

    assert answer.status_code == 202


def test_submission_wakes_a_worker_after_the_commit(http, app):
    before = app.extensions["nst"].queue.depth()

    post(http, form())

    assert app.extensions["nst"].queue.depth() == before + 1


def test_submission_is_accepted_while_the_broker_is_down(settings, tmp_path):
    app = create_app(settings.model_copy(update={"broker_url": f"redis+socket://{tmp_path}/no"}))
    app.extensions["nst"].database.migrate()

    answers = [post(app.test_client(), form()).status_code for _ in range(3)]
    ready = app.test_client().get("/readyz")

    assert answers == [202, 202, 202]
    assert count_jobs(app) == 3
    assert (ready.status_code, ready.json["status"]) == (200, "degraded")
    app.extensions["nst"].close()


def test_refused_submission_leaves_no_job_and_no_file(http, app, settings):
    answer = post(http, form(styles=[png(), b"not a picture"]))

    assert answer.status_code == 422
    assert count_jobs(app) == 0
    assert not list((settings.data_dir / "files").rglob("*.*"))


BAD_SUBMISSIONS: dict[str, tuple[Callable[[], dict], int, str, str]] = {
    "content_missing": (
        lambda: {"style": (io.BytesIO(png()), "s.png")},
        422,
        "missing",
        "/content",
    ),
    "style_missing": (lambda: {"content": (io.BytesIO(png()), "c.png")}, 422, "missing", "/style"),
    "content_as_text": (lambda: form() | {"content": "abc"}, 422, "unknown_field", "/content"),
    "two_contents": (
        lambda: form() | {"content": [(io.BytesIO(png()), "a"), (io.BytesIO(png()), "b")]},
        422,
        "too_many",
        "/content",
    ),
    "too_many_styles": (
        lambda: form(styles=[png()] * (MAX_STYLES + 1)),
        422,
        "too_many",
        "/style",
    ),
    "no_picture": (lambda: form(content=b"hello"), 422, "invalid_image", "/content"),
    "empty_file": (lambda: form(content=b""), 422, "invalid_image", "/content"),
    "truncated": (lambda: form(content=png()[:-20]), 422, "invalid_image", "/content"),
    "second_style_bad": (lambda: form(styles=[png(), b"x"]), 422, "invalid_image", "/style/1"),
    "mask_missing": (
        lambda: form(styles=[png()] * 2, masks=[png()]),
        422,
        "invalid_mask",
        "/mask",
    ),
    "mask_without_style": (lambda: form(masks=[png()] * 2), 422, "invalid_mask", "/mask"),
    "mask_no_picture": (
        lambda: form(styles=[png()] * 2, masks=[png(), b"x"]),
        422,
        "invalid_image",
        "/mask/1",
    ),
    "mask_black": (lambda: form(masks=[png(color="black")]), 422, "invalid_mask", "/mask"),
    "mask_of_another_shape": (
        lambda: form(styles=[png()] * 2, masks=[png(), png(30, 40)]),
        422,
        "invalid_mask",
        "/mask/1",
    ),
    "mask_as_text": (lambda: form() | {"mask": "white"}, 422, "unknown_field", "/mask"),
    "mask_too_many_bytes": (
        lambda: form(masks=[png() + bytes(2**20)]),
        413,
        "file_too_large",
        "/mask",
    ),
    "too_small": (lambda: form(content=png(8, 8)), 422, "image_too_small", "/content"),
    "too_long": (lambda: form(content=png(20000, 16)), 422, "image_too_large", "/content"),
    "too_many_bytes": (
        lambda: form(content=png() + bytes(2**20)),
        413,
        "file_too_large",
        "/content",
    ),
    "unknown_field": (lambda: form(colour="red"), 422, "unknown_field", "/colour"),
    "unknown_param": (lambda: form(params='{"stepz": 1}'), 422, "extra_forbidden", "/params/stepz"),
    "bad_param": (lambda: form(params='{"steps": 0}'), 422, "greater_than_equal", "/params/steps"),
    "params_not_an_object": (lambda: form(params="[1]"), 422, "model_type", "/params"),
    "size_over_the_operators": (
        lambda: form(params='{"size": 4000}'),
        422,
        "size_too_large",
        "/params/size",
    ),
    "blend_for_other_styles": (
        lambda: form(params='{"style_blend": [1, 2]}'),
        422,
        "invalid_params",
        "/params/style_blend",
    ),
    "unknown_layer": (
        lambda: form(params='{"style_layers": {"relu9_9": 1}}'),
        422,
        "value_error",
        "/params",
    ),
    "bad_priority": (lambda: form(priority="10"), 422, "less_than_equal", "/priority"),
    "bad_metadata": (lambda: form(metadata='{"a": 1}'), 422, "string_type", "/metadata/a"),
}


@pytest.mark.parametrize(
    ("data", "status", "code", "pointer"), BAD_SUBMISSIONS.values(), ids=BAD_SUBMISSIONS.keys()
)
def test_bad_submission_names_its_field(http, app, data, status, code, pointer):
    answer = post(http, data())

    assert (answer.status_code, answer.content_type) == (status, PROBLEM)
    first = answer.json["errors"][0]
    assert (first["pointer"], first["code"], answer.json["code"]) == (pointer, code, code)
    assert answer.json["status"] == status
    assert first["detail"]
    assert count_jobs(app) == 0


def test_every_bad_field_is_named_at_once(http):
    answer = post(http, form(content=b"x", styles=[b"y"], params='{"steps": 0, "size": 1}'))

    pointers = {error["pointer"] for error in answer.json["errors"]}
    assert pointers == {"/content", "/style", "/params/steps", "/params/size"}


def test_countless_masks_are_not_even_decoded(http):
    many = MAX_STYLES + 1

    answer = post(http, form(styles=[png()] * many, masks=[b"x"] * many))

    assert [error["pointer"] for error in answer.json["errors"]] == ["/style"]


def test_text_that_is_not_json_is_malformed(http):
    answer = post(http, form(params="{steps: 1}"))

    assert (answer.status_code, answer.json["code"]) == (400, "malformed_request")
    assert "params" in answer.json["detail"]


def test_not_a_number_is_no_json_number(http):
    answer = post(http, form(params='{"style_weight": NaN}'))

    assert answer.status_code in (400, 422)


def test_body_of_another_type_is_refused_by_type(http):
    answer = http.post("/v1/jobs", data="content", content_type="text/plain")

    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")
    assert "multipart/form-data" in answer.json["detail"]
    assert "application/json" in answer.json["detail"]


def test_oversize_body_is_refused(http):
    answer = post(http, form(content=bytes(19 * 2**20)))

    assert (answer.status_code, answer.content_type) == (413, PROBLEM)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/jobs/not-an-id", 404, "not_found"),
        ("GET", "/v1/jobs/019a0000-0000-7000-8000-000000000000", 404, "job_not_found"),
        ("POST", "/v1/jobs/019a0000-0000-7000-8000-000000000000/cancel", 404, "job_not_found"),
        ("GET", "/v1/jobs/019a0000-0000-7000-8000-000000000000/result", 404, "job_not_found"),
        ("GET", "/v1/jobs/019a0000-0000-7000-8000-000000000000/snapshots", 404, "job_not_found"),
        ("PUT", "/v1/jobs", 405, "method_not_allowed"),
        ("GET", "/v1/jobs?status=asleep", 422, "literal_error"),
        ("GET", "/v1/jobs?limit=0", 422, "greater_than_equal"),
        ("GET", "/v1/jobs?limit=many", 422, "int_parsing"),
        ("GET", "/v1/jobs?cursor=zzz", 422, "uuid_parsing"),
        ("GET", "/v1/jobs?page=2", 422, "extra_forbidden"),
    ],
)
def test_wrong_request_gets_a_problem_document(http, method, path, status, code):
    answer = http.open(path, method=method)

    assert (answer.status_code, answer.content_type) == (status, PROBLEM)
    assert answer.json["code"] == code
    assert answer.json["instance"] == path.partition("?")[0]
    assert answer.json["detail"]
    if status == 405:
        assert "POST" in answer.headers["Allow"]


def test_job_is_polled_by_etag(http):
    job_id = post(http, form()).json["id"]
    first = http.get(f"/v1/jobs/{job_id}")

    same = http.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
    http.post(f"/v1/jobs/{job_id}/cancel")
    changed = http.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})

    assert first.headers["Retry-After"]
    assert (same.status_code, same.data) == (304, b"")
    assert same.headers["Retry-After"]
    assert (changed.status_code, changed.json["status"]) == (200, "cancelled")
    assert "Retry-After" not in changed.headers


def test_etag_changes_with_the_place_in_line(http):
    first, second = (post(http, form()).json["id"] for _ in range(2))
    before = http.get(f"/v1/jobs/{second}")

    http.post(f"/v1/jobs/{first}/cancel")
    after = http.get(f"/v1/jobs/{second}", headers={"If-None-Match": before.headers["ETag"]})

    assert before.json["progress"]["queue_position"] == 2
    assert after.json["progress"]["queue_position"] == 1


def test_cancel_answers_the_job_and_again_the_same(http):
    job_id = post(http, form()).json["id"]

    first = http.post(f"/v1/jobs/{job_id}/cancel")
    again = http.post(f"/v1/jobs/{job_id}/cancel")

    assert (first.status_code, first.json["status"]) == (200, "cancelled")
    assert again.json == first.json


def test_ended_job_cannot_be_cancelled(http, app):
    job_id = post(http, form()).json["id"]
    run_to_result(app, job_id)

    answer = http.post(f"/v1/jobs/{job_id}/cancel")

    assert (answer.status_code, answer.json["code"]) == (409, "not_cancellable")


def test_list_is_newest_first_and_pages_stay_stable_while_jobs_arrive(http):
    ids = [post(http, form()).json["id"] for _ in range(5)]

    first = http.get("/v1/jobs?limit=2").json
    post(http, form())
    second = http.get(f"/v1/jobs?limit=2&cursor={first['next_cursor']}").json
    third = http.get(f"/v1/jobs?limit=2&cursor={second['next_cursor']}").json

    pages = [*first["data"], *second["data"], *third["data"]]
    assert [job["id"] for job in pages] == ids[::-1]
    assert third["next_cursor"] is None


def test_list_filters_by_status(http):
    keep, drop = (post(http, form()).json["id"] for _ in range(2))
    http.post(f"/v1/jobs/{drop}/cancel")

    queued = http.get("/v1/jobs?status=queued").json["data"]
    cancelled = http.get("/v1/jobs?status=cancelled").json["data"]

    assert ([job["id"] for job in queued], [job["id"] for job in cancelled]) == ([keep], [drop])


def test_result_before_its_time_is_a_404_that_says_when(http):
    job_id = post(http, form()).json["id"]

    answer = http.get(f"/v1/jobs/{job_id}/result")

    assert (answer.status_code, answer.json["code"]) == (404, "result_not_ready")
    assert answer.headers["Retry-After"]


def test_result_of_a_cancelled_job_is_not_to_be_waited_for(http):
    job_id = post(http, form()).json["id"]
    http.post(f"/v1/jobs/{job_id}/cancel")

    answer = http.get(f"/v1/jobs/{job_id}/result")

    assert (answer.status_code, answer.json["code"]) == (404, "result_not_ready")
    assert "Retry-After" not in answer.headers
    assert "cancelled" in answer.json["detail"]


def test_result_is_the_picture_with_safe_headers(http, app):
    job_id = post(http, form()).json["id"]
    run_to_result(app, job_id)

    answer = http.get(f"/v1/jobs/{job_id}/result")
    again = http.get(f"/v1/jobs/{job_id}/result", headers={"If-None-Match": answer.headers["ETag"]})

    assert (answer.status_code, answer.content_type, answer.data) == (
        200,
        "image/png",
        png(color="white"),
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert f"{job_id}.png" in answer.headers["Content-Disposition"]
    assert (again.status_code, again.data) == (304, b"")


def test_snapshots_are_listed_and_fetched_by_step(http, app):
    job_id = post(http, form()).json["id"]
    empty = http.get(f"/v1/jobs/{job_id}/snapshots").json
    none_yet = http.get(f"/v1/jobs/{job_id}/snapshots/latest")
    run_to_result(app, job_id)

    listed = http.get(f"/v1/jobs/{job_id}/snapshots").json["data"]

    assert (empty["data"], none_yet.status_code) == ([], 404)
    assert [entry["step"] for entry in listed] == [20, 40]
    assert http.get(listed[0]["url"]).data == png(color="green")
    assert http.get(f"/v1/jobs/{job_id}/snapshots/latest").data == png(color="blue")
    missing = http.get(f"/v1/jobs/{job_id}/snapshots/30")
    assert (missing.status_code, missing.json["code"]) == (404, "snapshot_not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", "/cancel"),
        ("GET", "/result"),
        ("GET", "/snapshots"),
        ("GET", "/snapshots/latest"),
        ("GET", "/snapshots/20"),
    ],
)
def test_job_of_another_owner_does_not_exist(http, app, method, path):
    job_id = post(http, form()).json["id"]
    run_to_result(app, job_id)
    with app.extensions["nst"].database.writing() as session:
        session.execute(text("UPDATE job SET owner = 'somebody else'"))

    answer = http.open(f"/v1/jobs/{job_id}{path}", method=method)

    assert (answer.status_code, answer.json["code"]) == (404, "job_not_found")
    assert http.get("/v1/jobs").json["data"] == []


def test_params_schema_is_the_models_own(http):
    schema = http.get("/v1/params/schema").json

    assert set(schema["properties"]) == set(StyleParams.model_fields)
    assert all("description" in field for field in schema["properties"].values())
    assert "gatys" in schema["x-presets"]


def test_readiness_tells_which_part_is_missing(http, app):
    ready = http.get("/readyz")
    with app.extensions["nst"].database.writing() as session:
        session.execute(text("ALTER TABLE job RENAME TO gone"))
    broken = http.get("/readyz")

    assert (ready.status_code, ready.json["status"]) == (200, "ok")
    assert (broken.status_code, broken.json["status"]) == (503, "unavailable")
    assert broken.json["checks"]["storage"] == "ok"
    assert broken.json["checks"]["database"] != "ok"
    assert http.get("/livez").status_code == 200


def test_database_that_does_not_answer_is_a_503_to_be_tried_again(http, app):
    app.extensions["nst"].database.migrate("base")

    answer = http.get("/v1/jobs")

    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"]


def test_storage_that_is_full_is_a_503_and_no_job(http, app, settings):
    (settings.data_dir / "files").write_text("a file where the folder should be")

    answer = post(http, form())

    assert (answer.status_code, answer.json["code"]) == (503, "storage_unavailable")
    assert count_jobs(app) == 0


def test_unforeseen_error_is_a_500_without_its_insides_and_leaves_no_file(
    http, settings, monkeypatch
):
    monkeypatch.setattr("api.jobs.lifecycle.submit", lambda *_: 1 / 0)

    answer = post(http, form())

    assert not list((settings.data_dir / "files").rglob("*.*"))

    assert (answer.status_code, answer.content_type) == (500, PROBLEM)
    assert "division" not in json.dumps(answer.json)


def test_api_imports_without_torch():
    program = (
        "import sys; sys.modules.update(torch=None, torchvision=None); "
        "import api.app, api.client, api.cli; "
        "api.app.create_app(__import__('nst_jobs.settings').settings.Settings())"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    assert done.returncode == 0, done.stderr


def test_requests_beyond_the_databases_connections_are_told_to_come_again(http, app):
    engine = app.extensions["nst"].database.engine
    engine.pool._timeout = 0.1
    with ExitStack() as held:
        for _ in range(engine.pool.size() + engine.pool._max_overflow):
            held.enter_context(engine.connect())

        answer = http.get("/v1/jobs")

    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"]
    assert http.get("/v1/jobs").status_code == 200
