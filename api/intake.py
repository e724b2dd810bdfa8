"""A request of either type of body to what it gives, and how many may hold theirs at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Request

from api.bodies import read_body
from api.errors import UnsupportedBody
from api.forms import read_form
from api.services import Services
from api.sources import Sources
from api.submissions import Given


@contextmanager
def taken_in(request: Request, owner: str, parts: Services) -> Iterator[Given]:
    """Hold what a submission's body gives.

    A form's files wait on disk; a JSON body's are in memory and may have to be fetched, so only so
    many are held at once, and slow URLs keep no form waiting.

    Raises:
        UnsupportedBody: it is neither multipart/form-data nor application/json.
        MalformedRequest: it cannot be read.
    """
    if request.mimetype == "multipart/form-data":
        yield read_form(request)
        return
    if request.mimetype != "application/json":
        raise UnsupportedBody(
            f"the body is {request.mimetype or 'of no type'}",
            hint="Send multipart/form-data with the files `content` and `style`, "
            "or application/json with `content` and `styles`.",
        )
    with parts.collecting:
        yield read_body(request, _sources(owner, parts))


def _sources(owner: str, parts: Services) -> Sources:
    return Sources(
        owner, parts.database, parts.storage, parts.fetcher, parts.settings.max_upload_bytes
    )
