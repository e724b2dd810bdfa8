"""The tables: jobs and what hangs on them, and nothing of what is done with them.

`job.status` is written by `lifecycle` alone.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    String,
    TypeDecorator,
    Uuid,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Status(StrEnum):
    """Where a job stands; see docs/lifecycle.md for what may become what."""

    QUEUED = "queued"
    #: Leased to one worker, whose attempt is the job's `attempt`.
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Return whether the job can no longer change."""
        return self not in (Status.QUEUED, Status.RUNNING)


class ArtifactKind(StrEnum):
    """What a stored file is."""

    CONTENT = "content"
    STYLE = "style"
    #: Where on the content image the style of the same place in the order applies.
    MASK = "mask"
    SNAPSHOT = "snapshot"
    CHECKPOINT = "checkpoint"
    RESULT = "result"


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC on every database; SQLite keeps no time zone of its own."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store the moment in UTC."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment with its time zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _enum(kind: type[StrEnum]) -> Enum:
    """Keep an enum as its plain text: a new member needs no migration."""
    return Enum(kind, native_enum=False, length=16, values_callable=lambda e: [m.value for m in e])


_SERIAL = BigInteger().with_variant(Integer, "sqlite")


class Record(DeclarativeBase):
    """Base of the tables."""

    type_annotation_map = {  # noqa: RUF012 - declared so by SQLAlchemy
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(none_as_null=True),
        Status: _enum(Status),
        ArtifactKind: _enum(ArtifactKind),
    }


class Job(Record):
    """A user's request for one stylised picture."""

    __tablename__ = "job"
    __table_args__ = (
        Index("job_claim", "status", "priority", "created_at"),
        Index("job_list", "owner", "id"),
        Index("job_lease", "status", "lease_expires_at"),
        Index("job_finished", "finished_at"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    status: Mapped[Status]
    #: Rises with every change that a client can see; the ETag.
    revision: Mapped[int] = mapped_column(Integer)
    priority: Mapped[int] = mapped_column(Integer)
    labels: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    #: The job whose pictures and parameters these are; it may be gone.
    retried_from: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    params: Mapped[dict[str, Any]] = mapped_column(JSON)
    #: What the device must have free for this job.
    estimated_bytes: Mapped[int] = mapped_column(BigInteger)
    #: The weights that make the picture; known once a worker has them loaded.
    weights: Mapped[str | None] = mapped_column(String(255))
    #: The fencing token: rises at each claim, never resets.
    attempt: Mapped[int] = mapped_column(Integer)
    #: Crashes and errors so far; the retry budget counts these, not attempts.
    failures: Mapped[int] = mapped_column(Integer)
    worker: Mapped[str | None] = mapped_column(String(255))
    progress: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    #: Not to be claimed before; in the future while a retry backs off.
    due_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    lease_expires_at: Mapped[datetime | None]


class Attempt(Record):
    """One numbered try at a job."""

    __tablename__ = "attempt"

    job_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("job.id", ondelete="CASCADE"), primary_key=True
    )
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    worker: Mapped[str] = mapped_column(String(255))
    claimed_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    #: The reason of the event that ended it.
    outcome: Mapped[str | None] = mapped_column(String(32))
    error: Mapped[dict[str, Any] | None]


class Artifact(Record):
    """A stored file of a job. The row is written after the bytes are safe."""

    __tablename__ = "artifact"
    __table_args__ = (Index("artifact_job", "job_id", "kind", "step"),)

    id: Mapped[int] = mapped_column(_SERIAL, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("job.id", ondelete="CASCADE")
    )
    #: 0 for what came with the submission.
    attempt: Mapped[int] = mapped_column(Integer)
    kind: Mapped[ArtifactKind]
    #: Optimiser step of a snapshot, checkpoint or result; place in the order for a style or mask.
    step: Mapped[int] = mapped_column(Integer)
    key: Mapped[str] = mapped_column(String(255), unique=True)
    media_type: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    width: Mapped[int | None] = mapped_column(Integer)
    height: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime]


class ApiKey(Record):
    """What a client shows to be let in; the key itself is nowhere."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    #: What it is for, in its maker's words.
    name: Mapped[str] = mapped_column(String(64))
    #: What it opens, words of `keys.Scope`.
    scopes: Mapped[str] = mapped_column(String(64))
    secret_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Event(Record):
    """One change of a job's status: written with it, never changed."""

    __tablename__ = "event"
    __table_args__ = (Index("event_job", "job_id", "id"),)

    id: Mapped[int] = mapped_column(_SERIAL, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("job.id", ondelete="CASCADE")
    )
    attempt: Mapped[int] = mapped_column(Integer)
    status: Mapped[Status]
    #: submitted, claimed, succeeded, error, lease_expired, drained, cancelled.
    reason: Mapped[str] = mapped_column(String(32))
    at: Mapped[datetime]


class Loss(Record):
    """The loss of one step; a step that was made again has replaced its row."""

    __tablename__ = "loss"

    job_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("job.id", ondelete="CASCADE"), primary_key=True
    )
    step: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    #: Counts from 1.
    scale: Mapped[int] = mapped_column(Integer)
    total: Mapped[float] = mapped_column(Double)
    content: Mapped[float] = mapped_column(Double)
    style: Mapped[float] = mapped_column(Double)
    tv: Mapped[float] = mapped_column(Double)


class IdempotencyKey(Record):
    """A client's name for the submission that made a job; goes with the job, or before it."""

    __tablename__ = "idempotency"
    __table_args__ = (
        Index("idempotency_job", "job_id"),
        Index("idempotency_expiry", "expires_at"),
    )

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    job_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("job.id", ondelete="CASCADE")
    )
    #: Fingerprint of what was submitted.
    payload: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime]
