"""`/v1/jobs/{id}/losses`: how the loss of a job went, step by step."""

from uuid import UUID

from flask import Blueprint, Response, request

from api.jobs import find_job
from api.queries import NoQuery, read_query
from api.schemas import LossColumns
from api.services import services
from nst_jobs.losses import loss_curve

blueprint = Blueprint("losses", __name__, url_prefix="/v1/jobs/<uuid:job_id>")

#: More than a chart has pixels; a job may have ten times as many steps.
_MOST_POINTS = 2000


@blueprint.get("/losses")
def losses(job_id: UUID) -> Response:
    """Show the losses of the steps so far, as columns."""
    read_query(NoQuery)
    with services().database.reading() as session:
        # The job first: a row that comes between the two makes the tag old, not the answer.
        job = find_job(session, str(job_id))
        response = Response(content_type="application/json")
        response.set_etag(str(job.revision))
        response.headers["Cache-Control"] = "private, no-cache"
        if request.if_none_match.contains_weak(str(job.revision)):
            response.status_code = 304
            return response
        columns = loss_curve(session, job.id, points=_MOST_POINTS)
    response.set_data(LossColumns.model_validate(columns).model_dump_json())
    return response
