"""`/v1/jobs`: submit, look, list, cancel."""

from collections.abc import Callable
from uuid import UUID

from flask import Blueprint, Response, request, url_for
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.access import owner
from api.idempotency import REPLAYED, fingerprint, fingerprint_of_retry, read_key
from api.intake import taken_in
from api.queries import read_query
from api.recording import record, record_again
from api.schemas import JobPage, JobStatus, JobView
from api.services import Services, services
from api.submissions import check_submission
from api.views import job_view, job_views
from api.waiting import asked_seconds, wait_for
from nst_jobs import artifacts, idempotency, lifecycle
from nst_jobs.errors import IdempotencyKeyInUse, JobNotEnded, JobNotFound, TooManyWaiting
from nst_jobs.idempotency import Key
from nst_jobs.records import Job, Status

blueprint = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

_POLL_SECONDS = {Status.QUEUED: 2, Status.RUNNING: 1}


@blueprint.post("")
def submit() -> Response:
    """Record a job; 202 leaves only after the commit."""
    parts = services()
    name, seconds = read_key(request), asked_seconds(request)
    with taken_in(request, owner(), parts) as given, parts.decoding:
        checked = check_submission(given, parts.settings)
        key = Key(owner(), name, fingerprint(checked)) if name else None
        view, replayed = _once(key, lambda: record(checked, key, parts), parts)
    return _accepted(view, seconds, parts, replayed=replayed)


@blueprint.post("/<uuid:job_id>/retry")
def retry(job_id: UUID) -> Response:
    """Record a new job with the pictures and parameters of one that has ended."""
    parts = services()
    name, seconds = read_key(request), asked_seconds(request)
    with parts.database.reading() as session:
        job = find_job(session, str(job_id))
    if not job.status.terminal:
        raise JobNotEnded(f"job {job.id} is still {job.status}", hint="Wait, or cancel it first.")
    key = Key(owner(), name, fingerprint_of_retry(job.id)) if name else None
    view, replayed = _once(key, lambda: record_again(job, key, parts), parts)
    return _accepted(view, seconds, parts, replayed=replayed)


@blueprint.get("")
def index() -> Response:
    """List the owner's jobs, newest first."""
    query = read_query(_Query)
    parts = services()
    chosen = select(Job).where(Job.owner == owner()).order_by(Job.id.desc())
    if query.status:
        chosen = chosen.where(Job.status == Status(query.status))
    if query.cursor:
        chosen = chosen.where(Job.id < str(query.cursor))
    with parts.database.reading() as session:
        jobs = session.scalars(chosen.limit(query.limit + 1)).all()
        page = job_views(session, jobs[: query.limit], parts.settings)
    more = len(jobs) > query.limit
    listing = JobPage(data=page, next_cursor=page[-1].id if more else None)
    return Response(listing.model_dump_json(), content_type="application/json")


@blueprint.get("/<uuid:job_id>")
def show(job_id: UUID) -> Response:
    """Show a job; with `?wait=` once it has changed from `If-None-Match`, or has ended."""
    parts = services()
    seconds = asked_seconds(request)
    with parts.database.reading() as session:
        view = job_view(session, find_job(session, str(job_id)), parts.settings)
    response = _answer(wait_for(view, _has_news, seconds=seconds, parts=parts))
    response.make_conditional(request)
    return response


@blueprint.post("/<uuid:job_id>/cancel")
def cancel(job_id: UUID) -> Response:
    """Cancel a job, or ask its worker to stop."""
    parts = services()
    with parts.database.writing() as session:
        job = lifecycle.cancel(session, str(job_id), owner())
        view = job_view(session, job, parts.settings)
    if view.ended:
        artifacts.discard_checkpoints(parts.database, parts.storage, view.id)
    return _answer(view)


@blueprint.delete("/<uuid:job_id>")
def delete(job_id: UUID) -> Response:
    """Delete a job that does not run, with all its pictures."""
    parts = services()
    with parts.database.writing() as session:
        lifecycle.delete(session, str(job_id), owner())
    parts.storage.delete_all(artifacts.folder(str(job_id)))
    return Response(status=204)


def find_job(session: Session, job_id: str) -> Job:
    """Return the owner's job.

    Raises:
        JobNotFound: there is none, or it is another owner's.
    """
    job = session.scalar(select(Job).where(Job.id == job_id, Job.owner == owner()))
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


def _first_view(key: Key | None, parts: Services) -> JobView | None:
    """Return the job, as it is now, that was submitted under the key before, if one was."""
    if key is None:
        return None
    with parts.database.reading() as session:
        job = idempotency.first_job(session, key)
        return job_view(session, job, parts.settings) if job else None


def _once(key: Key | None, make: Callable[[], JobView], parts: Services) -> tuple[JobView, bool]:
    """Record a job; return it, or the one recorded under the key before, and whether it was."""
    first = _first_view(key, parts)
    if first:
        return first, True
    try:
        view = make()
    except IdempotencyKeyInUse:
        first = _first_view(key, parts)
        if first is None:
            raise
        return first, True
    # A wake-up that is not heard costs some seconds, never the job: the sweeper repeats it.
    parts.queue.wake()
    return view, False


def _has_news(view: JobView) -> bool:
    if view.ended or not request.if_none_match:
        return view.ended
    return not request.if_none_match.contains_weak(_etag(view))


def _accepted(
    view: JobView, seconds: float, parts: Services, *, replayed: bool = False
) -> Response:
    """Answer with a job that was recorded, at once or when it has ended."""
    try:
        view = wait_for(view, lambda seen: seen.ended, seconds=seconds, parts=parts)
    except (TooManyWaiting, JobNotFound):  # it was recorded all the same
        seconds = 0
    response = _answer(view, 202)
    if seconds:
        response.headers["Preference-Applied"] = f"wait={seconds:.0f}"
    response.headers["Location"] = view.links.self
    if replayed:
        response.headers[REPLAYED] = "true"
    return response


def _answer(view: JobView, status: int = 200) -> Response:
    response = Response(view.model_dump_json(), status, content_type="application/json")
    response.set_etag(_etag(view))
    response.headers["Cache-Control"] = "private, no-cache"
    pause = _POLL_SECONDS.get(Status(view.status))
    if pause:
        response.headers["Retry-After"] = str(pause)
    return response


def _etag(view: JobView) -> str:
    # A queued job's place in line moves without its row changing.
    return f"{view.revision}.{view.progress.queue_position or 0}"
