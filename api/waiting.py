"""Requests that wait: how long, and for what."""

import math
import re
import time
from collections.abc import Callable

from flask import Request

from api.errors import InvalidRequest
from api.schemas import FieldError, JobView
from api.services import Services
from api.views import job_view_of
from nst_jobs.errors import JobNotFound

MOST_SECONDS = 60
_PREFERENCE = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])")


def asked_seconds(request: Request) -> float:
    """Return how long the client lets itself be kept waiting: `?wait=`, or `Prefer: wait=`.

    Raises:
        InvalidRequest: `?wait=` is no number from 0 to 60.
    """
    given = request.args.get("wait")
    if given is None:
        preference = _PREFERENCE.search(request.headers.get("Prefer", ""))
        return min(float(preference[1]), MOST_SECONDS) if preference else 0.0
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MOST_SECONDS:
        detail = f"is no number of seconds from 0 to {MOST_SECONDS}"
        raise InvalidRequest([FieldError(pointer="/wait", code="out_of_range", detail=detail)])
    return seconds


def wait_for(
    view: JobView, settled: Callable[[JobView], bool], *, seconds: float, parts: Services
) -> JobView:
    """Return the job as soon as it is `settled`, or as it is after some seconds.

    Raises:
        TooManyWaiting: nobody else can be kept waiting here.
        JobNotFound: it was deleted meanwhile.
    """
    if not seconds or settled(view):
        return view
    give_back = parts.seats.take()
    deadline, seen = time.monotonic() + seconds, None
    try:
        with parts.watcher.watching(view.id):
            while not settled(view):
                left = deadline - time.monotonic()
                sight = parts.watcher.wait(view.id, seen, seconds=left)
                if sight is None:
                    break
                if sight.job is None:
                    raise JobNotFound(f"job {view.id} was deleted")
                seen = sight
                view = job_view_of(sight.job, parts.settings, queue_position=sight.queue_position)
    finally:
        give_back()
    return view
