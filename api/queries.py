"""Query parameters, checked by a model: what it does not know is refused."""

from typing import TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, ValidationError

from api.errors import InvalidRequest
from api.submissions import refusals

_Query = TypeVar("_Query", bound=BaseModel)


class NoQuery(BaseModel):
    """Of a call that takes no parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_query(model: type[_Query]) -> _Query:
    """Return the present request's query parameters.

    Raises:
        InvalidRequest: one is bad or unknown.
    """
    try:
        return model.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise InvalidRequest(list(refusals(error))) from error
