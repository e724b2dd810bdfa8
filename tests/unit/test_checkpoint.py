import hashlib
import io

import pytest
import torch

from nst_core.checkpoint import FORMAT, Checkpoint
from nst_core.errors import CheckpointMismatch


def checkpoint():
    return Checkpoint(
        fingerprint="ab" * 32,
        tile_edge=256,
        scale_index=1,
        scale_step=3,
        scale_ended=False,
        step=9,
        totals=[3.0, 2.5],
        losses={"total": 2.5, "content": 1.0, "style": 1.25, "tv": 0.25},
        unread=[torch.tensor([2.5, 1.0, 1.25, 0.25, 1.0])],
        rate=0.01,
        recoveries=1,
        pixels=torch.randn(1, 3, 4, 5),
        shown={"sum": torch.randn(1, 3, 4, 5), "weight": 0.3},
        optimizer={"state": {0: {"al": [None, torch.ones(2)], "t": 0.5}}, "param_groups": []},
    )


def test_bytes_hold_every_field():
    saved = checkpoint()

    back = Checkpoint.from_bytes(saved.to_bytes())

    assert back.to_bytes() == saved.to_bytes()
    assert torch.equal(back.pixels, saved.pixels)
    assert (back.step, back.losses, back.scale_ended) == (9, saved.losses, False)
    assert (back.tile_edge, back.rate, back.recoveries) == (256, 0.01, 1)
    assert torch.equal(back.unread[0], saved.unread[0])
    assert torch.equal(back.shown["sum"], saved.shown["sum"])
    assert back.optimizer["state"][0]["al"][0] is None


def test_checkpoint_of_another_stylisation_is_refused():
    checkpoint().require("ab" * 32)

    with pytest.raises(CheckpointMismatch, match="other pictures, parameters or weights"):
        checkpoint().require("cd" * 32)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[:100],
        lambda data: data[:-200] + bytes([data[-200] ^ 1]) + data[-199:],
        lambda data: data.replace(FORMAT, b"nst-checkpoint-1\n"),
    ],
    ids=["empty", "short", "head alone", "one bit flipped", "older version"],
)
def test_damaged_checkpoint_is_refused(damage):
    data = checkpoint().to_bytes()

    with pytest.raises(CheckpointMismatch, match="damaged or of another version"):
        Checkpoint.from_bytes(damage(data))


def test_foreign_fields_are_refused():
    payload = io.BytesIO()
    torch.save({"step": 1}, payload)

    with pytest.raises(CheckpointMismatch, match="cannot be read"):
        Checkpoint.from_bytes(sealed(payload.getvalue()))


def test_no_object_is_ever_unpickled(tmp_path):
    payload = io.BytesIO()
    torch.save({"step": Trap(tmp_path / "sprung")}, payload)

    with pytest.raises(CheckpointMismatch, match="cannot be read"):
        Checkpoint.from_bytes(sealed(payload.getvalue()))
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Touches a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return self.path.touch, ()


def sealed(payload):
    return FORMAT + hashlib.sha256(payload).digest() + payload
