"""`Sources`: where the pictures of a JSON body come from: the body, a URL, another job.

Owns the ways to bytes and their limits; decodes no picture.
"""

import base64
import binascii
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from sqlalchemy import select

from api.errors import InvalidBase64, SourceNotFound, SourceNotReady
from api.fetching import Fetcher
from nst_core.errors import FileTooLarge
from nst_jobs import artifacts
from nst_jobs.database import Database
from nst_jobs.records import Job, Status
from nst_jobs.storage import Storage

_FETCHED_AT_ONCE = 4
_DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
_SPACE = str.maketrans("", "", " \t\r\n")

#: Returns a picture's bytes, or raises why there are none.
Read = Callable[[], bytes]


@dataclass(frozen=True)
class Sources:
    """Pictures as far as one owner may have them."""

    owner: str
    database: Database
    storage: Storage
    fetcher: Fetcher
    max_bytes: int

    def reads(self, sources: Sequence[tuple[str, str]]) -> list[Read]:
        """Return a way to the bytes of each (kind, value), once every URL has answered.

        They have the fetcher's time together: a submission holds its place no longer.
        """
        deadline = time.monotonic() + self.fetcher.seconds
        fetch = partial(self.fetcher.fetch, max_bytes=self.max_bytes, deadline=deadline)
        ways: dict[str, Callable[[str], bytes]] = {"data": self._decoded, "job": self._result}
        with ThreadPoolExecutor(_FETCHED_AT_ONCE) as pool:
            return [
                pool.submit(fetch, value).result if kind == "url" else partial(ways[kind], value)
                for kind, value in sources
            ]

    def _decoded(self, text: str) -> bytes:
        """Return the bytes that a data URL, or bare base64, stands for."""
        bare = _DATA_URL.sub("", text, count=1) if text[:5].lower() == "data:" else text
        bare = bare.translate(_SPACE)
        if len(bare) * 3 // 4 - 2 > self.max_bytes:
            raise FileTooLarge(
                f"the file has more than {self.max_bytes:,} bytes",
                hint="Make the picture smaller, or save it as JPEG.",
            )
        try:
            return base64.b64decode(bare, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidBase64(
                f"this is not base64: {error}",
                hint="Give data:image/png;base64, and the file in base64, or the latter alone.",
            ) from error

    def _result(self, job_id: str) -> bytes:
        """Return the result picture of another job of the owner."""
        with self.database.reading() as session:
            job = session.scalar(select(Job).where(Job.id == job_id, Job.owner == self.owner))
            if job is None:
                raise SourceNotFound(f"there is no job {job_id}", hint="GET /v1/jobs lists yours.")
            result = artifacts.result(session, job.id)
            if job.status != Status.SUCCEEDED or result is None:
                raise _not_ready(job)
            key = result.key
        return self.storage.get(key)


def _not_ready(job: Job) -> SourceNotReady:
    hint = "Take a job that has succeeded." if job.status.terminal else "Wait until it has."
    return SourceNotReady(f"job {job.id} is {job.status}; it has not succeeded", hint=hint)
