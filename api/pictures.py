"""`/v1/jobs/{id}/snapshots` and `/result`: the pictures of a job."""

from uuid import UUID

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.jobs import find_job
from api.queries import NoQuery, read_query
from api.schemas import SnapshotList
from api.services import Services, services
from api.thumbnails import LEAST_WIDTH, MOST_WIDTH, render
from api.views import snapshot_view
from nst_jobs import artifacts
from nst_jobs.errors import ResultNotReady, SnapshotNotFound
from nst_jobs.records import Artifact, Job, Status

blueprint = Blueprint("pictures", __name__, url_prefix="/v1/jobs/<uuid:job_id>")


@blueprint.get("/snapshots")
def snapshots(job_id: UUID) -> Response:
    """List the intermediate pictures so far."""
    read_query(NoQuery)
    with services().database.reading() as session:
        views = [snapshot_view(snapshot) for snapshot in _snapshots(session, job_id)]
    return Response(SnapshotList(data=views).model_dump_json(), content_type="application/json")


@blueprint.get("/snapshots/latest")
def latest_snapshot(job_id: UUID) -> Response:
    """Show the newest intermediate picture."""
    query, parts = read_query(_Query), services()
    with parts.database.reading() as session:
        found = _snapshots(session, job_id)
    if not found:
        raise SnapshotNotFound("there is no snapshot yet", hint="Ask again while the job runs.")
    # `latest` names another picture soon; each single snapshot stays what it is.
    return _picture(parts, found[-1], query, "private, no-cache")


@blueprint.get("/snapshots/<int:step>")
def snapshot(job_id: UUID, step: int) -> Response:
    """Show the intermediate picture of one step."""
    query, parts = read_query(_Query), services()
    with parts.database.reading() as session:
        found = {snapshot.step: snapshot for snapshot in _snapshots(session, job_id)}
    if step not in found:
        raise SnapshotNotFound(
            f"there is no snapshot of step {step}", hint=f"There are: {sorted(found) or 'none yet'}"
        )
    return _picture(parts, found[step], query, "private, no-cache")


@blueprint.get("/result")
def result(job_id: UUID) -> Response:
    """Show the final picture."""
    query, parts = read_query(_Query), services()
    with parts.database.reading() as session:
        job = find_job(session, str(job_id))
        found = artifacts.result(session, job.id)
    if found is None:
        raise _not_ready(job)
    response = _picture(parts, found, query, "private, max-age=31536000, immutable")
    suffix = found.key.rpartition(".")[2]
    response.headers["Content-Disposition"] = f'inline; filename="{job.id}.{suffix}"'
    return response


class _Query(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int | None = Field(None, ge=LEAST_WIDTH, le=MOST_WIDTH)


def _snapshots(session: Session, job_id: UUID) -> list[Artifact]:
    return artifacts.snapshots(session, find_job(session, str(job_id)).id)


def _not_ready(job: Job) -> ResultNotReady:
    if job.status in (Status.QUEUED, Status.RUNNING):
        return ResultNotReady(
            f"the job is {job.status}", hint="Ask again when it has succeeded.", expected=True
        )
    return ResultNotReady(
        f"the job has {job.status}: there will be no result"
        if job.status == Status.FAILED
        else "the job was cancelled: there will be no result",
        hint="Its `error` says why." if job.error else "",
        expected=False,
    )


def _picture(parts: Services, file: Artifact, query: _Query, caching: str) -> Response:
    width = _smaller(file, query)
    tag = file.sha256 if width is None else f"{file.sha256}-{width}"
    response = Response(content_type=file.media_type)
    response.set_etag(tag)
    response.headers["Cache-Control"] = caching
    response.accept_ranges = "bytes"
    # Before the range, as RFC 9110 has it, and before the file is read.
    if request.if_none_match.contains_weak(tag):
        response.status_code = 304
        return response
    data = parts.storage.get(file.key) if width is None else _thumbnail(parts, file, width)
    response.set_data(data)
    if _asks_for_one_range():
        response.make_conditional(request, accept_ranges=True, complete_length=len(data))
    return response


def _smaller(file: Artifact, query: _Query) -> int | None:
    """Return the width to be rendered; None when the picture is not wider, since none grows."""
    if query.width is None or query.width >= (file.width or 0):
        return None
    return query.width


def _thumbnail(parts: Services, file: Artifact, width: int) -> bytes:
    kept = parts.thumbnails.find(file.sha256, width)
    if kept is not None:
        return kept
    with parts.decoding:
        # Whoever held us up may have rendered the same.
        kept = parts.thumbnails.find(file.sha256, width)
        if kept is None:
            kept = render(parts.storage.get(file.key), file.media_type, width)
            parts.thumbnails.keep(file.sha256, width, kept)
        return kept


def _asks_for_one_range() -> bool:
    """Return whether there is a range to serve; others may, and some must, be ignored."""
    asked = request.range
    return (
        request.method == "GET"
        and asked is not None
        and asked.units == "bytes"
        and len(asked.ranges) == 1
    )
