"""API keys: who is let in, what each sees, what is kept of a key."""

from datetime import timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from api.app import create_app
from api.cli import nst
from nst_jobs import keys, lifecycle
from nst_jobs.errors import KeyNotFound
from nst_jobs.keys import Scope
from nst_jobs.records import ApiKey, Job
from tests.integration.conftest import NOON
from tests.submissions import PHOTO, count, post


@pytest.fixture
def settings(settings):
    """Of a server that asks for keys, with room for two jobs an owner."""
    return settings.model_copy(update={"require_keys": True, "max_queued": 2})


@pytest.fixture
def make_key(app):
    def make_key(owner: str = "ann", *scopes: Scope) -> str:
        with app.extensions["nst"].database.writing() as session:
            return keys.create(session, owner, scopes or [Scope.JOBS])

    return make_key


@pytest.fixture
def as_owner(app, make_key):
    """Give a client that shows the key of an owner."""

    def as_owner(name: str, *scopes: Scope):
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {make_key(name, *scopes)}"
        return client

    return as_owner


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_request_without_a_key_is_told_how_to_get_one(http):
    answer = http.get("/v1/jobs")

    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "nst keys create" in answer.json["detail"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/", "/v1/params/schema"])
def test_what_is_nobodys_needs_no_key(http, path):
    assert http.get(path).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_key_lets_its_owner_in(http, make_key, scheme):
    headers = {"Authorization": f"{scheme} {make_key()}"}

    assert http.get("/v1/jobs", headers=headers).status_code == 200


def test_anything_but_the_whole_key_is_refused(http, make_key):
    token = make_key()
    prefix, key_id, secret = token.split("_")
    other = make_key("bob").split("_")[2]
    wrong = [
        *("", token[:-1], token + "0", token.upper(), secret, f"{prefix}_{key_id}_{other}"),
        *(f"{prefix}_{'0' * 12}_{secret}", f"{prefix}_{key_id}_{'0' * 64}", "nst__", "ü"),
    ]

    for text in wrong:
        assert http.get("/v1/jobs", headers=bearer(text)).status_code == 401, text
    assert http.get("/v1/jobs", headers={"Authorization": f"Basic {token}"}).status_code == 401
    assert http.get("/v1/jobs", headers={"Authorization": token}).status_code == 401


def test_revoked_key_opens_nothing_any_more(http, app, make_key):
    token = make_key()
    with app.extensions["nst"].database.writing() as session:
        keys.revoke(session, token.split("_")[1])

    assert http.get("/v1/jobs", headers=bearer(token)).status_code == 401


def test_key_without_the_scope_is_refused(as_owner):
    answer = as_owner("ann", Scope.ADMIN).get("/v1/jobs")

    assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")


def test_another_owners_job_is_nowhere(as_owner, app):
    ann, bob = as_owner("ann"), as_owner("bob")
    job = post(ann, None).json
    links = job["links"]

    seen = {
        name: bob.get(links[name]).json["code"]
        for name in ("self", "events", "snapshots", "latest_snapshot", "result")
    }
    done = [bob.post(links["cancel"]), bob.post(links["retry"]), bob.delete(links["self"])]

    assert set(seen.values()) == {"job_not_found"}
    assert [answer.status_code for answer in done] == [404, 404, 404]
    assert bob.get("/v1/jobs").json["data"] == []
    assert [each["id"] for each in ann.get("/v1/jobs").json["data"]] == [job["id"]]
    assert ann.get(links["self"]).json["status"] == "queued"
    with app.extensions["nst"].database.reading() as session:
        assert session.scalars(select(Job.owner)).all() == ["ann"]


def test_owners_idempotency_keys_are_apart(as_owner):
    ids = {post(as_owner(name), "same").json["id"] for name in ("ann", "bob")}

    assert len(ids) == 2


def test_owner_may_have_so_many_jobs_queued_and_others_too(as_owner, app):
    ann, bob = as_owner("ann"), as_owner("bob")
    first, second = post(ann, None), post(ann, None)
    third = post(ann, None)
    others = post(bob, None)
    ann.post(first.json["links"]["cancel"])
    again = post(ann, None)

    assert (second.status_code, third.status_code) == (202, 429)
    assert third.json["code"] == "too_many_jobs"
    assert third.headers["Retry-After"]
    assert (others.status_code, again.status_code) == (202, 202)
    assert count(app) == 4


def test_owners_take_turns(as_owner, app):
    for name in ("ann", "ann", "bob"):
        assert post(as_owner(name), None).status_code == 202

    claimed = []
    for _ in range(3):
        with app.extensions["nst"].database.writing() as session:
            held = lifecycle.claim(session, worker="w", device_bytes=10**15, lease_seconds=30)
            claimed.append(session.get(Job, held.job_id).owner)

    assert claimed == ["ann", "bob", "ann"]


def test_nothing_of_the_secret_is_kept(app, make_key):
    secret = make_key().split("_")[2]

    with app.extensions["nst"].database.reading() as session:
        (key,) = keys.all_keys(session)

    assert secret not in "".join(str(value) for value in vars(key).values())


def test_last_use_is_noted_to_the_minute(database):
    with database.writing() as session:
        token = keys.create(session, "ann", [Scope.JOBS], now=NOON)
    with database.reading() as session:
        fresh = keys.caller(session, token)
    with database.writing() as session:
        keys.note_use(session, fresh, now=NOON)
    with database.reading() as session:
        used = keys.caller(session, token)

    assert fresh.is_to_be_noted(NOON)
    assert not used.is_to_be_noted(NOON + timedelta(seconds=59))
    assert used.is_to_be_noted(NOON + timedelta(seconds=61))


def test_polling_with_a_key_writes_nothing(http, app, make_key):
    headers = bearer(make_key())
    http.get("/v1/jobs", headers=headers)

    def last_use():
        with app.extensions["nst"].database.reading() as session:
            return session.scalars(select(ApiKey.last_used_at)).one()

    first = last_use()
    http.get("/v1/jobs", headers=headers)

    assert first is not None
    assert last_use() == first


def test_revoking_what_is_not_there_is_an_error(database):
    with pytest.raises(KeyNotFound), database.writing() as session:
        keys.revoke(session, "0" * 12)


def test_operator_makes_lists_and_revokes_keys(settings, http, monkeypatch):
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    run = CliRunner().invoke

    made = run(nst, ["keys", "create", "ann", "--name", "laptop"])
    token = made.output.strip()
    let_in = http.get("/v1/jobs", headers=bearer(token)).status_code
    listed = run(nst, ["keys", "list"]).output
    revoked = run(nst, ["keys", "revoke", token.split("_")[1]])
    refused = http.get("/v1/jobs", headers=bearer(token)).status_code

    assert (let_in, revoked.exit_code, refused) == (200, 0, 401)
    assert {"ann", "laptop", token.split("_")[1]} <= set(listed.replace("│", " ").split())
    assert token.split("_")[2] not in listed
    assert run(nst, ["keys", "create", ""]).exit_code == 2


def test_server_that_asks_nobody_serves_the_local_owner(settings):
    app = create_app(settings.model_copy(update={"require_keys": False}))
    try:
        job = post(app.test_client(), None).json
        with app.extensions["nst"].database.reading() as session:
            assert session.get(Job, job["id"]).owner == "local"
    finally:
        app.extensions["nst"].close()


def test_body_of_a_stranger_is_not_read(http, app):
    answer = http.post("/v1/jobs", data={"content": (PHOTO, "x")}, headers=bearer("nst_x_y"))

    assert answer.status_code == 401
    assert count(app) == 0
