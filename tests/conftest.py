"""What every level shares: the folder is the marker; pictures and weights, real ones if possible.

`NST_TEST_IMAGES` (a folder with chelsea.png and starry_night.png) and `NST_TEST_WEIGHTS` (a file)
name better ones than the repository's own; the Makefile sets them when they lie beside a checkout.
"""

import os
from pathlib import Path

import pytest
from PIL import Image

SAMPLES = Path(__file__).parents[1] / "api" / "samples"


LEVELS = ("unit", "integration", "e2e", "chaos", "gpu")


def pytest_collection_modifyitems(items):
    """Mark each test with the folder that it lies in."""
    for item in items:
        level = item.path.relative_to(Path(__file__).parent).parts[0]
        if level in LEVELS:
            item.add_marker(level)


@pytest.fixture(scope="session")
def photo():
    """A photograph, RGB, 96 pixels wide."""
    return _picture("chelsea.png", "content.jpg")


@pytest.fixture(scope="session")
def painting():
    """A painting, RGB, 96 pixels wide."""
    return _picture("starry_night.png", "style.jpg")


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """The best network to be had without the internet, on the CPU."""
    torch = pytest.importorskip("torch", reason="this machine does not compute")
    from nst_core.weights import load_network  # noqa: PLC0415 - a machine without torch skips

    torch.set_num_threads(1)
    choice = os.environ.get("NST_TEST_WEIGHTS", "random")
    return load_network(choice, cache_dir=tmp_path_factory.mktemp("weights"))


def _picture(name: str, sample: str) -> Image.Image:
    folder = os.environ.get("NST_TEST_IMAGES")
    path = Path(folder) / name if folder else SAMPLES / sample
    with Image.open(path) as file:
        picture = file.convert("RGB")
    return picture.resize((96, round(96 * picture.height / picture.width)))
