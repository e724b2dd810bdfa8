import pytest
import torch

from nst_core import losses


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


def test_gram_equals_matrix_computed_by_hand():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, -1.0]]]])

    matrix = losses.gram(maps)

    # rows (1,2,3,4) and (0,1,0,-1): products 30, -2, -2, 2, over 4 positions
    assert matrix.tolist() == [[7.5, -0.5], [-0.5, 0.5]]


def test_content_loss_is_equation_1():
    found, target = features(3, 4, 5), features(3, 4, 5, seed=1)

    loss = losses.content_loss(found, target)

    expected = 0.0
    for channel in range(3):
        for row in range(4):
            for column in range(5):
                expected += (
                    float(found[0, channel, row, column] - target[0, channel, row, column]) ** 2
                )
    assert loss.item() == pytest.approx(expected / 2)


def test_style_loss_is_equations_3_and_4():
    maps, other = features(3, 4, 5), features(3, 4, 5, seed=1)

    loss = losses.style_loss(losses.gram(maps), losses.gram(other))

    n, m = 3, 20
    expected = 0.0
    for i in range(n):
        for j in range(n):
            expected += (inner_product(maps, i, j) - inner_product(other, i, j)) ** 2
    assert loss.item() == pytest.approx(expected / (4 * n**2 * m**2))


def test_relative_loss_ignores_a_common_factor():
    found, target = features(3, 4, 5), features(3, 4, 5, seed=1)

    loss = losses.relative_loss(1000 * found, 1000 * target, losses.energy(1000 * target))

    unscaled = losses.relative_loss(found, target, losses.energy(target))
    assert loss.item() == pytest.approx(unscaled.item())


def test_energy_is_the_mean_squared_length():
    three, four = torch.tensor([3.0, 0.0]), torch.tensor([[0.0], [4.0]])

    assert losses.energy(three, four).item() == pytest.approx((9 + 16) / 2)


def test_relative_loss_of_an_empty_target_is_finite():
    zeros = torch.zeros(1, 3, 2, 2)

    assert losses.relative_loss(zeros, zeros, losses.energy(zeros)).item() == 0


def test_total_variation_counts_both_directions():
    ramp = torch.arange(4.0).repeat(1, 3, 5, 1)  # each pixel 1 more than the one to its left

    assert losses.total_variation(ramp).item() == pytest.approx(1)
    assert losses.total_variation(2 * ramp.transpose(2, 3)).item() == pytest.approx(4)
    assert losses.total_variation(torch.ones(1, 3, 4, 4)).item() == 0


def test_bfloat16_features_are_summed_in_float32():
    maps = torch.ones(1, 1, 100, 100, dtype=torch.bfloat16) * 1.0078125  # one bit above 1

    matrix = losses.gram(maps)

    assert matrix.dtype == torch.float32
    assert matrix.item() == pytest.approx(1.0078125**2, rel=1e-6)


@pytest.mark.parametrize(
    "term",
    [
        lambda x: losses.content_loss(x, features(2, 3, 4, seed=1)),
        lambda x: losses.style_loss(losses.gram(x), losses.gram(features(2, 3, 4, seed=1))),
        lambda x: losses.relative_loss(x, features(2, 3, 4, seed=1), torch.tensor(7.0)),
        losses.total_variation,
    ],
    ids=["content", "style", "relative", "tv"],
)
def test_gradients_agree_with_finite_differences(term):
    assert torch.autograd.gradcheck(term, features(2, 3, 4).requires_grad_())
