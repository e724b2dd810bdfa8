"""Records to the shapes that clients see."""

from collections.abc import Sequence
from datetime import timedelta

from flask import url_for
from sqlalchemy.orm import Session

from api.schemas import ErrorView, JobView, LinksView, ProgressView, SnapshotView
from nst_jobs import due
from nst_jobs.records import Artifact, Job, Status
from nst_jobs.settings import Settings


def job_view(session: Session, job: Job, settings: Settings) -> JobView:
    """Return a job as its owner sees it."""
    place = due.queue_position(session, job) if job.status == Status.QUEUED else None
    return job_view_of(job, settings, queue_position=place)


def job_views(session: Session, jobs: Sequence[Job], settings: Settings) -> list[JobView]:
    """Return the same for several jobs, by one query for all their places in line."""
    queued = [job.id for job in jobs if job.status == Status.QUEUED]
    places = due.queue_positions(session, queued) if queued else {}
    return [job_view_of(job, settings, queue_position=places.get(job.id)) for job in jobs]


def job_view_of(job: Job, settings: Settings, *, queue_position: int | None) -> JobView:
    """Return a job with a known place in line."""
    expires_at = job.finished_at and job.finished_at + timedelta(hours=settings.retention_hours)
    return JobView(
        id=job.id,
        status=job.status.value,
        revision=job.revision,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        expires_at=expires_at,
        cancel_requested_at=job.cancel_requested_at,
        priority=job.priority,
        metadata=job.labels,
        retried_from=job.retried_from,
        params=job.params,
        weights=job.weights,
        attempt=job.attempt,
        failures=job.failures,
        worker=job.worker if job.status == Status.RUNNING else None,
        progress=_progress(job, queue_position),
        error=ErrorView(**job.error) if job.error else None,
        links=_links(job.id),
    )


def snapshot_view(snapshot: Artifact) -> SnapshotView:
    """Return an intermediate picture's entry."""
    return SnapshotView(
        step=snapshot.step,
        width=snapshot.width or 0,
        height=snapshot.height or 0,
        created_at=snapshot.created_at,
        url=url_for("pictures.snapshot", job_id=snapshot.job_id, step=snapshot.step),
    )


def _progress(job: Job, queue_position: int | None) -> ProgressView:
    progress = ProgressView.model_validate(
        job.progress or {"total_steps": job.params.get("steps", 0)}
    )
    update: dict[str, object] = {}
    if job.status == Status.QUEUED:
        update["queue_position"] = queue_position
    if job.status != Status.RUNNING:
        update["eta_seconds"] = None
    return progress.model_copy(update=update)


def _links(job_id: str) -> LinksView:
    return LinksView(
        self=url_for("jobs.show", job_id=job_id),
        events=url_for("events.events", job_id=job_id),
        cancel=url_for("jobs.cancel", job_id=job_id),
        retry=url_for("jobs.retry", job_id=job_id),
        snapshots=url_for("pictures.snapshots", job_id=job_id),
        latest_snapshot=url_for("pictures.latest_snapshot", job_id=job_id),
        losses=url_for("losses.losses", job_id=job_id),
        result=url_for("pictures.result", job_id=job_id),
    )
