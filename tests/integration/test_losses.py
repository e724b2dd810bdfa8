"""The losses of a job: what is kept of every step, and what is answered."""

from itertools import pairwise

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from nst_jobs import lifecycle
from nst_jobs.losses import loss_curve
from nst_jobs.records import Loss
from tests.losses import row, steps_of
from tests.submissions import count, post


@pytest.fixture
def job_id(http: FlaskClient) -> str:
    return post(http, None).json["id"]


@pytest.fixture
def held(app, job_id) -> lifecycle.Claim:
    with app.extensions["nst"].database.writing() as session:
        return lifecycle.claim(session, worker="w", device_bytes=10**15, lease_seconds=30)


def beat(database, held, rows) -> None:
    with database.writing() as session:
        lifecycle.renew(session, held, losses=rows)


def get(http, job_id, **headers):
    return http.get(f"/v1/jobs/{job_id}/losses", headers=headers)


def test_losses_are_columns_of_every_step_so_far(http, database, held, job_id):
    before = get(http, job_id)
    beat(database, held, [row(99), row(100)])

    answer = get(http, job_id)

    empty = {name: [] for name in ("step", "total", "content", "style", "tv", "scale")}
    assert (before.status_code, before.json) == (200, empty)
    assert answer.content_type == "application/json"
    assert answer.json == {
        "step": [99, 100],
        "total": [99000.0, 100000.0],
        "content": [0.5, 0.5],
        "style": [0.25, 0.25],
        "tv": [0.0, 0.0],
        "scale": [1, 2],
    }


def test_job_links_to_its_losses(http, job_id):
    job = http.get(f"/v1/jobs/{job_id}").json

    assert http.get(job["links"]["losses"]).status_code == 200


def test_losses_that_have_not_changed_are_a_304(http, database, held, job_id):
    tag = get(http, job_id).headers["ETag"]

    same = get(http, job_id, **{"If-None-Match": tag})
    beat(database, held, [row(1)])
    changed = get(http, job_id, **{"If-None-Match": tag})

    assert (same.status_code, same.data) == (304, b"")
    assert (changed.status_code, changed.json["step"]) == (200, [1])
    assert changed.headers["ETag"] != tag


def test_steps_made_again_replace_their_losses_and_those_after_them(database, held, job_id):
    beat(database, held, [row(step) for step in range(1, 8)])

    beat(database, held, [row(4, total=0.4), row(5, total=0.5)])

    assert steps_of(database, job_id) == [1, 2, 3, 4, 5]
    with database.reading() as session:
        totals = loss_curve(session, job_id, points=9)["total"]
    assert totals == [1000, 2000, 3000, 0.4, 0.5]


def test_heartbeat_written_twice_is_as_one(database, held, job_id):
    """As happens when a COMMIT's answer was lost."""
    for _ in range(2):
        beat(database, held, [row(1), row(2)])

    assert steps_of(database, job_id) == [1, 2]


def test_losses_of_a_heartbeat_are_one_insert(database, held, job_id):
    said = []

    def listen(_connection, _cursor, statement, _values, _context, many):
        said.append((statement.split("(")[0], many))

    sa.event.listen(database.engine, "before_cursor_execute", listen)
    try:
        beat(database, held, [row(step) for step in range(1, 1001)])
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", listen)

    assert [entry for entry in said if entry[0].startswith("INSERT INTO loss")] == [
        ("INSERT INTO loss ", False)
    ]
    assert len(steps_of(database, job_id)) == 1000


def test_more_losses_than_one_statement_takes_are_all_kept(database, held, job_id):
    beat(database, held, [row(step) for step in range(1, 20_001)])

    assert steps_of(database, job_id) == list(range(1, 20_001))


@pytest.mark.parametrize("steps", [1, 1999, 2000, 2001, 5000])
def test_long_curves_are_thinned_evenly_up_to_their_last_step(http, database, held, job_id, steps):
    beat(database, held, [row(step) for step in range(1, steps + 1)])

    found = get(http, job_id).json["step"]

    gaps = {after - before for before, after in pairwise(found)}
    assert len(found) == min(steps, 2000)
    assert found[-1] == steps
    assert max(gaps, default=1) - min(gaps, default=1) <= 1


def test_losses_go_with_their_job(http, app, database, held, job_id):
    beat(database, held, [row(1)])
    with database.writing() as session:
        lifecycle.finish_cancelled(session, held)

    assert http.delete(f"/v1/jobs/{job_id}").status_code == 204

    assert count(app, Loss) == 0


def test_losses_of_one_job_are_not_anothers(http, database, held, job_id):
    other = post(http, None).json["id"]
    beat(database, held, [row(1)])

    assert get(http, other).json["step"] == []


def test_losses_of_no_job_and_unknown_parameters_are_problems(http, job_id):
    missing = get(http, "019a0000-0000-7000-8000-000000000000")
    unknown = http.get(f"/v1/jobs/{job_id}/losses?every=2")

    assert (missing.status_code, missing.json["code"]) == (404, "job_not_found")
    assert (unknown.status_code, unknown.json["code"]) == (422, "extra_forbidden")
    assert unknown.json["errors"][0]["pointer"] == "/every"
