import numpy as np
import pytest
import torch
from PIL import Image

from nst_core import pixels


def every_grey_level():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    return Image.fromarray(np.stack([levels, levels.T, 255 - levels], axis=-1))


def test_deprocess_undoes_preprocess_to_the_grey_level():
    picture = every_grey_level()

    back = pixels.deprocess(pixels.preprocess(picture))

    assert np.array_equal(np.round(back * 255), np.array(picture))


def test_deprocessed_pixels_do_not_move_with_the_optimisation():
    moving = torch.zeros(1, 3, 2, 2)

    shown = pixels.deprocess(moving)
    moving.add_(1)

    assert np.allclose(shown, pixels.MEAN)


def test_mask_is_read_as_shares_of_white():
    mask = Image.fromarray(np.array([[0, 255], [51, 102]], dtype=np.uint8))

    read = pixels.read_mask(mask, (2, 2))

    torch.testing.assert_close(read, torch.tensor([[0.0, 1.0], [0.2, 0.4]]))
    assert pixels.read_mask(mask, (6, 4)).shape == (4, 6)


def test_preprocess_is_torchvisions_normalisation():
    transforms = pytest.importorskip("torchvision.transforms.v2.functional")
    picture = every_grey_level()

    found = pixels.preprocess(picture)

    unit = transforms.to_dtype(transforms.pil_to_tensor(picture), torch.float32, scale=True)
    expected = transforms.normalize(unit, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(found, expected.unsqueeze(0))


def test_preprocess_resizes_to_width_and_height():
    assert pixels.preprocess(every_grey_level(), (20, 30)).shape == (1, 3, 30, 20)


def test_clip_keeps_pixels_that_a_picture_can_show():
    unit = torch.tensor([-0.5, 0.25, 1.5]).view(1, 1, 1, 3).repeat(1, 3, 1, 1)
    normalised = pixels.normalise(unit)

    pixels.clip(normalised)

    expected = torch.tensor([0.0, 0.25, 1.0]).expand(1, 3, 1, 3)
    torch.testing.assert_close(pixels.denormalise(normalised), expected)
