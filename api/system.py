"""What is not about one job: the parameters' schema, the probes and the front page."""

from collections.abc import Callable
from importlib.metadata import version

import structlog
from flask import Blueprint, Response, jsonify, url_for
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.services import Services, services
from nst_core.params import PRESETS, StyleParams
from nst_jobs.errors import StorageError
from nst_jobs.queue import BROKER_ERRORS

blueprint = Blueprint("system", __name__)

logger = structlog.get_logger(__name__)


@blueprint.get("/")
def front() -> Response:
    """Say what this is and where to go."""
    return jsonify(
        name="nst-server",
        version=version("nst-server"),
        links={
            "jobs": url_for("jobs.index"),
            "params": url_for("system.params_schema"),
            "ready": url_for("system.readyz"),
        },
    )


@blueprint.get("/v1/params/schema")
def params_schema() -> Response:
    """Show the JSON Schema of a job's parameters, with the presets' values."""
    return jsonify({**StyleParams.model_json_schema(), "x-presets": PRESETS})


@blueprint.get("/livez")
def livez() -> Response:
    """Say that the process answers; checks nothing, so that a slow part restarts no API."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> Response:
    """Say whether jobs can be taken; a broker that is down only delays them."""
    checks = {name: check(services()) for name, check in CHECKS.items()}
    failed = {name for name, outcome in checks.items() if outcome != "ok"}
    status = "unavailable" if failed - {"broker"} else "degraded" if failed else "ok"
    response = jsonify(status=status, checks=checks)
    response.status_code = 503 if status == "unavailable" else 200
    return response


def check_database(parts: Services) -> str:
    """Return `ok`, or why the database cannot be used."""
    try:
        with parts.database.reading() as session:
            session.execute(text("SELECT 1 FROM job LIMIT 1"))
    except SQLAlchemyError as error:
        logger.warning("database_check_failed", error=str(error))
        return "the database does not answer, or `nst migrate` has not been run"
    return "ok"


def check_broker(parts: Services) -> str:
    """Return `ok`, or why the broker cannot be used."""
    try:
        parts.queue.depth()
    except BROKER_ERRORS as error:
        logger.warning("broker_check_failed", error=str(error))
        return "the broker does not answer; jobs are kept and start when it is back"
    return "ok"


def check_storage(parts: Services) -> str:
    """Return `ok`, or why files cannot be stored."""
    try:
        parts.storage.check()
    except StorageError as error:
        logger.warning("storage_check_failed", error=error.message)
        return "files cannot be stored"
    return "ok"


CHECKS: dict[str, Callable[[Services], str]] = {
    "database": check_database,
    "broker": check_broker,
    "storage": check_storage,
}
