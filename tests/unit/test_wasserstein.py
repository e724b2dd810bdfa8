import pytest
import torch

from nst_core.moments import Moments
from nst_core.wasserstein import (
    TAIL,
    Target,
    root_trace,
    roots_by_eigenvalues,
    roots_by_newton_schulz,
    squared_distance,
)
from tests.features import moments


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def gaussian(mean, covariance):
    return Moments(mean, covariance + torch.outer(mean, mean))


def features(channels=6, height=9, width=11, *, seed=0):
    return noise(1, channels, height, width, seed=seed) @ noise(width, width, seed=seed + 50)


def rotation(size):
    return torch.linalg.qr(noise(size, size, seed=7)).Q


def test_equal_statistics_have_no_distance():
    same = moments(features())

    distance = squared_distance(same, Target.of(same))

    # no more than what the left out tail can make
    assert abs(distance.item()) <= 2 * TAIL * same.energy.item()


def test_distance_of_diagonal_covariances_is_that_of_their_roots():
    first, second = torch.tensor([4.0, 1.0, 9.0]), torch.tensor([1.0, 16.0, 9.0])
    zero = torch.zeros(3)

    distance = squared_distance(
        gaussian(zero, first.diag()), Target.of(gaussian(zero, second.diag()))
    )

    assert distance.item() == pytest.approx((2 - 1) ** 2 + (1 - 4) ** 2 + 0, rel=1e-3)


def test_distance_of_commuting_covariances_is_that_of_their_roots():
    turn, zero = rotation(4), torch.zeros(4, dtype=torch.float64)
    first, second = (torch.tensor(v, dtype=torch.float64) for v in ([1, 4, 9, 2], [3, 1, 5, 7]))

    distance = squared_distance(
        gaussian(zero, turn @ first.diag() @ turn.T),
        Target.of(gaussian(zero, turn @ second.diag() @ turn.T)),
    )

    expected = (first.sqrt() - second.sqrt()).square().sum()
    assert distance.item() == pytest.approx(expected.item(), rel=1e-3)


def test_distance_of_general_covariances_is_the_same_both_ways():
    first, second = moments(features()), moments(features(seed=1))

    there = squared_distance(first, Target.of(second))
    back = squared_distance(second, Target.of(first))

    scale = first.energy + second.energy
    assert abs(there - back) / scale < 2 * TAIL
    assert there / scale > 0.05


@pytest.mark.parametrize("sign", [1, -1])
def test_shift_of_the_mean_counts_by_its_squared_length(sign):
    spread = moments(features()).covariance
    zero, shift = torch.zeros(6, dtype=torch.float64), sign * 3 * noise(6, seed=4)

    distance = squared_distance(gaussian(shift, spread), Target.of(gaussian(zero, spread)))

    unmoved = squared_distance(gaussian(zero, spread), Target.of(gaussian(zero, spread)))
    assert (distance - unmoved).item() == pytest.approx(shift.square().sum().item())


def test_gradients_agree_with_finite_differences():
    target = Target.of(moments(features(seed=1)))

    assert torch.autograd.gradcheck(
        lambda maps: squared_distance(moments(maps), target), features().requires_grad_()
    )


def test_gradient_pulls_towards_the_target():
    maps, target = features(), Target.of(moments(features(seed=1)))
    before = squared_distance(moments(maps), target)

    for _ in range(200):
        maps = maps.detach().requires_grad_()
        loss = squared_distance(moments(maps), target)
        loss.backward()
        maps = maps - 20 * maps.grad  # 99 positions share the gradient

    assert loss < 0.01 * before


@pytest.mark.parametrize("positions", [1, 2, 5])
def test_fewer_positions_than_channels_have_a_finite_gradient(positions):
    few = noise(1, 16, 1, positions).float().requires_grad_()
    target = Target.of(moments(noise(1, 16, 6, 6, seed=1).float()))

    loss = squared_distance(moments(few), target)
    loss.backward()

    assert loss.isfinite()
    assert few.grad.isfinite().all()
    assert few.grad.abs().max() < 1e3 * few.detach().abs().max()


def test_rounding_to_bfloat16_does_not_drown_the_gradient():
    """Of 64 directions 20 positions fill 19; all others hold what was rounded off."""
    target = Target.of(moments((5 + noise(1, 64, 20, 20, seed=1)).float()))
    exact, coarse = ((5 + noise(1, 64, 4, 5)).to(kind) for kind in (torch.float32, torch.bfloat16))

    for maps in (exact, coarse):
        squared_distance(moments(maps.requires_grad_()), target).backward()

    ours, its = coarse.grad.float().flatten(), exact.grad.flatten()
    assert torch.cosine_similarity(ours, its, dim=0) > 0.9


