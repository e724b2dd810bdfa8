"""The workload: what is submitted. A few stylisations, each with its reference picture."""

import io
import json
from collections import deque
from functools import cache

from PIL import Image

from nst_core import images
from nst_core.engine import stylize
from nst_core.params import StyleParams
from nst_core.results import encode_result
from tests.chaos.orders import POISON_SEED
from tests.networks import narrow_network

#: From half a second to three at the workers' pace; both optimisers, one scale and two.
STYLINGS: tuple[dict[str, object], ...] = (
    {"size": 64, "scales": 1, "steps": 12, "snapshot_every": 7},
    {"size": 64, "scales": 1, "steps": 20, "snapshot_every": 8, "optimizer": "lbfgs"},
    {"size": 96, "scales": 2, "steps": 24, "snapshot_every": 12},
    {"size": 64, "scales": 1, "steps": 60, "snapshot_every": 30, "init": "random", "seed": 7},
)
#: Long enough to be still running when its zombie wakes.
LONG = {"size": 64, "scales": 1, "steps": 250, "snapshot_every": 50}
POISON = {**STYLINGS[0], "seed": POISON_SEED}


@cache
def content() -> bytes:
    """Return the content picture's file."""
    return _png(Image.linear_gradient("L"))


@cache
def style() -> bytes:
    """Return the style picture's file."""
    return _png(Image.radial_gradient("L"))


def reference(params: dict[str, object]) -> bytes:
    """Return the picture of an uninterrupted run with a job's parameters."""
    return _reference(json.dumps(params, sort_keys=True))


@cache
def _reference(params: str) -> bytes:
    wanted = StyleParams.model_validate_json(params)
    photo, painting = (images.read_image(file()).image for file in (content, style))
    (last,) = deque(stylize(photo, [painting], wanted, network=_network()), maxlen=1)
    return encode_result(last, wanted)


@cache
def _network() -> object:
    return narrow_network()


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.convert("RGB").resize((60, 45)).save(out, "PNG")
    return out.getvalue()
