"""The error tree of the job library, a branch of the engine's.

NstError
├── JobNotFound          no such job, or another owner's
├── IdempotencyKeyReused the key was used for another submission
├── IdempotencyKeyInUse  another request with the key is being recorded
├── NotCancellable       the job has already succeeded or failed
├── JobNotEnded          what was asked for needs a job that has ended
├── TooManyWaiting       this process can keep nobody else waiting
├── KeyNotFound          no such API key
├── TooManyJobs          the owner has as many jobs queued as one may
├── ResultNotReady       the job has no result yet, or will never have one
├── SnapshotNotFound     no intermediate picture of that step
├── StorageError         the file store could not be read or written
│   └── FileMissing      it has no such file
├── Stalled              an attempt made no step for too long
├── RetriesExhausted     the attempts are used up
├── InvalidSettings      an NST_… variable has a value that cannot be used
└── Interrupted          why an attempt stops without a result; never shown to a client
    ├── LeaseLost        another attempt owns the job: touch nothing
    ├── Cancelled        somebody asked for it
    └── Draining         this worker is to stop
"""

from nst_core.errors import NstError


class JobNotFound(NstError):
    """There is no such job for this owner."""

    code = "job_not_found"
    status = 404
    retryable = False


class IdempotencyKeyReused(NstError):
    """An idempotency key was already used for another submission."""

    code = "idempotency_key_reused"
    status = 422
    retryable = False


class IdempotencyKeyInUse(NstError):
    """Another request with the same idempotency key is being recorded at this moment."""

    code = "idempotency_key_in_use"
    status = 409


class NotCancellable(NstError):
    """A job that has succeeded or failed can no longer be cancelled."""

    code = "not_cancellable"
    status = 409
    retryable = False


class JobNotEnded(NstError):
    """What was asked for is possible with a job that has ended."""

    code = "job_not_ended"
    status = 409
    retryable = False


class TooManyWaiting(NstError):
    """So many requests wait here that another would leave too few threads to answer."""

    code = "too_many_waiting"
    status = 503


class KeyNotFound(NstError):
    """There is no such API key."""

    code = "key_not_found"
    status = 404
    retryable = False


class TooManyJobs(NstError):
    """The owner has as many jobs in the queue as one owner may."""

    code = "too_many_jobs"
    status = 429


class ResultNotReady(NstError):
    """The job has no result; `expected` says whether it may still get one."""

    code = "result_not_ready"
    status = 404
    retryable = False

    def __init__(self, message: str, *, hint: str = "", expected: bool) -> None:
        super().__init__(message, hint=hint)
        self.expected = expected


class SnapshotNotFound(NstError):
    """The job has no snapshot of that step (yet)."""

    code = "snapshot_not_found"
    status = 404
    retryable = False


class StorageError(NstError):
    """A file could not be stored or read."""

    code = "storage_unavailable"
    status = 503


class FileMissing(StorageError):
    """The file store answers, and has no such file."""


class Stalled(NstError):
    """An attempt hung: no step came for too long."""

    code = "stalled"


class RetriesExhausted(NstError):
    """Every attempt that the job was allowed has failed."""

    code = "retries_exhausted"
    retryable = False


class InvalidSettings(NstError):
    """An environment variable has a value that cannot be used."""

    code = "invalid_settings"
    retryable = False


class Interrupted(NstError):
    """An attempt stops without a result."""

    code = "interrupted"


class LeaseLost(Interrupted):
    """The job is no longer this attempt's; whatever it still writes would be a zombie's."""


class Cancelled(Interrupted):
    """The job's owner asked for it to stop."""


class Draining(Interrupted):
    """The worker was told to stop; the job goes back to the queue."""
