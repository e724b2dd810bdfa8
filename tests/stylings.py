"""Runs of the engine, whole and cut short, for the tests of what it does."""

from collections import deque
from contextlib import closing
from itertools import islice

import numpy as np
import torch

from nst_core.checkpoint import Checkpoint
from nst_core.engine import stylize
from nst_core.params import StyleParams
from nst_core.pixels import preprocess
from nst_core.wasserstein import Target, squared_distance
from tests.features import moments

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")


def small(**changes):
    return StyleParams(**{"size": 96, "steps": 12, "scales": 2, "precision": "float32"} | changes)


def run(photo, styles, params, network, **options):
    """Return the last progress of a whole run."""
    return deque(stylize(photo, styles, params, network=network, **options), maxlen=1)[0]


def stop_at(step, photo, styles, params, network, **options):
    """Return the stored checkpoint of a run that was given up after `step`."""
    with closing(stylize(photo, styles, params, network=network, **options)) as steps:
        progress = next(islice(steps, step - 1, None))
        return Checkpoint.from_bytes(progress.checkpoint().to_bytes())


def levels(picture):
    """Return a picture's levels as numbers that do not overflow."""
    return np.asarray(picture).astype(np.float64)


def apart(picture, other):
    """Return how many levels two pictures of one size are apart on average."""
    return np.abs(levels(picture) - levels(other)).mean()


def style_distance(picture, painting, network):
    """Return how far a picture's features are from the painting's, as a share of their energy."""
    total = 0.0
    with torch.no_grad():
        found, wanted = (
            network.features(preprocess(each, size), STYLE_LAYERS)
            for each, size in ((picture, None), (painting, (picture.width, picture.height)))
        )
        for layer in STYLE_LAYERS:
            ours, its = moments(found[layer]), moments(wanted[layer])
            total += (squared_distance(ours, Target.of(its)) / its.energy).item()
    return total


def content_distance(picture, photo, network):
    """Return how far a picture's features are from the photo's, as a share of their energy."""
    with torch.no_grad():
        found, wanted = (
            network.features(preprocess(each, picture.size), ["relu4_2"])["relu4_2"]
            for each in (picture, photo)
        )
        return ((found - wanted).square().sum() / wanted.square().sum()).item()
