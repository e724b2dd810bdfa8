import pytest
import torch

from nst_core.moments import Moments, blend, moment_sums
from tests.features import moments


def features(channels=5, height=6, width=7, *, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(1, channels, height, width, generator=generator, dtype=torch.float64)
    return (maps + 0.5).to(dtype)


def weight(height=6, width=7):
    return torch.rand(height, width, generator=torch.Generator().manual_seed(3))


def by_the_book(maps, weight=None):
    """Return mean and second moment as sums over positions, one by one, in float64."""
    positions = maps[0].double().flatten(1).T
    shares = torch.ones(len(positions)) if weight is None else weight.double().flatten()
    mean = sum(share * f for share, f in zip(shares, positions, strict=True))
    second = sum(share * torch.outer(f, f) for share, f in zip(shares, positions, strict=True))
    return mean / shares.sum(), second / shares.sum()


@pytest.mark.parametrize("weight", [None, weight()], ids=["plain", "weighted"])
def test_moments_are_sums_over_positions(weight):
    found = moments(features(), weight if weight is None else weight.double())

    mean, second = by_the_book(features(), weight)
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(found.second, second)
    torch.testing.assert_close(found.covariance, second - torch.outer(mean, mean))


def test_second_moment_equals_matrix_computed_by_hand():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, -1.0]]]])

    found = moments(maps)

    # rows (1,2,3,4) and (0,1,0,-1): products 30, -2, -2, 2, over 4 positions
    assert found.second.tolist() == [[7.5, -0.5], [-0.5, 0.5]]
    assert found.mean.tolist() == [2.5, 0.0]


def test_positions_without_weight_do_not_count():
    left = torch.zeros(6, 7, dtype=torch.float64)
    left[:, :3] = 1

    found = moments(features(), left)

    alone = moments(features()[..., :3])
    torch.testing.assert_close(found.mean, alone.mean)
    torch.testing.assert_close(found.second, alone.second)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_gradients_agree_with_finite_differences(weighted):
    shares = weight().double() if weighted else None
    skew = features(5, 1, 5, seed=9)[0, :, 0]  # no symmetric slope, as the closed form allows

    def term(maps):
        first, second = moment_sums(maps, shares)
        return first.square().sum() + (second * skew).sum()

    assert torch.autograd.gradcheck(term, features().requires_grad_())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bfloat16_features_give_float32_moments(layout):
    coarse = features(16, 40, 50, dtype=torch.bfloat16).to(memory_format=layout)

    found = moments(coarse)

    exact = moments(coarse.double())
    assert found.mean.dtype == found.second.dtype == torch.float32
    torch.testing.assert_close(found.second.double(), exact.second, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.mean.double(), exact.mean, rtol=1e-5, atol=1e-5)


def test_gradient_has_the_features_format():
    coarse = features(dtype=torch.bfloat16).requires_grad_()

    first, second = moment_sums(coarse, weight())
    (first.sum() + second.sum()).backward()

    assert coarse.grad.dtype == torch.bfloat16
    exact = coarse.detach().double().requires_grad_()
    first, second = moment_sums(exact, weight().double())
    (first.sum() + second.sum()).backward()
    error = (coarse.grad.double() - exact.grad).norm() / exact.grad.norm()
    assert error < 0.02


def test_sums_of_tiles_add_up():
    maps, shares = features(), weight().double()

    whole = moment_sums(maps, shares)
    parts = [moment_sums(maps[..., cut], shares[:, cut]) for cut in (slice(0, 3), slice(3, 7))]

    for total, *pieces in zip(whole, *parts, strict=True):
        torch.testing.assert_close(sum(pieces), total)


def test_blend_has_the_moments_of_both_pictures_together():
    dark, bright = features(), 3 + features(width=21, seed=1)

    mixed = blend([(0.25, moments(dark)), (0.75, moments(bright))])

    together = moments(torch.cat((dark, bright), dim=3))
    torch.testing.assert_close(mixed.mean, together.mean)
    torch.testing.assert_close(mixed.second, together.second)
    torch.testing.assert_close(mixed.covariance, together.covariance)


def test_energy_is_the_mean_squared_length():
    found = Moments(torch.zeros(2), torch.tensor([[3.0, 1.0], [1.0, 4.0]]))

    assert found.energy.item() == 7


@pytest.fixture
def exact_setting():
    setting = torch.backends.mkldnn.matmul
    before, setting.fp32_precision = setting.fp32_precision, "ieee"
    yield setting
    setting.fp32_precision = before


def test_precision_of_float32_products_is_left_as_it_was(exact_setting):
    moments(features(dtype=torch.bfloat16))
    after = exact_setting.fp32_precision
    with pytest.raises(RuntimeError, match="halfway"):
        moments(Failing.of(features(dtype=torch.bfloat16)))

    assert after == "ieee"
    assert exact_setting.fp32_precision == "ieee"


class Failing(torch.Tensor):
    """Features whose sum cannot be had."""

    @classmethod
    def of(cls, maps):
        return maps.as_subclass(cls)

    def sum(self, *args, **options):
        raise RuntimeError("halfway")
