"""`Idempotency-Key`: a client's name for a submission, as the header has it, and what it names.

Knows the header and what counts as the same submission; `nst_jobs.idempotency` keeps the keys.
"""

import hashlib
import json
import re

from flask import Request

from api.errors import MalformedRequest
from api.submissions import CheckedRequest

HEADER = "Idempotency-Key"
#: On an answer that is the first one again.
REPLAYED = "Idempotency-Replayed"

_LONGEST = 255
#: A string of RFC 9651; bare, it is printable ASCII without quotation marks.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE = re.compile(r"[ !#-~]+")
_ESCAPED = re.compile(r'\\(["\\])')


def read_key(request: Request) -> str | None:
    """Return the key that the client gives the request, without its quotation marks, if any.

    Raises:
        MalformedRequest: it is no key.
    """
    given = request.headers.get(HEADER)
    if given is None:
        return None
    quoted = _QUOTED.fullmatch(given)
    if quoted is None and not _BARE.fullmatch(given):
        raise _malformed("is empty, not ASCII, or has a stray quotation mark")
    key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else given
    if not 1 <= len(key) <= _LONGEST:
        raise _malformed(f"has {len(key)} characters")
    return key


def fingerprint(checked: CheckedRequest) -> str:
    """Return what is equal for equal submissions: of the fields as checked and the files' bytes.

    The body itself will not do: a form's boundary differs from request to request.
    """
    fields = checked.fields
    payload = {
        # Without defaults, so that a release that adds a parameter does not tell a retry apart.
        "params": fields.params.model_dump(mode="json", exclude_defaults=True),
        "priority": fields.priority,
        "metadata": fields.metadata,
        "files": [
            (kind, place, hashlib.sha256(upload.data).hexdigest())
            for kind, place, upload in checked.files
        ],
    }
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()


def fingerprint_of_retry(job_id: str) -> str:
    """Return what is equal for equal retries."""
    return hashlib.sha256(f"retry {job_id}".encode()).hexdigest()


def _malformed(what: str) -> MalformedRequest:
    return MalformedRequest(
        f"the header {HEADER} {what}",
        hint=f"Send 1 to {_LONGEST} characters of ASCII, a UUID for one, quoted or bare.",
    )
