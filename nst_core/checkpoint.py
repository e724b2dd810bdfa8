"""`Checkpoint`: the resumable state of a stylisation, as bytes and back.

Holds everything that the next step depends on. No random state is among it: the seed is spent on
the first picture, and no step draws numbers.
"""

import hashlib
import io
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor

from nst_core.errors import CheckpointMismatch

#: Rises when the meaning of a field changes or the engine would go on differently.
FORMAT = b"nst-checkpoint-3\n"
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Checkpoint:
    """The state after a step; tensors lie on the CPU."""

    fingerprint: str
    tile_edge: int
    scale_index: int
    scale_step: int
    scale_ended: bool
    step: int
    totals: list[float]
    losses: dict[str, float]
    unread: list[Tensor]
    rate: float
    recoveries: int
    pixels: Tensor
    shown: dict[str, Any]
    optimizer: dict[str, Any]

    def to_bytes(self) -> bytes:
        """Return the checkpoint in a form that is safe to store and checks itself."""
        buffer = io.BytesIO()
        torch.save({field.name: getattr(self, field.name) for field in fields(self)}, buffer)
        payload = buffer.getvalue()
        return FORMAT + hashlib.sha256(payload).digest() + payload

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote; nothing but tensors and plain values is ever loaded.

        Raises:
            CheckpointMismatch: the bytes are damaged, or of another version.
        """
        head = len(FORMAT) + _DIGEST_BYTES
        digest, payload = data[len(FORMAT) : head], data[head:]
        if not data.startswith(FORMAT) or hashlib.sha256(payload).digest() != digest:
            raise CheckpointMismatch("the checkpoint is damaged or of another version")
        try:
            return cls(**torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True))
        except Exception as error:
            raise CheckpointMismatch(f"the checkpoint cannot be read: {error}") from error

    def require(self, expected: str) -> None:
        """Check that the checkpoint belongs to the stylisation with this fingerprint.

        Raises:
            CheckpointMismatch: it belongs to another one.
        """
        if self.fingerprint != expected:
            raise CheckpointMismatch(
                "the checkpoint was made with other pictures, parameters or weights"
            )


def on_cpu(state: Any) -> Any:  # noqa: ANN401 - an optimiser's state nests without a type
    """Return a copy of nested dicts, lists and tensors with every tensor cloned to the CPU."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: on_cpu(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(on_cpu(value) for value in state)
    return state
