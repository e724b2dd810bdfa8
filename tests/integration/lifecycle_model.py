"""The lifecycle in plain Python: what docs/lifecycle.md says must come of each call.

Knows no database. A call that is to be refused returns the class of the error instead of an answer.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nst_jobs.errors import Cancelled, JobNotFound, LeaseLost, NotCancellable
from nst_jobs.records import Status

_ATTEMPTS_THAT_MAY_FAIL = 3
_BACKOFF_SECONDS = (2, 4)


@dataclass
class ModelJob:
    """One job; `events` are (attempt, status, reason)."""

    id: str
    owner: str
    priority: int
    estimated_bytes: int
    created_at: datetime
    due_at: datetime
    status: Status = Status.QUEUED
    attempt: int = 0
    failures: int = 0
    worker: str | None = None
    lease_expires_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    finished_at: datetime | None = None
    checkpoint: tuple[str, int] | None = None
    snapshots: list[str] = field(default_factory=list)
    events: list[tuple[int, Status, str]] = field(default_factory=list)

    def become(self, status: Status, reason: str, now: datetime) -> Status:
        """Take a status that ends the attempt, or the job."""
        self.status, self.lease_expires_at = status, None
        self.finished_at = now if status.terminal else None
        self.log(reason)
        return status

    def log(self, reason: str) -> None:
        """Remember a change."""
        self.events.append((self.attempt, self.status, reason))


@dataclass(frozen=True)
class ModelClaim:
    """A hold on a job."""

    job_id: str
    attempt: int
    lease_seconds: float


Refused = type[Exception]


class Model:
    """Every job that there is."""

    def __init__(self) -> None:
        self.jobs: dict[str, ModelJob] = {}

    def submit(self, job: ModelJob) -> None:
        """Take in a job."""
        job.log("submitted")
        self.jobs[job.id] = job

    def claim(
        self, worker: str, device_bytes: int, lease_seconds: float, now: datetime
    ) -> ModelClaim | None:
        """Give out the next due job that fits."""
        queued = [job for job in self.jobs.values() if job.status == Status.QUEUED]
        fit = [job for job in queued if job.due_at <= now and job.estimated_bytes <= device_bytes]
        if not fit:
            return None
        job = min(fit, key=self._order)
        job.status, job.worker = Status.RUNNING, worker
        job.attempt += 1
        job.lease_expires_at = now + timedelta(seconds=lease_seconds)
        job.log("claimed")
        return ModelClaim(job.id, job.attempt, lease_seconds)

    def _order(self, job: ModelJob) -> tuple[int, int, datetime, str]:
        same_owners = [other for other in self.jobs.values() if other.owner == job.owner]
        running = sum(other.status == Status.RUNNING for other in same_owners)
        return -job.priority, running, job.created_at, job.id

    def held(self, claim: ModelClaim) -> ModelJob | None:
        """Return the job while it is the claim's."""
        job = self.jobs.get(claim.job_id)
        if job is None or (job.status, job.attempt) != (Status.RUNNING, claim.attempt):
            return None
        return job

    def renew(self, claim: ModelClaim, now: datetime) -> bool | Refused:
        """Extend the lease; whether a cancel was asked for."""
        job = self.held(claim)
        if job is None:
            return LeaseLost
        job.lease_expires_at = now + timedelta(seconds=claim.lease_seconds)
        return job.cancel_requested_at is not None

    def add_snapshot(self, claim: ModelClaim, key: str) -> Refused | None:
        """Point at a snapshot."""
        job = self.held(claim)
        if job is None:
            return LeaseLost
        job.snapshots.append(key)
        return None

    def replace_checkpoint(self, claim: ModelClaim, key: str, step: int) -> list[str] | Refused:
        """Point at a newer checkpoint; the key of the older."""
        job = self.held(claim)
        if job is None:
            return LeaseLost
        older, job.checkpoint = job.checkpoint, (key, step)
        return [older[0]] if older else []

    def succeed(self, claim: ModelClaim, now: datetime) -> Refused | None:
        """End with a result."""
        job = self.held(claim)
        if job is None:
            return LeaseLost
        if job.cancel_requested_at is not None:
            return Cancelled
        job.become(Status.SUCCEEDED, "succeeded", now)
        return None

    def fail(
        self, claim: ModelClaim, now: datetime, *, retryable: bool, reason: str = "error"
    ) -> Status | Refused:
        """Queue it again or end it."""
        job = self.held(claim)
        if job is None:
            return LeaseLost
        if job.cancel_requested_at is not None:
            return job.become(Status.CANCELLED, "cancelled", now)
        job.failures += 1
        if not retryable or job.failures == _ATTEMPTS_THAT_MAY_FAIL:
            return job.become(Status.FAILED, reason, now)
        pause = _BACKOFF_SECONDS[job.failures - 1] if reason == "error" else 0
        job.due_at = now + timedelta(seconds=pause)
        return job.become(Status.QUEUED, reason, now)

    def release(self, claim: ModelClaim, now: datetime) -> Status | Refused:
        """Queue it again, unpunished."""
        job = self.held(claim)
        if job is None:
            return LeaseLost
        if job.cancel_requested_at is not None:
            return job.become(Status.CANCELLED, "cancelled", now)
        job.due_at = now
        return job.become(Status.QUEUED, "drained", now)

    def finish_cancelled(self, claim: ModelClaim, now: datetime) -> Refused | None:
        """End it as cancelled."""
        job = self.held(claim)
        if job is None:
            return LeaseLost
        job.become(Status.CANCELLED, "cancelled", now)
        return None

    def cancel(self, job_id: str, owner: str, now: datetime) -> Status | Refused:
        """End a queued job, ask a running one to stop."""
        job = self.jobs.get(job_id)
        if job is None or job.owner != owner:
            return JobNotFound
        if job.status in (Status.SUCCEEDED, Status.FAILED):
            return NotCancellable
        if job.cancel_requested_at is None and job.status != Status.CANCELLED:
            job.cancel_requested_at = now
            if job.status == Status.QUEUED:
                job.become(Status.CANCELLED, "cancelled", now)
        return job.status

    def reclaim(self, now: datetime) -> dict[str, Status | Refused]:
        """Take back what is held by claims that have expired."""
        expired = [
            job for job in self.jobs.values() if job.lease_expires_at and job.lease_expires_at < now
        ]
        return {
            job.id: self.fail(
                ModelClaim(job.id, job.attempt, 0), now, retryable=True, reason="lease_expired"
            )
            for job in expired
        }

    def forget(self, retention_hours: float, now: datetime) -> set[str]:
        """Drop what ended long ago."""
        before = now - timedelta(hours=retention_hours)
        gone = {
            job.id for job in self.jobs.values() if job.finished_at and job.finished_at < before
        }
        for job_id in gone:
            del self.jobs[job_id]
        return gone
