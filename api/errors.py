"""The error tree of the API, a branch of the engine's.

NstError
├── MalformedRequest     the request cannot be read at all
├── Unauthorized         no key, or none that is known
├── NotAllowed           the key does not open this
├── UnsupportedBody      a body of a type that the call does not take
├── InvalidBase64        a picture in a JSON body is not base64
├── UrlNotAllowed        a picture's URL is of a kind that is not fetched
├── UrlUnreachable       a picture's URL does not lead to a file
├── SourceNotFound       a picture is to come from a job that does not exist
├── SourceNotReady       a picture is to come from a job that has no result
└── InvalidRequest       well-formed, but fields have bad values; `fields` says which
"""

from collections.abc import Sequence

from api.schemas import FieldError
from nst_core.errors import BadInput


class MalformedRequest(BadInput):
    """The request cannot be read."""

    code = "malformed_request"
    status = 400


class Unauthorized(BadInput):
    """The request has no key, or none that is known."""

    code = "unauthorized"
    status = 401


class NotAllowed(BadInput):
    """The key does not open what was asked for."""

    code = "not_allowed"
    status = 403


class UnsupportedBody(BadInput):
    """The body is of a type that the call does not take."""

    code = "unsupported_media_type"
    status = 415


class InvalidBase64(BadInput):
    """A picture in a JSON body is not base64."""

    code = "invalid_base64"


class UrlNotAllowed(BadInput):
    """A picture's URL is not https, or leads to an address that is not public."""

    code = "url_not_allowed"


class UrlUnreachable(BadInput):
    """A picture's URL does not answer in time, or not with a file."""

    code = "url_unreachable"


class SourceNotFound(BadInput):
    """A picture is to be the result of a job that does not exist, or is another owner's."""

    code = "job_not_found"


class SourceNotReady(BadInput):
    """A picture is to be the result of a job that has none."""

    code = "result_not_ready"


class InvalidRequest(BadInput):
    """Fields have values that cannot be used; the first field's code speaks for all."""

    def __init__(self, fields: Sequence[FieldError], *, status: int = 422) -> None:
        super().__init__("; ".join(f"{field.pointer}: {field.detail}" for field in fields))
        self.fields = list(fields)
        self.code = fields[0].code
        self.status = status
