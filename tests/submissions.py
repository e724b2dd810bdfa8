"""Submissions over HTTP, and what they leave behind: an app on the database of the test."""

import gc
import io
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from api.app import create_app
from nst_core.params import StyleParams
from nst_jobs import idempotency, lifecycle
from nst_jobs.database import Database, database_now
from nst_jobs.idempotency import Key
from nst_jobs.lifecycle import Submission
from nst_jobs.records import IdempotencyKey, Job
from nst_jobs.settings import Settings
from tests.pictures import saved, scene

PHOTO = saved(scene(), "PNG")
SKY, FIELD = saved(scene(40, 40), "PNG"), saved(scene(32, 48), "JPEG")
MASK = saved(scene(), "BMP")


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str, database: Database) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        broker_url=valkey_url,
        database_url=database.url,
        max_upload_mb=1,
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    yield app
    app.extensions["nst"].close()
    with warnings.catch_warnings():  # temporary files that werkzeug's test client leaves open
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def http(app: Flask) -> FlaskClient:
    return app.test_client()


def post(
    http: FlaskClient,
    key: str | None = "k1",
    *,
    content: bytes = PHOTO,
    styles: tuple[bytes, ...] = (SKY, FIELD),
    masks: tuple[bytes, ...] = (),
    **fields: str,
) -> TestResponse:
    data = {
        "content": (io.BytesIO(content), "content"),
        "style": [(io.BytesIO(style), "style") for style in styles],
        "mask": [(io.BytesIO(mask), "mask") for mask in masks],
        **fields,
    }
    headers = {} if key is None else {"Idempotency-Key": key}
    return http.post("/v1/jobs", data=data, content_type="multipart/form-data", headers=headers)


def count(app: Flask, table: type = Job) -> int:
    with app.extensions["nst"].database.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


def folders(settings: Settings) -> set[str]:
    """Return the jobs that have files."""
    files = (settings.data_dir / "files").rglob("*")
    return {path.parent.parent.name for path in files if path.is_file()}


def job_ids(app: Flask) -> list[str]:
    with app.extensions["nst"].database.reading() as session:
        return list(session.scalars(select(Job.id).order_by(Job.id)))


def expire(app: Flask) -> None:
    """End the time of every key."""
    with app.extensions["nst"].database.writing() as session:
        session.execute(update(IdempotencyKey).values(expires_at=database_now(session)))


def record(database: Database, key: Key, *, now: datetime | None = None) -> str:
    """Record a job under a key, past HTTP; return its id."""
    with database.writing() as session:
        return record_in(session, key, now=now)


def record_in(session: Session, key: Key, *, now: datetime | None = None) -> str:
    submission = Submission(
        job_id=lifecycle.new_job_id(),
        owner=key.owner,
        params=StyleParams().model_dump(mode="json"),
        estimated_bytes=1000,
        files=(),
        priority=0,
        metadata={},
    )
    job_id = lifecycle.submit(session, submission, now=now).id
    idempotency.keep(session, key, job_id, now=now)
    return job_id
