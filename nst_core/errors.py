"""The error tree of the engine library.

    NstError
    ├── BadInput              the caller can mend it; trying again unchanged is useless
    │   ├── InvalidImage      a picture that cannot be used
    │   │   ├── UnsupportedFormat   a file of a kind that is not taken
    │   │   ├── AnimatedImage       more than one frame or page
    │   │   ├── ImageTooLarge       too many pixels, or an edge too long
    │   │   ├── ImageTooSmall       an edge too short
    │   │   └── FileTooLarge        too many bytes
    │   ├── InvalidMask       a mask that does not fit the pictures, or selects nothing
    │   └── InvalidParams     parameters that do not fit the pictures or the network
    ├── WeightsUnavailable    the network's weights are not to be had here
    ├── OutOfMemory           the device is too small at this moment
    ├── Diverged              the optimisation left the finite numbers
    └── CheckpointMismatch    a checkpoint is damaged or is not this stylisation's

Every error says what is wrong (`message`) and what to do (`hint`), has a stable `code`, the HTTP
`status` that fits it, and whether another try may succeed (`retryable`).
"""

from typing import ClassVar


class NstError(Exception):
    """Says what went wrong and what the reader can do about it."""

    code: str = "internal_error"
    status: int = 500
    retryable: ClassVar[bool] = True

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(NstError):
    """The input cannot be used, however often it is tried."""

    code = "bad_input"
    status = 422
    retryable = False


class InvalidImage(BadInput):
    """A file is not a picture that can be stylised: damaged, cut short, or none at all."""

    code = "invalid_image"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code or self.code


class UnsupportedFormat(InvalidImage):
    """A file is of a recognised kind, but not one that is taken."""

    code = "unsupported_format"
    status = 415


class AnimatedImage(InvalidImage):
    """A file holds more than one frame or page."""

    code = "animated_image"


class ImageTooLarge(InvalidImage):
    """A picture has more pixels, or a longer edge, than is allowed."""

    code = "image_too_large"


class ImageTooSmall(InvalidImage):
    """A picture has an edge shorter than is allowed."""

    code = "image_too_small"


class FileTooLarge(InvalidImage):
    """A file has more bytes than are allowed."""

    code = "file_too_large"
    status = 413


class InvalidMask(BadInput):
    """A mask is black everywhere, of another shape than the photo, or one too many or few."""

    code = "invalid_mask"


class InvalidParams(BadInput):
    """Parameters that are each valid but do not fit the pictures or the network."""

    code = "invalid_params"


class WeightsUnavailable(NstError):
    """The weights asked for are missing, damaged, or lack a layer."""

    code = "weights_unavailable"
    status = 503


class OutOfMemory(NstError):
    """The device could not hold the optimisation."""

    code = "out_of_memory"
    status = 503


class Diverged(NstError):
    """The loss became infinite or not a number."""

    code = "diverged"
    retryable = False


class CheckpointMismatch(NstError):
    """A checkpoint is damaged or belongs to other inputs; starting afresh is safe."""

    code = "checkpoint_mismatch"
