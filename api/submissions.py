"""What a request gives to a checked submission: every bad field is named, not only the first.

Knows what a submission may be, whatever body it came in; stores and records nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError

from api.errors import InvalidRequest
from api.schemas import MAX_STYLES, FieldError, SubmissionFields
from nst_core.errors import BadInput, InvalidMask, InvalidParams
from nst_core.images import Limits, Picture, read_image
from nst_core.masks import check_mask_count, check_mask_shape, read_mask
from nst_core.params import StyleParams
from nst_jobs.records import ArtifactKind
from nst_jobs.settings import Settings

TEXT_FIELDS = ("params", "priority", "metadata")


@dataclass(frozen=True)
class Blob:
    """A file by the name that the body has for it; `read`, once, may raise why it is not there."""

    pointer: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Role:
    """The files of one kind; `pointer` names all of them."""

    pointer: str
    blobs: tuple[Blob, ...]


@dataclass(frozen=True)
class Pictures:
    """The files of a submission by their roles."""

    content: Role
    styles: Role
    #: One for each style, or none.
    masks: Role


@dataclass(frozen=True)
class Given:
    """What a body says, before it is checked."""

    fields: Mapping[str, Any]
    #: None where the body does not tell which there are; `errors` then says why.
    pictures: Pictures | None
    errors: tuple[FieldError, ...]


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


def check_submission(given: Given, settings: Settings) -> CheckedRequest:
    """Check what a request gives.

    Raises:
        InvalidRequest: fields are missing, unknown or have bad values.
    """
    check = _Check(given.errors, settings)
    fields = check.text_fields(given.fields)
    contents, styles, masks = check.pictures(given.pictures) if given.pictures else ([], [], [])
    if fields is not None:
        check.params_fit(fields.params, len(styles))
    if check.errors or fields is None:
        raise InvalidRequest(check.errors, status=check.status)
    return CheckedRequest(contents[0], tuple(styles), tuple(masks), fields)


def refusals(error: ValidationError) -> Iterator[FieldError]:
    """Yield what a model found wrong, by field."""
    for item in error.errors():
        yield FieldError(pointer=_pointer(item["loc"]), code=item["type"], detail=item["msg"])


class _Check:
    """Gathers what is wrong, field by field."""

    def __init__(self, errors: tuple[FieldError, ...], settings: Settings) -> None:
        self.errors = list(errors)
        self.status = 422
        self._max_size = settings.max_size
        self._limits = Limits(
            max_bytes=settings.max_upload_bytes, max_pixels=settings.max_megapixels * 1_000_000
        )

    def text_fields(self, fields: Mapping[str, Any]) -> SubmissionFields | None:
        """Return the text fields, or None when one is bad."""
        try:
            return SubmissionFields.model_validate(fields)
        except ValidationError as error:
            self.errors.extend(refusals(error))
            return None

    def pictures(self, given: Pictures) -> tuple[list[Upload], list[Upload], list[Upload]]:
        """Return contents, styles and masks, decoded, but for the bad ones."""
        contents = self._images(given.content, "content", most=1)
        styles = self._images(given.styles, "style", most=MAX_STYLES)
        return contents, styles, self._masks(given, contents)

    def params_fit(self, params: StyleParams, styles: int) -> None:
        """Check the parameters against the pictures and the operator's limits."""
        if params.size > self._max_size:
            self._add("/params/size", "size_too_large", f"at most {self._max_size} here")
        try:
            params.blend_for(styles)
        except InvalidParams as error:
            if styles:
                self._refuse("/params/style_blend", error)

    def _images(self, role: Role, name: str, *, most: int) -> list[Upload]:
        count = len(role.blobs)
        if not count:
            self._add(role.pointer, "missing", f"send a picture file as `{name}`")
        if count > most:
            self._add(role.pointer, "too_many", f"{count} files; at most {most} are taken")
            return []
        return list(self._decoded(role, partial(read_image, limits=self._limits, field=name)))

    def _masks(self, given: Pictures, contents: list[Upload]) -> list[Upload]:
        """Return the masks once there are as many as styles and of the right shape."""
        try:
            check_mask_count(len(given.masks.blobs), len(given.styles.blobs))
        except InvalidMask as error:
            self._refuse(given.masks.pointer, error)
            return []
        if len(given.masks.blobs) > MAX_STYLES:
            return []  # as many styles were refused already

        def read(data: bytes) -> Picture:
            mask = read_mask(data, limits=self._limits)
            for content in contents:
                check_mask_shape(mask.image.size, content.picture.image.size)
            return mask

        return list(self._decoded(given.masks, read))

    def _decoded(self, role: Role, read: Callable[[bytes], Picture]) -> Iterator[Upload]:
        for blob in role.blobs:
            try:
                data = blob.read()
                yield Upload(data, read(data))
            except BadInput as error:
                self._refuse(blob.pointer, error)

    def _refuse(self, pointer: str, error: BadInput) -> None:
        self._add(pointer, error.code, f"{error.message}. {error.hint}", error.status)

    def _add(self, pointer: str, code: str, detail: str, status: int = 422) -> None:
        # The first field's status speaks for the answer, as its code does.
        if not self.errors:
            self.status = status
        self.errors.append(FieldError(pointer=pointer, code=code, detail=detail))


def _pointer(location: tuple[int | str, ...]) -> str:
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "/" + "/".join(escaped)
