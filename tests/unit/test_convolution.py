import pytest
import torch
from torch.nn import functional

from nst_core.convolution import Convolution

SIZES = [(7, 9), (8, 5), (1, 6), (6, 1), (1, 1), (2, 3)]


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weights(dtype=torch.float32):
    return noise(6, 4, 3, 3, seed=1).to(dtype), noise(6, seed=2).to(dtype)


def by_the_book(x, weight, bias, border, *, rectified):
    if border == "replicate":
        y = functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias)
    else:
        y = functional.conv2d(x, weight, bias, padding=1)
    return y.relu() if rectified else y


def with_gradient(function, x):
    """Return what a function makes of x, and the gradient of an uneven sum of it."""
    x = x.clone().requires_grad_()
    y = function(x)
    slopes = torch.linspace(-1, 2, y.numel()).view_as(y).to(y.dtype)
    (y * slopes).sum().backward()
    return y.detach(), x.grad


def relative_error(found, expected):
    return ((found - expected).norm() / expected.norm().clamp_min(1e-12)).item()


@pytest.mark.parametrize("rectified", [True, False], ids=["relu", "bare"])
@pytest.mark.parametrize("border", ["replicate", "zeros"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_output_and_gradient_are_those_of_plain_torch(size, border, rectified):
    weight, bias = weights()
    conv = Convolution(weight, bias)
    x = noise(1, 4, *size)

    y, gradient = with_gradient(lambda x: conv(x, border, rectified=rectified), x)

    expected = with_gradient(lambda x: by_the_book(x, weight, bias, border, rectified=rectified), x)
    torch.testing.assert_close(y, expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, expected[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("border", ["replicate", "zeros"])
def test_bfloat16_comes_near(border):
    weight, bias = weights()
    conv = Convolution(weight.bfloat16(), bias.bfloat16())
    x = noise(1, 4, 9, 11)

    y, gradient = with_gradient(lambda x: conv(x, border, rectified=True), x.bfloat16())

    expected = with_gradient(lambda x: by_the_book(x, weight, bias, border, rectified=True), x)
    assert y.dtype == gradient.dtype == torch.bfloat16
    assert relative_error(y.float(), expected[0]) < 0.02
    assert relative_error(gradient.float(), expected[1]) < 0.15  # a ReLU may flip


def test_input_laid_out_channels_first_gives_the_same():
    conv = Convolution(*weights())
    x = noise(1, 4, 7, 9)

    first = with_gradient(lambda x: conv(x, "replicate", rectified=True), x)
    last = with_gradient(
        lambda x: conv(x, "replicate", rectified=True), x.to(memory_format=torch.channels_last)
    )

    for found, expected in zip(last, first, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("border", ["replicate", "zeros"])
def test_only_the_output_is_kept_for_the_gradient(border):
    conv = Convolution(*weights())
    x = noise(1, 4, 7, 9).requires_grad_()

    rectified = conv(x, border, rectified=True)
    bare = conv(x, border, rectified=False)

    (kept,) = rectified.grad_fn.saved_tensors
    assert kept.data_ptr() == rectified.data_ptr()
    assert bare.grad_fn.saved_tensors == ()


def test_gradient_does_not_change_what_came_after():
    """The border's gradient is folded in place."""
    conv = Convolution(*weights())
    x = noise(1, 4, 5, 6).requires_grad_()
    y = conv(x, "replicate", rectified=False)
    slopes = torch.ones_like(y)

    y.backward(slopes)

    assert torch.equal(slopes, torch.ones_like(y))
