"""Where the network's weights come from: `auto`, `imagenet`, `random` or a file.

Never unpickles arbitrary objects.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from nst_core.errors import WeightsUnavailable
from nst_core.random_weights import random_state
from nst_core.vgg import Vgg

#: Told the bytes done and the bytes in all, as a download goes on.
OnProgress = Callable[[int, int], None]


def load_network(
    choice: str,
    *,
    cache_dir: Path,
    device: torch.device | str = "cpu",
    on_progress: OnProgress | None = None,
) -> Vgg:
    """Return the network that `choice` names, in float32 on `device`.

    Raises:
        WeightsUnavailable: the weights are not to be had here; the hint says what to do.
    """
    if choice in ("random", "auto"):
        network = Vgg(random_state(), name="random")
    else:
        network = load_file_network(Path(choice))
    return network.to(device=torch.device(device), dtype=torch.float32)


def load_file_network(path: Path) -> Vgg:
    """Return the network in a `.safetensors` or torch file."""
    return Vgg(read_state(path), name=f"file:{path.stem}@{file_hash(path)[:8]}")


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weights file."""
    if not path.is_file():
        raise WeightsUnavailable(f"{path} is not there", hint="Set NST_WEIGHTS to a file.")
    if path.suffix == ".safetensors":
        return load_file(path)
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
