import pytest
import torch

from nst_core import losses
from tests.features import moments


def features(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, *shape, generator=generator, dtype=torch.float64)


def inner_product(maps, i, j):
    """Return G_ij of eq. 3 by the book: a sum over positions."""
    _, _, height, width = maps.shape
    return sum(
        float(maps[0, i, row, column] * maps[0, j, row, column])
        for row in range(height)
        for column in range(width)
    )


def test_squared_distance_is_twice_equation_1():
    found, target = features(3, 4, 5), features(3, 4, 5, seed=1)

    loss = losses.squared_distance(found, target)

    expected = 0.0
    for channel in range(3):
        for row in range(4):
            for column in range(5):
                expected += (
                    float(found[0, channel, row, column] - target[0, channel, row, column]) ** 2
                )
    assert loss.item() == pytest.approx(expected)


def test_style_loss_is_equations_3_and_4():
    maps, other = features(3, 4, 5), features(3, 4, 5, seed=1)

    loss = losses.style_loss(moments(maps).second, moments(other).second)

    n, m = 3, 20
    expected = 0.0
    for i in range(n):
        for j in range(n):
            expected += (inner_product(maps, i, j) - inner_product(other, i, j)) ** 2
    assert loss.item() == pytest.approx(expected / (4 * n**2 * m**2))


def test_energy_is_the_squared_length_of_all_parts():
    three, four = torch.tensor([3.0, 0.0]), torch.tensor([[0.0], [4.0]])

    assert losses.energy([three, four]).item() == pytest.approx(9 + 16)


def test_energy_of_nothing_can_be_divided_by():
    assert losses.energy([torch.zeros(3)]).item() > 0


def test_total_variation_counts_both_directions():
    ramp = torch.arange(4.0).repeat(1, 3, 5, 1)  # each pixel 1 more than the one to its left

    flat = torch.ones(1, 3, 4, 4)
    across, down, none = (
        losses.total_variation(each)[0].item() for each in (ramp, 2 * ramp.transpose(2, 3), flat)
    )

    assert across == pytest.approx(1)
    assert down == pytest.approx(4)
    assert none == 0


@pytest.mark.parametrize("size", [(3, 5), (4, 3), (2, 2)], ids=str)
def test_total_variations_gradient_agrees_with_autograd(size):
    pixels = features(3, *size).requires_grad_()

    value, gradient = losses.total_variation(pixels.detach())

    steps = [pixels.diff(dim=edge).square() for edge in (2, 3)]
    expected = sum(each.mean() for each in steps)
    expected.backward()
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(gradient, pixels.grad)


def test_squares_of_bfloat16_features_are_summed_in_float32():
    maps = torch.ones(1, 1, 100, 100, dtype=torch.bfloat16) * 1.0078125  # one bit above 1

    loss = losses.squared_distance(maps, torch.zeros_like(maps))

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1e4 * 1.0078125**2, rel=1e-6)


@pytest.mark.parametrize(
    "term",
    [
        lambda x: losses.squared_distance(x, features(2, 3, 4, seed=1)),
        lambda x: losses.style_loss(moments(x).second, moments(features(2, 3, 4, seed=1)).second),
    ],
    ids=["content", "style"],
)
def test_gradients_agree_with_finite_differences(term):
    assert torch.autograd.gradcheck(term, features(2, 3, 4).requires_grad_())
