"""What becomes of a job after a failure: how often again, how soon, and what its error says.

Pure decisions; `lifecycle` acts on them.
"""

from datetime import timedelta

from nst_core.errors import NstError
from nst_jobs.errors import RetriesExhausted

MAX_FAILURES = 3
BACKOFF_SECONDS = 2.0


def backoff(failures: int) -> timedelta:
    """Return the pause after the given number of failures."""
    return timedelta(seconds=BACKOFF_SECONDS * 2 ** (failures - 1))


def exhausted(last: NstError) -> RetriesExhausted:
    """Return the error of a job whose every attempt failed, with the last cause in it."""
    return RetriesExhausted(
        f"{MAX_FAILURES} attempts failed, the last with {last.code}: {last.message}",
        hint=last.hint or "See the worker's log, mend the cause and submit the job again.",
    )


def as_json(error: NstError) -> dict[str, str]:
    """Return an error as a job shows it."""
    return {"code": error.code, "message": error.message, "hint": error.hint}
