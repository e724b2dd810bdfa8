"""Where the network's weights come from: `auto`, `imagenet`, `random` or a file.

Owns the order in which they are looked for and the reading of files. Never unpickles arbitrary
objects.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import VGG19_Weights  # type: ignore[import-untyped]  # ships no types

from nst_core.download import DownloadFailed, OnProgress, download, file_hash
from nst_core.errors import WeightsUnavailable
from nst_core.random_weights import random_state
from nst_core.vgg import Vgg

IMAGENET_URL: str = VGG19_Weights.IMAGENET1K_V1.url

_RANDOM_NOTICE = (
    "RANDOM WEIGHTS: no trained network is to be had here ({reason}). Results take over the "
    "style's colours and grain, not its brush. For the real thing: nst weights fetch"
)


def load_network(
    choice: str,
    *,
    cache_dir: Path,
    device: torch.device | str = "cpu",
    on_progress: OnProgress | None = None,
) -> Vgg:
    """Return the network that `choice` names, in float32 on `device`.

    Args:
        choice: `auto` (imagenet if it is cached or can be fetched, else random), `imagenet`,
            `random`, or the path of a `.safetensors` or torch file.
        cache_dir: where a download is kept, and looked for first.
        device: where the network shall compute.
        on_progress: told the bytes done and in all during a download.

    Returns:
        The network; its `notice`, if any, is for the caller to print.

    Raises:
        WeightsUnavailable: the weights are not to be had here; the hint says what to do.
    """
    notice = ""
    if choice == "auto":
        choice, notice = resolve(choice, cache_dir=cache_dir, on_progress=on_progress)
    if choice == "imagenet":
        path = fetch_imagenet(cache_dir, on_progress=on_progress)
        network = Vgg(read_state(path), name="imagenet")
    elif choice == "random":
        network = Vgg(random_state(), name="random", notice=notice)
    else:
        network = load_file_network(Path(choice))
    return network.to(device=torch.device(device), dtype=torch.float32)


def load_file_network(path: Path) -> Vgg:
    """Return the network in a weights file, in the file's number format.

    Raises:
        WeightsUnavailable: the file is missing, damaged or no VGG19.
    """
    state = read_state(path)
    return Vgg(state, name=f"file:{path.stem}@{file_hash(path.expanduser())[:8]}")


def resolve(
    choice: str, *, cache_dir: Path, on_progress: OnProgress | None = None
) -> tuple[str, str]:
    """Return what `auto` comes to here, and what is to be said about it; other choices stay.

    A download that the choice needs has been made when this returns.

    Raises:
        WeightsUnavailable: the weights are not to be had here; the hint says what to do.
    """
    if choice not in ("auto", "imagenet"):
        return choice, ""
    try:
        fetch_imagenet(cache_dir, on_progress=on_progress)
    except WeightsUnavailable as error:
        if choice == "imagenet":
            raise
        return "random", _RANDOM_NOTICE.format(reason=error.message)
    return "imagenet", ""


def fetch_imagenet(cache_dir: Path, *, on_progress: OnProgress | None = None) -> Path:
    """Return the path of torchvision's ImageNet weights, downloading them if need be.

    Raises:
        WeightsUnavailable: they are neither here nor within reach.
    """
    # torchvision puts the start of the file's SHA-256 into its name: vgg19-dcbb9e9d.pth.
    name = IMAGENET_URL.rpartition("/")[2]
    prefix = Path(name).stem.partition("-")[2]
    target = cache_dir / name
    for path in (target, Path(torch.hub.get_dir()) / "checkpoints" / name):
        if path.is_file() and file_hash(path).startswith(prefix):
            return path
    try:
        download(IMAGENET_URL, target, sha256_prefix=prefix, on_progress=on_progress)
    except (DownloadFailed, OSError) as error:
        raise WeightsUnavailable(
            f"the ImageNet weights are not here and could not be fetched: {error}",
            hint=f"Try again; or fetch {IMAGENET_URL} on a machine with internet access and put "
            f"it at {target}, or set NST_WEIGHTS to the file's path. NST_WEIGHTS=random does "
            "without.",
        ) from error
    return target


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a `.safetensors` or torch file.

    Raises:
        WeightsUnavailable: the file is missing, damaged, or holds something else.
    """
    try:
        path = path.expanduser()
        there = path.is_file()
    except (OSError, RuntimeError):  # too long a name; `~` of nobody
        there = False
    if not there:
        raise WeightsUnavailable(
            f"there are no weights {str(path)!r}",
            hint="NST_WEIGHTS is auto, imagenet, random, or the path of a file that is there.",
        )
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything on damaged bytes
        raise _not_weights(path) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise _not_weights(path)
    return state


def _not_weights(path: Path) -> WeightsUnavailable:
    return WeightsUnavailable(
        f"{path} is damaged or is no file of named tensors",
        hint="Use torchvision's VGG19 file or a .safetensors with the names features.N.weight; "
        "`nst weights check FILE` looks into it.",
    )
