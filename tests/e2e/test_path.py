"""The path of a job, from two pictures over HTTP to a result, through every real part."""

import io
from pathlib import Path

import httpx
from PIL import Image

from tests.e2e.conftest import Server, serving, wait_until


def test_two_pictures_become_a_result(server: Server, submit):
    job_id = submit(server)

    states = list(server.client.watch(job_id))
    job = states[-1]
    picture = Image.open(io.BytesIO(server.client.result(job_id)))

    assert (job.status, job.attempt, job.failures, job.error) == ("succeeded", 1, 0, None)
    assert (picture.format, picture.size) == ("PNG", (96, 72))
    assert (job.weights, job.progress.step, job.progress.fraction) == ("random", 10, 1.0)
    assert job.progress.losses.total > 0
    assert [state.revision for state in states] == sorted({state.revision for state in states})


def test_snapshots_are_kept_at_their_steps_and_the_last_is_latest(server: Server, submit):
    job_id = submit(server)
    for job in server.client.watch(job_id):
        assert job.status in ("queued", "running", "succeeded")

    snapshots = server.client.snapshots(job_id)
    last = server.client.picture(snapshots[-1].url)

    assert [snapshot.step for snapshot in snapshots] == [4, 8]
    assert server.client.picture(job.links.latest_snapshot) == last
    assert Image.open(io.BytesIO(last)).size == (96, 72)


def test_unchanged_job_and_picture_answer_304(server: Server, submit):
    job_id = submit(server)
    list(server.client.watch(job_id))

    for path in (f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/result"):
        first = httpx.get(server.url + path)
        again = httpx.get(server.url + path, headers={"If-None-Match": first.headers["ETag"]})
        assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_same_request_twice_gives_the_same_bytes(server: Server, submit):
    first, second = submit(server, seed=7, init="random"), submit(server, seed=7, init="random")
    for job_id in (first, second):
        list(server.client.watch(job_id))

    assert server.client.result(first) == server.client.result(second)


def test_running_job_is_cancelled_within_seconds(server: Server, submit):
    job_id = submit(server, steps=5000)
    wait_until(lambda: server.client.get(job_id).progress.step > 0)

    server.client.cancel(job_id)

    wait_until(lambda: server.client.get(job_id).status == "cancelled", seconds=5)
    assert server.client.get(job_id).progress.step < 5000


def test_the_stack_runs_on_postgresql(tmp_path: Path, postgres_url: str, submit):
    with serving(tmp_path / "data", NST_DATABASE_URL=postgres_url) as server:
        job_id = submit(server)
        states = list(server.client.watch(job_id))

    assert states[-1].status == "succeeded"
    assert not (tmp_path / "data" / "nst.db").exists()