def test_flat_features_have_a_finite_gradient():
    flat = torch.full((1, 8, 5, 5), 0.5, requires_grad=True)

    loss = squared_distance(moments(flat), Target.of(moments(features(8).float())))
    loss.backward()

    assert loss.isfinite()
    assert flat.grad.isfinite().all()


def test_flat_target_is_only_a_mean():
    flat = moments(torch.full((1, 6, 4, 4), 2.0, dtype=torch.float64))
    found = moments(features())

    distance = squared_distance(found, Target.of(flat))

    expected = (found.mean - 2).square().sum() + found.covariance.trace()
    assert distance.item() == pytest.approx(expected.item(), rel=1e-6)


def test_flat_features_and_a_flat_target_have_a_finite_gradient():
    flat = torch.full((1, 6, 4, 4), 2.0, requires_grad=True)
    target = Target.of(moments(torch.ones(1, 6, 4, 4)))

    loss = squared_distance(moments(flat), target)
    loss.backward()

    assert loss.item() == pytest.approx(6, rel=1e-5)
    assert flat.grad.isfinite().all()


def test_target_keeps_all_but_the_tail_of_the_variance():
    values = torch.tensor([1e-5, 3e-4, 5e-4, 0.01, 0.3, 0.7], dtype=torch.float64)
    turn = rotation(6)
    spread = turn @ values.diag() @ turn.T

    target = Target.of(gaussian(torch.zeros(6, dtype=torch.float64), spread))

    assert target.factor.shape == (6, 3)
    lost = (spread - target.factor @ target.factor.T).trace() / spread.trace()
    assert 0 < lost <= TAIL


def test_target_of_a_full_spectrum_is_the_whole_covariance():
    spread = moments(features()).covariance + torch.eye(6)

    target = Target.of(gaussian(torch.zeros(6, dtype=torch.float64), spread))

    torch.testing.assert_close(target.factor @ target.factor.T, spread)


def test_nan_comes_out_and_nothing_is_raised():
    target = Target.of(moments(features().float()))
    broken = features().float()
    broken[0, 1, 2, 3] = torch.nan
    broken.requires_grad_()

    loss = squared_distance(moments(broken), target)
    loss.backward()

    assert loss.isnan()
    assert broken.grad.isnan().any()


def test_root_trace_is_that_of_the_matrix_root():
    covariance, factor = moments(features()).covariance, noise(6, 4, seed=3)

    found = root_trace(covariance, factor)

    values = torch.linalg.eigvals(covariance @ factor @ factor.T).real.clamp_min(0)
    assert found.item() == pytest.approx(values.sqrt().sum().item(), rel=1e-6)


@pytest.mark.parametrize("size", [2, 8, 40])
def test_newton_schulz_agrees_with_eigenvalues(size):
    turn = rotation(size)
    values = torch.logspace(-4, 0, size, dtype=torch.float64)
    matrix = 30 * turn @ values.diag() @ turn.T

    trace, inverse = roots_by_newton_schulz(matrix.float())

    exact_trace, exact_inverse = roots_by_eigenvalues(matrix)
    assert trace.item() == pytest.approx(exact_trace.item(), rel=1e-3)
    strong = turn[:, values > 1e-3]
    error = strong.T @ (inverse.double() - exact_inverse) @ strong
    assert error.norm() < 0.01 * (strong.T @ exact_inverse @ strong).norm()


def test_newton_schulz_stays_finite_at_flat_directions():
    flat = noise(40, 3)
    matrix = (flat @ flat.T).float()

    trace, inverse = roots_by_newton_schulz(matrix)

    exact, _ = roots_by_eigenvalues(matrix.double())
    assert inverse.isfinite().all()
    assert trace.item() == pytest.approx(exact.item(), rel=0.02)


@pytest.mark.parametrize("roots", [roots_by_eigenvalues, roots_by_newton_schulz])
def test_roots_of_nothing_are_finite_and_those_of_nan_are_nan(roots):
    nothing, _ = roots(torch.zeros(4, 4))

    unknown, _ = roots(torch.full((4, 4), torch.nan))

    assert abs(nothing) < 1e-6
    assert unknown.isnan()


def test_newton_schulz_never_takes_more_than_there_is_from_faint_directions():
    """Most of a deep layer's directions are faint; each root too large would add up."""
    faint = torch.diag(torch.cat((torch.ones(4), torch.full((196,), 1e-8))))

    trace, _ = roots_by_newton_schulz(faint)

    assert trace.item() <= faint.diagonal().sqrt().sum().item() * 1.001
