"""The Python client over connections that break: a submission is repeated and makes one job."""

import httpx
import pytest
from flask import Flask

from api.client import ApiError, NstClient, ServerUnreachable
from api.schemas import Problem
from tests.submissions import PHOTO, SKY, count, job_ids

IN_USE = Problem(
    type="urn:nst-server:problem:idempotency_key_in_use",
    title="Idempotency key in use",
    status=409,
    detail="another request has it",
    instance="/v1/jobs",
    code="idempotency_key_in_use",
)


class Flaky(httpx.BaseTransport):
    """Carries requests to the app, and does to each answer what it is told to, in turn."""

    def __init__(self, app: Flask, *faults: str) -> None:
        self.app = httpx.WSGITransport(app)
        self.faults = list(faults)
        self.keys: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.keys.append(request.headers["Idempotency-Key"])
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "refused":
            raise httpx.ConnectError("connection refused", request=request)
        answer = self.app.handle_request(request)
        if fault == "lost":
            raise httpx.ReadError("connection reset", request=request)
        if fault == "in use":
            return httpx.Response(409, content=IN_USE.model_dump_json())
        return httpx.Response(int(fault)) if fault else answer


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Instead of sleeping, note for how long."""
    slept: list[float] = []
    monkeypatch.setattr("api.client.time.sleep", slept.append)
    return slept


def test_client_submits_one_job_over_a_connection_that_breaks(app, pauses):
    transport = Flaky(app, "refused", "lost", "502")

    with NstClient("http://nst.test", transport=transport) as client:
        first = client.submit(PHOTO, [SKY])
        second = client.submit(PHOTO, [SKY])

    assert len(transport.keys) == 5
    assert len(set(transport.keys)) == 2
    assert job_ids(app) == [first.id, second.id]
    assert pauses == sorted(pauses)
    assert pauses[0] > 0


def test_client_comes_again_when_its_first_request_is_still_being_recorded(app, pauses):
    transport = Flaky(app, "lost", "in use")

    with NstClient("http://nst.test", transport=transport) as client:
        job = client.submit(PHOTO, [SKY])

    assert len(transport.keys) == 3
    assert job_ids(app) == [job.id]


def test_clients_own_key_makes_one_job_of_two_calls(app, pauses):
    transport = Flaky(app)

    with NstClient("http://nst.test", transport=transport) as client:
        first = client.submit(PHOTO, [SKY], idempotency_key="order 17")
        second = client.submit(PHOTO, [SKY], idempotency_key="order 17")

    assert (first.id, transport.keys) == (second.id, ["order 17"] * 2)
    assert (count(app), pauses) == (1, [])


def test_client_gives_up_on_a_server_that_stays_away(app, pauses):
    transport = Flaky(app, *["refused"] * 99)

    with (
        NstClient("http://nst.test", transport=transport) as client,
        pytest.raises(ServerUnreachable),
    ):
        client.submit(PHOTO, [SKY])

    assert (len(transport.keys), len(set(transport.keys))) == (4, 1)
    assert sum(pauses) < 10


def test_client_does_not_repeat_what_was_refused(app, pauses):
    transport = Flaky(app)

    with (
        NstClient("http://nst.test", transport=transport) as client,
        pytest.raises(ApiError) as refusal,
    ):
        client.submit(b"no picture", [SKY])

    assert (refusal.value.status, len(transport.keys), pauses) == (422, 1, [])
