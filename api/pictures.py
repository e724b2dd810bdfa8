"""`/v1/jobs/{id}/snapshots` and `/result`: the pictures of a job."""

from uuid import UUID

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from api.jobs import find_job
from api.schemas import SnapshotList
from api.services import Services, services
from api.views import snapshot_view
from nst_jobs import artifacts
from nst_jobs.errors import ResultNotReady, SnapshotNotFound
from nst_jobs.records import Artifact, Job, Status

blueprint = Blueprint("pictures", __name__, url_prefix="/v1/jobs/<uuid:job_id>")


@blueprint.get("/snapshots")
def snapshots(job_id: UUID) -> Response:
    """List the intermediate pictures so far."""
    with services().database.reading() as session:
        views = [snapshot_view(snapshot) for snapshot in _snapshots(session, job_id)]
    return Response(SnapshotList(data=views).model_dump_json(), content_type="application/json")


@blueprint.get("/snapshots/latest")
def latest_snapshot(job_id: UUID) -> Response:
    """Show the newest intermediate picture."""
    parts = services()
    with parts.database.reading() as session:
        found = _snapshots(session, job_id)
    if not found:
        raise SnapshotNotFound("there is no snapshot yet", hint="Ask again while the job runs.")
    # `latest` names another picture soon; each single snapshot stays what it is.
    return _picture(parts, found[-1], "private, no-cache")


@blueprint.get("/snapshots/<int:step>")
def snapshot(job_id: UUID, step: int) -> Response:
    """Show the intermediate picture of one step."""
    parts = services()
    with parts.database.reading() as session:
        found = {snapshot.step: snapshot for snapshot in _snapshots(session, job_id)}
    if step not in found:
        raise SnapshotNotFound(
            f"there is no snapshot of step {step}", hint=f"There are: {sorted(found) or 'none yet'}"
        )
    return _picture(parts, found[step], "private, no-cache")


@blueprint.get("/result")
def result(job_id: UUID) -> Response:
    """Show the final picture."""
    parts = services()
    with parts.database.reading() as session:
        job = find_job(session, str(job_id))
        found = artifacts.result(session, job.id)
    if found is None:
        raise _not_ready(job)
    response = _picture(parts, found, "private, max-age=31536000, immutable")
    suffix = found.key.rpartition(".")[2]
    response.headers["Content-Disposition"] = f'inline; filename="{job.id}.{suffix}"'
    return response


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


def _picture(parts: Services, file: Artifact, caching: str) -> Response:
    response = Response(b"", content_type=file.media_type)
    response.set_etag(file.sha256)
    response.headers["Cache-Control"] = caching
    if request.if_none_match.contains_weak(file.sha256):
        response.status_code = 304
        return response
    response.set_data(parts.storage.get(file.key))
    return response
