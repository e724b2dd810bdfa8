"""Databases for the conformance suites: every test that takes `database` runs on both."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete

from nst_core.params import StyleParams
from nst_jobs import lifecycle
from nst_jobs.artifacts import StoredFile
from nst_jobs.database import Database
from nst_jobs.lifecycle import Claim, Submission
from nst_jobs.records import ApiKey, ArtifactKind, Job
from tests.services import postgres_url, valkey_url  # noqa: F401 - fixtures
from tests.submissions import app, http, settings  # noqa: F401 - fixtures

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def sqlite_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'nst.db'}"


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def migrated(request: pytest.FixtureRequest) -> Iterator[Database]:
    kind = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url = request.getfixturevalue(kind).replace("postgresql://", "postgresql+psycopg://")
    database = Database(url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def database(migrated: Database) -> Database:
    """An empty database with every table."""
    with migrated.writing() as session:
        session.execute(delete(Job))
        session.execute(delete(ApiKey))
    return migrated


@pytest.fixture
def submit(database: Database) -> Callable[..., str]:
    """Submit a job, by default at noon; return its id."""

    def submit(
        *,
        owner: str = "ann",
        priority: int = 0,
        estimated_bytes: int = 1000,
        seconds: float = 0,
    ) -> str:
        job_id = lifecycle.new_job_id()
        submission = Submission(
            job_id=job_id,
            owner=owner,
            params=StyleParams().model_dump(mode="json"),
            estimated_bytes=estimated_bytes,
            files=(
                StoredFile(ArtifactKind.CONTENT, f"{job_id}/c", "image/png", 1, "00"),
                StoredFile(ArtifactKind.STYLE, f"{job_id}/s", "image/png", 1, "00"),
            ),
            priority=priority,
            metadata={},
        )
        with database.writing() as session:
            lifecycle.submit(session, submission, now=NOON + timedelta(seconds=seconds))
        return job_id

    return submit


@pytest.fixture
def claim(database: Database) -> Callable[..., Claim | None]:
    """Claim the next job, by default a second after noon."""

    def claim(*, worker: str = "w1", device_bytes: int = 10**9, seconds: float = 1) -> Claim | None:
        with database.writing() as session:
            return lifecycle.claim(
                session,
                worker=worker,
                device_bytes=device_bytes,
                lease_seconds=30,
                now=NOON + timedelta(seconds=seconds),
            )

    return claim


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"
