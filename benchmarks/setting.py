"""What every measurement is made with: pictures, network, device, and how much of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from PIL import Image

from benchmarks.network import CACHE_DIR, Convolutions, load_convolutions
from nst_core.params import StyleParams
from nst_core.vgg import Vgg
from nst_core.weights import load_network

Precision = Literal["float32", "bfloat16"]

_SAMPLES = Path(__file__).parents[1] / "api" / "samples"
_CONTENT = ("astronaut.png", "content.jpg")
_STYLE = ("starry_night.png", "style.jpg")


@dataclass(frozen=True)
class Extent:
    """How much is measured; sizes are long edges in pixels."""

    step_sizes: tuple[int, ...]
    pixel_sizes: tuple[int, ...]
    memory_sizes: tuple[int, ...]
    memory_precisions: tuple[Precision, ...]
    quality_size: int
    baseline_steps: tuple[int, ...]
    #: None: as many as the engine's default preset has.
    engine_steps: int | None
    steps_a_snapshot: int
    matmul_edge: int
    #: At least so long a measurement of speed goes on, in seconds.
    seconds: float


FULL = Extent(
    step_sizes=(256, 512),
    pixel_sizes=(256, 512, 1024, 2048),
    memory_sizes=(128, 256, 384, 512, 1024),
    memory_precisions=("float32", "bfloat16"),
    quality_size=256,
    baseline_steps=(150, 80, 80),
    engine_steps=None,
    steps_a_snapshot=10,
    matmul_edge=2048,
    seconds=15.0,
)
QUICK = Extent(
    step_sizes=(128,),
    pixel_sizes=(128, 256),
    memory_sizes=(128,),
    memory_precisions=("float32", "bfloat16"),
    quality_size=128,
    baseline_steps=(30, 16, 16),
    engine_steps=60,
    steps_a_snapshot=5,
    matmul_edge=1024,
    seconds=3.0,
)
#: Numbers without meaning: enough to see that every row can still be measured.
TINY = Extent(
    step_sizes=(64,),
    pixel_sizes=(64, 96),
    memory_sizes=(64,),
    memory_precisions=("float32",),
    quality_size=96,
    baseline_steps=(1, 1),
    engine_steps=3,
    steps_a_snapshot=1,
    matmul_edge=128,
    seconds=0.0,
)


@dataclass(frozen=True)
class Pictures:
    """A photo and a style, RGB, and the names of their files."""

    content: Image.Image
    style: Image.Image
    names: tuple[str, str]


@dataclass(frozen=True)
class Setting:
    """Pictures, the network twice (the engine's and plain), and the device that both lie on."""

    pictures: Pictures
    network: Vgg
    convs: Convolutions
    weights: str
    images: Path
    extent: Extent

    @property
    def content(self) -> Image.Image:
        """The photo."""
        return self.pictures.content

    @property
    def style(self) -> Image.Image:
        """The painting."""
        return self.pictures.style

    @property
    def device(self) -> torch.device:
        """Where everything is computed."""
        return self.network.device

    @property
    def facts(self) -> dict[str, str]:
        """What the numbers were measured with."""
        return {"weights": self.network.name, "pictures": ", ".join(self.pictures.names)}


def prepare(extent: Extent, *, device: str, weights: str, images: Path | None) -> Setting:
    """Load everything; without a folder of pictures the bundled samples are used."""
    folder = images or _SAMPLES
    network = load_network(weights, cache_dir=CACHE_DIR, device=device)
    return Setting(
        pictures=pictures(folder),
        network=network,
        convs=load_convolutions(weights, network.device),
        weights=str(Path(weights).absolute()) if Path(weights).is_file() else weights,
        images=folder.absolute(),
        extent=extent,
    )


def pictures(folder: Path) -> Pictures:
    """Return the photo and the style in a folder."""
    content, style = _existing(folder, _CONTENT), _existing(folder, _STYLE)
    return Pictures(content=_read(content), style=_read(style), names=(content.name, style.name))


def layers_of(params: StyleParams) -> tuple[str, ...]:
    """Return the layers that a loss looks at."""
    return tuple({**params.content_layers, **params.style_layers})


def _read(path: Path) -> Image.Image:
    with Image.open(path) as file:
        return file.convert("RGB")


def _existing(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"none of {', '.join(names)} is in {folder}")
