"""Command line options that several commands share: nothing is written twice.

Those for `StyleParams` are made out of the model.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from nst_core.params import StyleParams

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SCALARS: dict[str, click.ParamType[Any]] = {
    "integer": click.INT,
    "number": click.FLOAT,
    "string": click.STRING,
    "boolean": click.BOOL,
}


#: A picture file that is there.
PICTURE = click.Path(exists=True, dir_okay=False, path_type=Path)
#: What comes as `masks` to a command that takes CONTENT and STYLE….
mask_option = click.option(
    "--mask",
    "masks",
    multiple=True,
    type=PICTURE,
    help="Where on CONTENT a style applies: white there, black elsewhere. One for each STYLE, in "
    "their order.",
)


class NumberList(click.ParamType[tuple[float, ...]]):
    """Numbers with commas between them: `2,1`."""

    name = "numbers"

    def convert(
        self,
        value: str | tuple[float, ...],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[float, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of numbers such as 2,1", param, ctx)


class NamedWeights(click.ParamType[dict[str, float]]):
    """Names with weights: `relu1_1=0.5,relu2_1=1`; a name alone has weight 1."""

    name = "name=weight,…"

    def convert(
        self,
        value: str | dict[str, float],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> dict[str, float]:
        """Return the weight of each name."""
        if isinstance(value, dict):
            return value
        weights: dict[str, float] = {}
        for part in value.split(","):
            name, _, weight = part.partition("=")
            try:
                weights[name.strip()] = float(weight or 1)
            except ValueError:
                self.fail(f"{weight!r} in {part!r} is no number", param, ctx)
        return weights


def params_options(command: _Command) -> _Command:
    """Give a command an option for every field of `StyleParams`, of the field's own name.

    What is not given arrives as None, so that a preset keeps its say; see `params_from`.
    """
    fields = StyleParams.model_json_schema()["properties"]
    for name, schema in reversed(fields.items()):
        command = _option(name, schema)(command)
    return command


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a command's options that are parameters and were given."""
    return {
        name: options[name] for name in StyleParams.model_fields if options.get(name) is not None
    }


def params_from(options: Mapping[str, Any]) -> StyleParams:
    """Return the parameters that a command's options ask for.

    Raises:
        click.BadParameter: one of them, or their combination, is not allowed.
    """
    try:
        return StyleParams.model_validate(given(options))
    except ValidationError as error:
        first = error.errors()[0]
        place = first["loc"][0] if first["loc"] else None
        raise click.BadParameter(
            first["msg"].removeprefix("Value error, "),
            param_hint=f"--{str(place).replace('_', '-')}" if place else None,
        ) from error


def _option(name: str, schema: dict[str, Any]) -> Callable[[_Command], _Command]:
    default = schema.get("default")
    shown = "" if default in (None, [], {}) else f"  [default: {_text(default)}]"
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        type=_type(schema),
        help=f"{schema['description']}{shown}",
    )


def _type(schema: dict[str, Any]) -> click.ParamType[Any]:
    """Return the click type for a field's JSON Schema; its limits are the model's business."""
    for variant in schema.get("anyOf", ()):
        if variant["type"] != "null":
            return _type(variant)
    if "enum" in schema:
        return click.Choice(schema["enum"])
    if schema["type"] == "array":
        return NumberList()
    if schema["type"] == "object":
        return NamedWeights()
    return _SCALARS[schema["type"]]


def _text(default: Any) -> str:  # noqa: ANN401 - a default is of its field's type
    if isinstance(default, dict):
        return ",".join(f"{name}={weight:g}" for name, weight in default.items())
    return f"{default:g}" if isinstance(default, float) else str(default)
