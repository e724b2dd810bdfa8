"""The one device of a worker process, and the network that stays resident on it.

Touched only in the process that computes: a CUDA call before a fork would break the children.
"""

from functools import cached_property
from pathlib import Path

import torch

from nst_core.devices import device_memory, resolve
from nst_core.machine import USABLE
from nst_core.targets import TargetCache
from nst_core.vgg import Vgg
from nst_core.weights import load_network


class Device:
    """Where this process computes."""

    def __init__(
        self, name: str, *, weights: str, cache_dir: Path, memory_share: float = 1.0
    ) -> None:
        self.targets = TargetCache()
        self._wanted = name
        self._memory_share = memory_share
        self._weights = weights
        self._cache_dir = cache_dir

    @cached_property
    def name(self) -> str:
        """Torch's name of the device, `auto` resolved."""
        return resolve(self._wanted)

    @cached_property
    def memory_bytes(self) -> int:
        """What a stylisation may take of the device's memory, or of the machine's for the CPU."""
        return round(USABLE * self._memory_share * device_memory(torch.device(self.name)))

    @cached_property
    def network(self) -> Vgg:
        """The network with its weights, loaded once.

        Raises:
            WeightsUnavailable: the weights asked for are not to be had here.
        """
        return load_network(self._weights, cache_dir=self._cache_dir, device=self.name)
