"""`/v1/jobs/{id}/events`: what becomes of a job, as server-sent events.

An event's id says what had been sent with it, so that a client which lost its connection goes on
where it was (`Last-Event-ID`). Everything here can be polled too.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from flask import Blueprint, Response, current_app, request
from flask.ctx import RequestContext
from pydantic import BaseModel

from api.jobs import find_job
from api.services import Services, services
from api.views import job_view_of, snapshot_view
from api.watcher import Sight
from nst_jobs.records import Job

blueprint = Blueprint("events", __name__, url_prefix="/v1/jobs/<uuid:job_id>")

#: Below what proxies take for a dead connection.
KEEP_ALIVE_SECONDS = 15.0
_RECONNECT = "retry: 2000\n\n"
_KEEP_ALIVE = ": still here\n\n"
_MARK = re.compile(r"(\d{1,18})-(\d{1,18})")


@dataclass(frozen=True)
class _Mark:
    """What a client has been told: the job's revision, and the newest snapshot's number."""

    revision: int = 0
    snapshot: int = 0

    @classmethod
    def read(cls, text: str | None) -> "_Mark":
        """Return the mark that an event's id holds; of the beginning when it holds none."""
        found = _MARK.fullmatch(text or "")
        return cls(int(found[1]), int(found[2])) if found else cls()

    def __str__(self) -> str:
        return f"{self.revision}-{self.snapshot}"


@blueprint.get("/events")
def events(job_id: UUID) -> Response:
    """Stream a job's changes until it has ended; 204 to a client that has had them all."""
    parts = services()
    mark = _Mark.read(request.headers.get("Last-Event-ID"))
    with parts.database.reading() as session:
        job = find_job(session, str(job_id))
    if job.status.terminal and job.revision <= mark.revision:
        return Response(status=204)  # an EventSource takes this for the end
    give_back = parts.seats.take()
    # Not the request's own context, which would have to stay open as long as the stream.
    context = partial(current_app.test_request_context, base_url=request.url_root)
    stream = _stream(job.id, mark, parts, context)
    response = Response(stream, content_type="text/event-stream; charset=utf-8")
    response.call_on_close(give_back)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    return response


def _stream(
    job_id: str, mark: _Mark, parts: Services, context: Callable[[], RequestContext]
) -> Iterator[str]:
    yield _RECONNECT
    seen = None
    with parts.watcher.watching(job_id):
        while True:
            sight = parts.watcher.wait(job_id, seen, seconds=KEEP_ALIVE_SECONDS)
            if sight is not None:
                with context():
                    told = "".join(_told(sight, seen, mark, parts))
                if told:
                    yield told
                if sight.job is None or sight.job.status.terminal:
                    return
                seen = sight
            elif parts.watcher.is_open():
                yield _KEEP_ALIVE
            else:
                return


def _told(sight: Sight, seen: Sight | None, mark: _Mark, parts: Services) -> Iterator[str]:
    """Yield the events that lead from what was seen to what is; the status comes last."""
    job = sight.job
    if job is None:
        return
    before = seen.job if seen else None
    newest = _newest(seen) if seen else mark.snapshot
    # With the revision of before: it is told in full by the last event only.
    told = before.revision if before else mark.revision
    for snapshot in sorted(sight.snapshots, key=lambda file: file.id):
        if snapshot.id > newest:
            newest = snapshot.id
            yield _event("snapshot", snapshot_view(snapshot), _Mark(told, newest))
    view = job_view_of(job, parts.settings, queue_position=sight.queue_position)
    here = _Mark(job.revision, newest)
    moved = before is None or _standing(job) != _standing(before)
    if seen is None and job.revision <= mark.revision:
        return
    yield _event("progress", view.progress, _Mark(told, newest) if moved else here)
    if moved:
        yield _event("status", view, here)


def _standing(job: Job) -> tuple[object, ...]:
    """Return what a `status` event is sent for when it changes."""
    return job.status, job.attempt, job.cancel_requested_at


def _newest(sight: Sight) -> int:
    return max((file.id for file in sight.snapshots), default=0)


def _event(name: str, data: BaseModel, mark: _Mark) -> str:
    return f"id: {mark}\nevent: {name}\ndata: {data.model_dump_json()}\n\n"
