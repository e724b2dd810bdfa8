"""Event streams over a real server: a job is watched to its end, and streams hold nothing up."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.e2e.conftest import Server, serving, wait_until

_STREAMS = 100


def read_events(url: str, job_id: str) -> list[tuple[str, dict]]:
    """Return the events of a job until the stream ends."""
    with httpx.stream("GET", f"{url}/v1/jobs/{job_id}/events", timeout=60) as answer:
        lines = [line for line in answer.iter_lines() if line]
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    return list(zip(names, data, strict=True))


def test_picture_is_watched_as_it_develops(server: Server, submit):
    job_id = submit(server)

    events = read_events(server.url, job_id)

    pictures = [data["url"] for name, data in events if name == "snapshot"]
    assert events[-1][0] == "status"
    assert events[-1][1]["status"] == "succeeded"
    assert [path.rpartition("/")[2] for path in pictures] == ["4", "8"]
    assert all(server.client.picture(path) for path in pictures)


def test_many_streams_leave_polls_quick_and_the_server_stops_at_once(tmp_path, submit):
    with serving(tmp_path / "data") as server, ThreadPoolExecutor(_STREAMS) as pool:
        job_id = submit(server, steps=9000)
        wait_until(lambda: server.client.get(job_id).status == "running")
        streams = [pool.submit(read_events, server.url, job_id) for _ in range(_STREAMS)]
        time.sleep(3)

        begun = time.monotonic()
        for _ in range(20):
            server.client.get(job_id)
        polled = time.monotonic() - begun
        begun = time.monotonic()
        server.stop()
        stopped = time.monotonic() - begun

        told = [stream.result(timeout=10) for stream in streams]

    assert {events[0] for events in map(_statuses, told)} == {"running"}
    # Bounds of promises, wide: this is no benchmark.
    assert polled < 10
    assert stopped < 20


def _statuses(events: list[tuple[str, dict]]) -> list[str]:
    return [data["status"] for name, data in events if name == "status"]
