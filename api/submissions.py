"""A multipart request to a checked submission: every bad field is named, not only the first.

Knows the form's fields and their limits; stores and records nothing.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Request
from pydantic import ValidationError
from werkzeug.datastructures import FileStorage

from api.errors import InvalidRequest, MalformedRequest, UnsupportedBody
from api.schemas import MAX_STYLES, FieldError, SubmissionFields
from nst_core.errors import BadInput, InvalidMask, InvalidParams
from nst_core.images import Limits, Picture, read_image
from nst_core.masks import check_mask_count, check_mask_shape, read_mask
from nst_core.params import StyleParams
from nst_jobs.records import ArtifactKind
from nst_jobs.settings import Settings

_TEXT_FIELDS = ("params", "priority", "metadata")
_FILE_FIELDS = ("content", "style", "mask")


@dataclass(frozen=True)
class Upload:
    """A file as it came, with what it turned out to be."""

    data: bytes
    picture: Picture


@dataclass(frozen=True)
class CheckedRequest:
    """A submission whose every field has been found good."""

    content: Upload
    styles: tuple[Upload, ...]
    #: One for each style, or none.
    masks: tuple[Upload, ...]
    fields: SubmissionFields

    @property
    def files(self) -> list[tuple[ArtifactKind, int, Upload]]:
        """Every file with its role and its place in the order."""
        roles = (
            (ArtifactKind.CONTENT, (self.content,)),
            (ArtifactKind.STYLE, self.styles),
            (ArtifactKind.MASK, self.masks),
        )
        return [(kind, place, file) for kind, files in roles for place, file in enumerate(files)]


def read_submission(request: Request, settings: Settings) -> CheckedRequest:
    """Read and check a submission.

    Raises:
        UnsupportedBody: it is not multipart/form-data.
        MalformedRequest: a text field is not JSON.
        InvalidRequest: fields are missing, unknown or have bad values.
    """
    if request.mimetype != "multipart/form-data":
        raise UnsupportedBody(
            f"the body is {request.mimetype or 'of no type'}",
            hint="Send multipart/form-data with the files `content` and `style`.",
        )
    check = _Check()
    check.known_fields(request)
    fields = check.text_fields(request)
    limits = Limits(
        max_bytes=settings.max_upload_bytes, max_pixels=settings.max_megapixels * 1_000_000
    )
    contents = check.pictures(request, "content", most=1, limits=limits)
    styles = check.pictures(request, "style", most=MAX_STYLES, limits=limits)
    masks = check.masks(request, contents, limits=limits)
    if fields is not None:
        check.params_fit(fields.params, len(styles), settings)
    if check.errors or fields is None:
        raise InvalidRequest(check.errors, status=check.status)
    return CheckedRequest(contents[0], tuple(styles), tuple(masks), fields)


class _Check:
    """Gathers what is wrong, field by field."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.status = 422

    def known_fields(self, request: Request) -> None:
        """Refuse fields that would otherwise be silently without effect."""
        for name in request.form.keys() - set(_TEXT_FIELDS):
            if name in _FILE_FIELDS:
                detail = "is text; send it as a file, with a file name"
            else:
                detail = f"is no field; fields are {', '.join((*_FILE_FIELDS, *_TEXT_FIELDS))}"
            self._add(f"/{name}", "unknown_field", detail)
        for name in request.files.keys() - set(_FILE_FIELDS):
            self._add(f"/{name}", "unknown_field", f"is no file field; {_FILE_FIELDS} are")

    def text_fields(self, request: Request) -> SubmissionFields | None:
        """Return the text fields, or None when one is bad."""
        try:
            return SubmissionFields.model_validate(_parse(request))
        except ValidationError as error:
            for item in error.errors():
                self._add(_pointer(item["loc"]), item["type"], item["msg"])
            return None

    def pictures(self, request: Request, name: str, *, most: int, limits: Limits) -> list[Upload]:
        """Return the pictures sent as `name`, decoded."""
        files = request.files.getlist(name)
        if not files:
            self._add(f"/{name}", "missing", f"send a picture file as `{name}`")
        if len(files) > most:
            self._add(f"/{name}", "too_many", f"{len(files)} files; at most {most} are taken")
            return []
        return list(self._decoded(files, name, partial(read_image, limits=limits, field=name)))

    def masks(self, request: Request, contents: list[Upload], *, limits: Limits) -> list[Upload]:
        """Return the masks, decoded, once there are as many as styles and of the right shape."""
        files, styles = request.files.getlist("mask"), request.files.getlist("style")
        try:
            check_mask_count(len(files), len(styles))
        except InvalidMask as error:
            self._refuse("/mask", error)
            return []
        if len(files) > MAX_STYLES:
            return []  # as many styles were refused already

        def read(data: bytes) -> Picture:
            mask = read_mask(data, limits=limits)
            for content in contents:
                check_mask_shape(mask.image.size, content.picture.image.size)
            return mask

        return list(self._decoded(files, "mask", read))

    def params_fit(self, params: StyleParams, styles: int, settings: Settings) -> None:
        """Check the parameters against the pictures and the operator's limits."""
        if params.size > settings.max_size:
            self._add("/params/size", "size_too_large", f"at most {settings.max_size} here")
        try:
            params.blend_for(styles)
        except InvalidParams as error:
            if styles:
                self._refuse("/params/style_blend", error)

    def _decoded(
        self, files: list[FileStorage], name: str, read: Callable[[bytes], Picture]
    ) -> Iterator[Upload]:
        for number, file in enumerate(files):
            pointer = f"/{name}" if len(files) == 1 else f"/{name}/{number}"
            data = file.stream.read()
            try:
                yield Upload(data, read(data))
            except BadInput as error:
                self._refuse(pointer, error)

    def _refuse(self, pointer: str, error: BadInput) -> None:
        self._add(pointer, error.code, f"{error.message}. {error.hint}", error.status)

    def _add(self, pointer: str, code: str, detail: str, status: int = 422) -> None:
        # The first field's status speaks for the answer, as its code does.
        if not self.errors:
            self.status = status
        self.errors.append(FieldError(pointer=pointer, code=code, detail=detail))


def _parse(request: Request) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for name in _TEXT_FIELDS:
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


def _pointer(location: tuple[int | str, ...]) -> str:
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "/" + "/".join(escaped)
