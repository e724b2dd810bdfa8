"""`NstClient`: the API for Python programs, and what the command line itself uses."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

import httpx
from pydantic import BaseModel

from api.schemas import JobPage, JobView, Problem, SnapshotList, SnapshotView
from nst_core.errors import NstError
from nst_jobs.errors import IdempotencyKeyInUse

_Shape = TypeVar("_Shape", bound=BaseModel)

#: A file on disk, or a picture's bytes.
PictureSource = Path | bytes

_MOST_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 1.0
#: What a server, or the proxy before it, says while something behind it is being restarted.
_PASSING = (502, 503, 504)
#: Before a submission is sent again of which it is not known what became.
_PAUSES_SECONDS = (0.5, 1.0, 2.0)


class ApiError(NstError):
    """The server refused a request; `problem` is its answer (RFC 9457)."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.code = problem.code
        self.status = problem.status


class ServerUnreachable(NstError):
    """No server answers at the URL."""

    code = "server_unreachable"
    status = 503


class NstClient:
    """Talks to one server; close it, or use it in a `with` block."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_seconds: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        # No proxy of the environment stands between this machine and itself.
        direct = httpx.URL(self.url).host in ("127.0.0.1", "localhost", "::1")
        self._http = httpx.Client(
            base_url=self.url,
            timeout=timeout_seconds,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            trust_env=not direct,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(  # noqa: PLR0913 - what a submission consists of
        self,
        content: PictureSource,
        styles: Sequence[PictureSource],
        *,
        masks: Sequence[PictureSource] = (),
        params: Mapping[str, Any] | None = None,
        priority: int = 0,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> JobView:
        """Submit a job; it is safe with the server when this returns.

        `masks` are none, or one for each style: white where it applies, black where not.
        A connection or server that fails is tried again for some seconds, and makes one job all
        the same: the server knows it by `idempotency_key`, by default a random one. Keep a key of
        your own to try again yourself, within a day.

        Raises:
            ApiError: the server does not take it; `problem.errors` says which fields are bad.
            ServerUnreachable: no server answers.
        """
        sources = [("content", content)]
        sources += [("style", style) for style in styles]
        sources += [("mask", mask) for mask in masks]
        data = {
            "params": json.dumps(dict(params or {})),
            "priority": str(priority),
            "metadata": json.dumps(dict(metadata or {})),
        }
        files = [(name, _file(source)) for name, source in sources]
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        answer = self._call_until_answered(
            "POST", "/v1/jobs", headers=headers, files=files, data=data
        )
        return _read(JobView, answer)

    def get(self, job_id: str) -> JobView:
        """Return a job."""
        return _read(JobView, self._call("GET", f"/v1/jobs/{job_id}"))

    def watch(self, job_id: str) -> Iterator[JobView]:
        """Yield a job now and whenever it has changed, until it has ended.

        A server that goes away for less than a minute is waited for.
        """
        etag, silent_since = "", None
        while True:
            try:
                answer = self._call(
                    "GET", f"/v1/jobs/{job_id}", headers={"If-None-Match": etag} if etag else {}
                )
                silent_since = None
            except (ServerUnreachable, ApiError) as error:
                if error.status not in _PASSING:
                    raise
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since > _MOST_PATIENCE_SECONDS:
                    raise
                time.sleep(_POLL_SECONDS)
                continue
            if answer.status_code != httpx.codes.NOT_MODIFIED:
                etag = answer.headers.get("ETag", "")
                job = _read(JobView, answer)
                yield job
                if job.ended:
                    return
            time.sleep(float(answer.headers.get("Retry-After", _POLL_SECONDS)))

    def list(
        self, *, status: str | None = None, limit: int = 20, cursor: str | None = None
    ) -> JobPage:
        """Return a page of jobs, newest first."""
        query = {"status": status, "limit": limit, "cursor": cursor}
        given = {name: value for name, value in query.items() if value is not None}
        return _read(JobPage, self._call("GET", "/v1/jobs", params=given))

    def cancel(self, job_id: str) -> JobView:
        """Cancel a job, or ask its worker to stop."""
        return _read(JobView, self._call("POST", f"/v1/jobs/{job_id}/cancel"))

    def snapshots(self, job_id: str) -> Sequence[SnapshotView]:
        """Return the intermediate pictures so far, by step."""
        return _read(SnapshotList, self._call("GET", f"/v1/jobs/{job_id}/snapshots")).data

    def picture(self, path: str) -> bytes:
        """Return the picture at a link that the server gave."""
        return self._call("GET", path).content

    def result(self, job_id: str) -> bytes:
        """Return the final picture's file."""
        return self.picture(f"/v1/jobs/{job_id}/result")

    def readiness(self) -> dict[str, Any]:
        """Return what the server says of its parts."""
        answer: dict[str, Any] = self._send("GET", "/readyz").json()
        return answer

    def _call_until_answered(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401 - httpx's arguments
        """Call again, a few times, while it is unknown what became of a repeatable call."""
        for pause in _PAUSES_SECONDS:
            try:
                return self._call(method, path, **request)
            except (ServerUnreachable, ApiError) as error:
                if error.status not in _PASSING and error.code != IdempotencyKeyInUse.code:
                    raise
            time.sleep(pause)
        return self._call(method, path, **request)

    def _call(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401 - httpx's arguments
        answer = self._send(method, path, **request)
        if answer.is_error:
            raise ApiError(_problem(answer))
        return answer

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401 - httpx's arguments
        try:
            return self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise ServerUnreachable(
                f"no answer from {self.url}: {error}",
                hint="Start one with `nst serve`, or name another with --url or NST_URL.",
            ) from error


def _file(source: PictureSource) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        return ("picture", source)
    return (source.name, source.read_bytes())


def _read(shape: type[_Shape], answer: httpx.Response) -> _Shape:
    try:
        return shape.model_validate_json(answer.content)
    except ValueError as error:
        raise ApiError(_not_ours(answer)) from error


def _problem(answer: httpx.Response) -> Problem:
    try:
        return Problem.model_validate_json(answer.content)
    except ValueError:
        return _not_ours(answer)


def _not_ours(answer: httpx.Response) -> Problem:
    """Return a problem for an answer that this server would not give: a proxy's, say."""
    url = answer.request.url
    return Problem(
        type="about:blank",
        title="Unexpected answer",
        status=answer.status_code,
        detail=f"{url} answered {answer.status_code} with something that is not nst-server's",
        instance=url.path,
        code="unexpected_answer",
    )
