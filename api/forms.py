"""A multipart form to what it gives: picture files, and text fields that are not checked yet.

Knows the form's fields; the files stay where the server spooled them until they are checked.
"""

import json
from collections.abc import Iterator
from typing import Any

from flask import Request

from api.errors import MalformedRequest
from api.schemas import FieldError
from api.submissions import TEXT_FIELDS, Blob, Given, Pictures, Role

_FILE_FIELDS = ("content", "style", "mask")


def read_form(request: Request) -> Given:
    """Return what a multipart form gives.

    Raises:
        MalformedRequest: a text field is not JSON.
    """
    errors = tuple(_unknown_fields(request))
    content, style, mask = (_role(request, name) for name in _FILE_FIELDS)
    return Given(_text_fields(request), Pictures(content, style, mask), errors)


def _unknown_fields(request: Request) -> Iterator[FieldError]:
    """Refuse fields that would otherwise be silently without effect."""
    for name in request.form.keys() - set(TEXT_FIELDS):
        if name in _FILE_FIELDS:
            detail = "is text; send it as a file, with a file name"
        else:
            detail = f"is no field; fields are {', '.join((*_FILE_FIELDS, *TEXT_FIELDS))}"
        yield FieldError(pointer=f"/{name}", code="unknown_field", detail=detail)
    for name in request.files.keys() - set(_FILE_FIELDS):
        detail = f"is no file field; {_FILE_FIELDS} are"
        yield FieldError(pointer=f"/{name}", code="unknown_field", detail=detail)


def _role(request: Request, name: str) -> Role:
    files = request.files.getlist(name)
    pointers = [f"/{name}"] if len(files) == 1 else [f"/{name}/{n}" for n in range(len(files))]
    return Role(
        f"/{name}",
        tuple(
            Blob(pointer, file.stream.read) for pointer, file in zip(pointers, files, strict=True)
        ),
    )


def _text_fields(request: Request) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for name in TEXT_FIELDS:
        given = request.form.getlist(name)
        if not given:
            continue
        if len(given) > 1 or "\N{REPLACEMENT CHARACTER}" in given[0]:
            raise MalformedRequest(f"{name} is given twice, or is not UTF-8")
        try:
            parsed[name] = json.loads(given[0])
        except (ValueError, RecursionError) as error:
            raise MalformedRequest(f"{name} is not JSON: {error}") from error
    return parsed
