"""A JSON body to what it gives: pictures by their sources, and fields that are not checked yet.

Knows the body's shape; where a source's bytes come from is `sources`' matter.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self
from uuid import UUID

from flask import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from api.errors import MalformedRequest
from api.schemas import MAX_STYLES, FieldError
from api.sources import Sources
from api.submissions import TEXT_FIELDS, Blob, Given, Pictures, Role, refusals
from nst_core.params import LayerWeight

_SOURCES = ("data", "url", "job")


class Source(BaseModel):
    """Where a picture is: exactly one of three."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str | None = None
    url: Annotated[str, Field(max_length=4096)] | None = None
    job: UUID | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(getattr(self, name) is not None for name in _SOURCES) != 1:
            raise PydanticCustomError("one_source", "give exactly one of data, url and job")
        return self

    @property
    def kind(self) -> str:
        """Which of the three it is."""
        return next(name for name in _SOURCES if getattr(self, name) is not None)

    @property
    def value(self) -> str:
        """What is given as that."""
        return str(getattr(self, self.kind))


class Style(Source):
    """A style picture, how much it counts, and where."""

    weight: LayerWeight | None = None
    mask: Source | None = None


class PicturesBody(BaseModel):
    """The part of the body that has pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    content: Source
    styles: list[Style] = Field(min_length=1, max_length=MAX_STYLES)


def read_body(request: Request, sources: Sources) -> Given:
    """Return what a JSON body gives; every picture is at hand, or known not to be.

    Raises:
        MalformedRequest: it is not a JSON object.
    """
    body = _parse(request)
    fields = {name: body.pop(name) for name in TEXT_FIELDS if name in body}
    try:
        asked = PicturesBody.model_validate(body)
    except ValidationError as error:
        return Given(fields, None, tuple(refusals(error)))
    fields, errors = _with_weights(fields, asked.styles)
    return Given(fields, _pictures(asked, sources), errors)


def _parse(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.get_data(cache=False), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise MalformedRequest("the body is not a JSON object", hint="Send content and styles.")
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _with_weights(
    fields: Mapping[str, Any], styles: list[Style]
) -> tuple[dict[str, Any], tuple[FieldError, ...]]:
    """Return the fields with the styles' weights as `style_blend`, and what forbids that."""
    params = fields.get("params", {})
    if all(style.weight is None for style in styles) or not isinstance(params, dict):
        return dict(fields), ()
    if "style_blend" in params:
        detail = "the styles have a weight; give one of the two"
        return dict(fields), (
            FieldError(pointer="/params/style_blend", code="invalid_params", detail=detail),
        )
    weights = [1.0 if style.weight is None else style.weight for style in styles]
    return {**fields, "params": {**params, "style_blend": weights}}, ()


def _pictures(asked: PicturesBody, sources: Sources) -> Pictures:
    places = list(_places(asked))
    reads = sources.reads([(source.kind, source.value) for _, _, source in places])
    roles: dict[str, list[Blob]] = {"content": [], "style": [], "mask": []}
    for (role, pointer, source), read in zip(places, reads, strict=True):
        roles[role].append(Blob(f"{pointer}/{source.kind}", read))
    return Pictures(
        Role("/content", tuple(roles["content"])),
        Role("/styles", tuple(roles["style"])),
        Role("/styles", tuple(roles["mask"])),
    )


def _places(asked: PicturesBody) -> Iterator[tuple[str, str, Source]]:
    yield "content", "/content", asked.content
    for place, style in enumerate(asked.styles):
        yield "style", f"/styles/{place}", style
        if style.mask:
            yield "mask", f"/styles/{place}/mask", style.mask
