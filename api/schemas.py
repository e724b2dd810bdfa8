"""The shapes that the API speaks: written by the server, read by the client, told in the docs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from nst_core.params import StyleParams

MAX_STYLES = 8
#: The content image, the styles, and a mask for each.
MAX_FILES = 1 + 2 * MAX_STYLES

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
_Key = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_Value = Annotated[str, StringConstraints(max_length=512)]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class SubmissionFields(_Shape):
    """What a submission says beside its pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    params: StyleParams = StyleParams()
    priority: int = Field(0, ge=0, le=9, description="9 is claimed first.")
    metadata: dict[_Key, _Value] = Field(
        {}, max_length=32, description="Yours to fill; given back with the job."
    )


class ScaleView(_Shape):
    """One size of the pyramid; `tiles` is in how many pieces it is computed for want of memory."""

    index: int
    count: int
    width: int
    height: int
    tiles: int = 1


class LossesView(_Shape):
    """The weighted terms of the loss."""

    total: float
    content: float
    style: float
    tv: float


class ProgressView(_Shape):
    """How far a job is; what is not known yet is null."""

    step: int = 0
    total_steps: int
    fraction: float = 0.0
    eta_seconds: float | None = None
    queue_position: int | None = None
    scale: ScaleView | None = None
    losses: LossesView | None = None
    #: Of the processor; with another number the last bits of a picture differ.
    threads: int | None = None


class ErrorView(_Shape):
    """Why a job failed, or its last attempt did."""

    code: str
    message: str
    hint: str


class LinksView(_Shape):
    """Where to go from a job."""

    self: str
    events: str
    cancel: str
    retry: str
    snapshots: str
    latest_snapshot: str
    losses: str
    result: str


class JobView(_Shape):
    """A job as clients see it."""

    id: str
    status: JobStatus
    revision: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    cancel_requested_at: datetime | None
    priority: int
    metadata: dict[str, str]
    #: The job whose pictures and parameters these are, where it was sent again.
    retried_from: str | None = None
    params: dict[str, Any]
    weights: str | None
    attempt: int
    failures: int
    worker: str | None
    progress: ProgressView
    error: ErrorView | None
    links: LinksView

    @property
    def ended(self) -> bool:
        """Whether the job can no longer change."""
        return self.status not in ("queued", "running")


class JobPage(_Shape):
    """Some jobs, newest first; `next_cursor` leads to older ones."""

    data: list[JobView]
    next_cursor: str | None


class SnapshotView(_Shape):
    """An intermediate picture."""

    step: int
    width: int
    height: int
    created_at: datetime
    url: str


class SnapshotList(_Shape):
    """The intermediate pictures of a job, by step."""

    data: list[SnapshotView]


class LossColumns(_Shape):
    """The losses of a job's steps, column by column; `scale` counts from 1."""

    step: list[int]
    total: list[float]
    content: list[float]
    style: list[float]
    tv: list[float]
    scale: list[int]


class FieldError(_Shape):
    """What is wrong with one field; `pointer` is a JSON Pointer (RFC 6901)."""

    pointer: str
    code: str
    detail: str


class Problem(_Shape):
    """An error answer (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[FieldError] = []
