"""From a checked submission to a job: the pictures first, then the rows that point at them.

Owns the order, and what stays when it breaks off in between.
"""

from collections.abc import Callable

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from api.access import owner
from api.schemas import JobView
from api.services import Services
from api.submissions import CheckedRequest, Upload
from api.views import job_view
from nst_core import schedule
from nst_core.estimate import least_bytes
from nst_jobs import artifacts, due, idempotency, lifecycle
from nst_jobs.artifacts import StoredFile
from nst_jobs.errors import TooManyJobs
from nst_jobs.idempotency import Key
from nst_jobs.lifecycle import Submission
from nst_jobs.records import ArtifactKind, Job


def record(checked: CheckedRequest, key: Key | None, parts: Services) -> JobView:
    """Record a submission, and under which key it was made.

    Raises:
        IdempotencyKeyInUse: another request has the key.
    """

    def prepare(job_id: str) -> Submission:
        fields = checked.fields
        final = schedule.plan(*checked.content.picture.image.size, fields.params)[-1]
        return Submission(
            job_id=job_id,
            owner=owner(),
            params=fields.params.model_dump(mode="json"),
            estimated_bytes=least_bytes(fields.params, final),
            files=tuple(_store(parts, job_id, *file) for file in checked.files),
            priority=fields.priority,
            metadata=fields.metadata,
        )

    return _recorded(prepare, key, parts)


def record_again(job: Job, key: Key | None, parts: Services) -> JobView:
    """Record a new job with the pictures and parameters of one that has ended."""
    with parts.database.reading() as session:
        inputs = artifacts.inputs(session, job.id)

    def prepare(job_id: str) -> Submission:
        files = (inputs.content, *inputs.styles, *inputs.masks)
        return Submission(
            job_id=job_id,
            owner=job.owner,
            params=job.params,
            estimated_bytes=job.estimated_bytes,
            files=tuple(artifacts.copy_input(parts.storage, job_id, file) for file in files),
            priority=job.priority,
            metadata=job.labels,
            retried_from=job.id,
        )

    return _recorded(prepare, key, parts)


def _recorded(prepare: Callable[[str], Submission], key: Key | None, parts: Services) -> JobView:
    job_id = lifecycle.new_job_id()
    try:
        submission = prepare(job_id)
        with parts.database.writing() as session:
            _check_room(session, submission.owner, parts.settings.max_queued)
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


def _check_room(session: Session, owner: str, most: int) -> None:
    """Check that an owner may have another job in the queue.

    Raises:
        TooManyJobs: there are as many as one may have.
    """
    if due.count_queued(session, owner) >= most:
        raise TooManyJobs(
            f"{most} of your jobs are queued already", hint="Wait until some have been run."
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
