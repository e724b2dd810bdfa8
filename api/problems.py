"""Errors to answers: every failure leaves as an RFC 9457 problem document.

The one place that catches; views raise.
"""

import structlog
from flask import Flask, Response, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from api.errors import InvalidRequest, Unauthorized
from api.schemas import FieldError, Problem
from nst_core.errors import NstError
from nst_jobs.errors import IdempotencyKeyInUse, ResultNotReady, TooManyJobs

_RETRY_SECONDS = 5
_HTTP_CODES = {
    400: "malformed_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
}

logger = structlog.get_logger(__name__)


def register(app: Flask) -> None:
    """Turn whatever a view raises into a problem document."""
    app.register_error_handler(NstError, _known)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(DBAPIError, _database)
    app.register_error_handler(NoConnectionLeft, _database)
    app.register_error_handler(Exception, _unexpected)


def _known(error: NstError) -> Response:
    fields = error.fields if isinstance(error, InvalidRequest) else []
    detail = f"{error.message}. {error.hint}" if error.hint else error.message
    response = _answer(error.status, error.code, detail, fields)
    if error.status == 503 or _passes(error):
        response.headers["Retry-After"] = str(_RETRY_SECONDS)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = 'Bearer realm="nst-server"'
    return response


def _passes(error: NstError) -> bool:
    """Return whether the same request will be answered otherwise in a while."""
    if isinstance(error, ResultNotReady):
        return error.expected
    return isinstance(error, IdempotencyKeyInUse | TooManyJobs)


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    detail = error.description or error.name
    if isinstance(error, RequestEntityTooLarge):
        detail = _too_large()
    response = _answer(status, _HTTP_CODES.get(status, "http_error"), detail)
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after", "content-range"):
            response.headers[name] = value
    return response


def _too_large() -> str:
    limit = request.max_content_length or 0
    if (request.content_length or 0) > limit:
        return f"The request is larger than {limit // 2**20} MiB. Send smaller pictures."
    return "A text field is too long, or there are too many fields."


def _database(error: DBAPIError | NoConnectionLeft) -> Response:
    logger.error("database_failed", path=request.path, error=str(error))
    response = _answer(
        503, "database_unavailable", "The database does not answer. Try again in a moment."
    )
    response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response


def _unexpected(error: Exception) -> Response:
    logger.error("request_failed", path=request.path, exc_info=error)
    return _answer(500, "internal_error", "The server failed; its log has the story.")


def _answer(
    status: int, code: str, detail: str, fields: list[FieldError] | None = None
) -> Response:
    problem = Problem(
        type=f"urn:nst-server:problem:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        instance=request.path,
        code=code,
        errors=fields or [],
    )
    return Response(
        problem.model_dump_json(), status=status, content_type="application/problem+json"
    )
