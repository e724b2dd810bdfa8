"""`/v1/jobs`: submit, look, list, cancel."""

from uuid import UUID

from flask import Blueprint, Response, request, url_for
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from api.errors import InvalidRequest
from api.idempotency import REPLAYED, fingerprint, read_key
from api.schemas import FieldError, JobPage, JobStatus, JobView
from api.services import LOCAL_OWNER, Services, services
from api.submissions import CheckedRequest, Upload, read_submission
from api.views import job_view
from nst_core import schedule
from nst_core.estimate import least_bytes
from nst_jobs import artifacts, idempotency, lifecycle
from nst_jobs.artifacts import StoredFile
from nst_jobs.errors import IdempotencyKeyInUse, JobNotFound
from nst_jobs.idempotency import Key
from nst_jobs.lifecycle import Submission
from nst_jobs.records import ArtifactKind, Job, Status

blueprint = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

_POLL_SECONDS = {Status.QUEUED: 2, Status.RUNNING: 1}


@blueprint.post("")
def submit() -> Response:
    """Record a job; 202 leaves only after the commit."""
    parts = services()
    name = read_key(request)
    checked = read_submission(request, parts.settings)
    key = Key(LOCAL_OWNER, name, fingerprint(checked)) if name else None
    first = _first_view(key, parts)
    if first:
        return _accepted(first, replayed=True)
    try:
        view = _record(checked, key, parts)
    except IdempotencyKeyInUse:
        first = _first_view(key, parts)
        if first is None:
            raise
        return _accepted(first, replayed=True)
    # A wake-up that is not heard costs some seconds, never the job: the sweeper repeats it.
    parts.queue.wake()
    return _accepted(view)


@blueprint.get("")
def index() -> Response:
    """List the owner's jobs, newest first."""
    query = _read_query()
    parts = services()
    chosen = select(Job).where(Job.owner == LOCAL_OWNER).order_by(Job.id.desc())
    if query.status:
        chosen = chosen.where(Job.status == Status(query.status))
    if query.cursor:
        chosen = chosen.where(Job.id < str(query.cursor))
    with parts.database.reading() as session:
        jobs = session.scalars(chosen.limit(query.limit + 1)).all()
        page = [job_view(session, job, parts.settings) for job in jobs[: query.limit]]
    more = len(jobs) > query.limit
    listing = JobPage(data=page, next_cursor=page[-1].id if more else None)
    return Response(listing.model_dump_json(), content_type="application/json")


@blueprint.get("/<uuid:job_id>")
def show(job_id: UUID) -> Response:
    """Show a job."""
    parts = services()
    with parts.database.reading() as session:
        view = job_view(session, find_job(session, str(job_id)), parts.settings)
    response = _answer(view)
    response.make_conditional(request)
    return response


@blueprint.post("/<uuid:job_id>/cancel")
def cancel(job_id: UUID) -> Response:
    """Cancel a job, or ask its worker to stop."""
    parts = services()
    with parts.database.writing() as session:
        job = lifecycle.cancel(session, str(job_id), LOCAL_OWNER)
        view = job_view(session, job, parts.settings)
    if view.ended:
        artifacts.discard_checkpoints(parts.database, parts.storage, view.id)
    return _answer(view)


def find_job(session: Session, job_id: str) -> Job:
    """Return the owner's job.

    Raises:
        JobNotFound: there is none, or it is another owner's.
    """
    job = session.scalar(select(Job).where(Job.id == job_id, Job.owner == LOCAL_OWNER))
    if job is None:
        raise JobNotFound(
            f"there is no job {job_id}", hint=f"GET {url_for('jobs.index')} lists yours."
        )
    return job


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: JobStatus | None = None
    limit: int = Field(20, ge=1, le=100)
    cursor: UUID | None = None


def _read_query() -> _Query:
    try:
        return _Query.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise InvalidRequest(
            [
                FieldError(pointer=f"/{item['loc'][0]}", code=item["type"], detail=item["msg"])
                for item in error.errors()
            ]
        ) from error


def _first_view(key: Key | None, parts: Services) -> JobView | None:
    """Return the job, as it is now, that was submitted under the key before, if one was."""
    if key is None:
        return None
    with parts.database.reading() as session:
        job = idempotency.first_job(session, key)
        return job_view(session, job, parts.settings) if job else None


def _record(checked: CheckedRequest, key: Key | None, parts: Services) -> JobView:
    """Store the pictures, then the rows that point at them, or nothing."""
    job_id = lifecycle.new_job_id()
    try:
        submission = _store_files(job_id, checked, parts)
        with parts.database.writing() as session:
            job = lifecycle.submit(session, submission)
            if key:
                # In one transaction: a process that is killed leaves both behind, or neither.
                idempotency.keep(session, key, job_id)
            return job_view(session, job, parts.settings)
    except DBAPIError:
        # A COMMIT may have happened although its answer was lost: the files must stay.
        raise
    except Exception:
        parts.storage.delete_all(artifacts.folder(job_id))
        raise


def _store_files(job_id: str, checked: CheckedRequest, parts: Services) -> Submission:
    """Store the pictures; return what the rows will say."""
    fields = checked.fields
    files = tuple(_store(parts, job_id, *file) for file in checked.files)
    final = schedule.plan(*checked.content.picture.image.size, fields.params)[-1]
    return Submission(
        job_id=job_id,
        owner=LOCAL_OWNER,
        params=fields.params.model_dump(mode="json"),
        estimated_bytes=least_bytes(fields.params, final),
        files=files,
        priority=fields.priority,
        metadata=fields.metadata,
    )


def _store(
    parts: Services, job_id: str, kind: ArtifactKind, place: int, upload: Upload
) -> StoredFile:
    picture = upload.picture
    return artifacts.store_picture(
        parts.storage,
        job_id,
        0,
        kind,
        upload.data,
        image_format=picture.format.lower(),
        extent=picture.image.size,
        step=place,
    )


def _accepted(view: JobView, *, replayed: bool = False) -> Response:
    response = _answer(view, 202)
    response.headers["Location"] = view.links.self
    if replayed:
        response.headers[REPLAYED] = "true"
    return response


def _answer(view: JobView, status: int = 200) -> Response:
    response = Response(view.model_dump_json(), status, content_type="application/json")
    # A queued job's place in line moves without its row changing.
    response.set_etag(f"{view.revision}.{view.progress.queue_position or 0}")
    response.headers["Cache-Control"] = "private, no-cache"
    pause = _POLL_SECONDS.get(Status(view.status))
    if pause:
        response.headers["Retry-After"] = str(pause)
    return response
