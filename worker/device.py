"""The one device of a worker process, and the network that stays resident on it.

Touched only in the process that computes: a CUDA call before a fork would break the children.
"""

import os
from functools import cached_property
from pathlib import Path

import torch

from nst_core.vgg import Vgg
from nst_core.weights import load_network


class Device:
    """Where this process computes."""

    def __init__(self, name: str, *, weights: str, cache_dir: Path) -> None:
        self._wanted = name
        self._weights = weights
        self._cache_dir = cache_dir

    @cached_property
    def name(self) -> str:
        """Torch's name of the device, `auto` resolved."""
        if self._wanted != "auto":
            return self._wanted
        return "cuda:0" if torch.cuda.is_available() else "cpu"

    @cached_property
    def memory_bytes(self) -> int:
        """Memory of the device in bytes; the machine's, if it is the CPU."""
        device = torch.device(self.name)
        if device.type == "cuda":
            return int(torch.cuda.get_device_properties(device).total_memory)
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    @cached_property
    def network(self) -> Vgg:
        """The network with its weights, loaded once.

        Raises:
            WeightsUnavailable: the weights asked for are not to be had here.
        """
        return load_network(self._weights, cache_dir=self._cache_dir, device=self.name)
