import pytest
import torch

from nst_core import histograms
from nst_core.histograms import BINS


def values(power, *, channels=3, height=40, width=30, seed=0):
    """Features in 0–1, the more of them near 0 the higher the power."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, channels, height, width, generator=generator) ** power


def shares_of(maps, top, weight=None):
    return histograms.shares(histograms.counts(maps, top, weight))


TOP = torch.tensor([1.0, 1.5, 2.0])


def test_counts_fall_into_even_bins_and_the_rest_into_the_last():
    maps = torch.tensor([0.0, 0.5, 0.999, 1.0, 7.0]).view(1, 1, 1, 5)

    counted = histograms.counts(maps, torch.ones(1))

    assert counted.shape == (1, BINS)
    assert counted.sum() == 5
    assert {int(bin_): int(counted[0, bin_]) for bin_ in counted[0].nonzero()} == {
        0: 1,
        BINS // 2: 1,
        BINS - 1: 3,
    }


def test_channels_are_counted_apart():
    maps = torch.stack([torch.zeros(4, 5), torch.ones(4, 5) / 2]).unsqueeze(0)

    counted = histograms.counts(maps, torch.ones(2))

    assert counted[0, 0] == 20
    assert counted[1, BINS // 2] == 20


def test_counts_of_tiles_add_up():
    maps = values(2)
    weight = torch.rand(40, 30, generator=torch.Generator().manual_seed(5))

    whole = histograms.counts(maps, TOP, weight)
    parts = [
        histograms.counts(maps[:, :, cut], TOP, weight[cut]) for cut in (slice(0, 7), slice(7, 40))
    ]

    assert torch.equal(sum(parts), whole)


def test_positions_without_weight_are_not_counted():
    maps, left = values(2), torch.zeros(40, 30)
    left[:, :10] = 1

    found = shares_of(maps, TOP, left)

    torch.testing.assert_close(found, shares_of(maps[..., :10], TOP))


@pytest.mark.parametrize("grey", [1.0, 0.6, 0.4, 0.1])
def test_an_even_weight_changes_no_histogram(grey):
    maps = values(2)

    found = shares_of(maps, TOP, torch.full((40, 30), grey))

    torch.testing.assert_close(found, shares_of(maps, TOP))


def test_positions_count_by_their_weight():
    maps = torch.tensor([0.1, 0.9]).view(1, 1, 1, 2)

    found = shares_of(maps, torch.ones(1), torch.tensor([[0.2, 0.6]]))

    assert found[0, int(0.1 * BINS)].item() == pytest.approx(0.25)
    assert found[0, int(0.9 * BINS)].item() == pytest.approx(0.75)


@pytest.mark.parametrize(("has", "wants"), [(3, 1), (1, 3), (2, 0.5)])
def test_matching_maps_one_distribution_onto_another(has, wants):
    found, wanted = values(has), values(wants, seed=1)

    table = histograms.matching(shares_of(found, TOP), shares_of(wanted, TOP))

    place = (found.flatten(2)[0] / TOP.unsqueeze(1) * BINS).long().clamp(max=BINS - 1)
    matched = table.gather(1, place).sort(dim=1).values * TOP.unsqueeze(1) / BINS
    exact = wanted.flatten(2)[0].sort(dim=1).values
    # by rank, as sorting would have it, but for what one bin of the original holds together
    largest = shares_of(found, TOP).max(dim=1).values
    assert (matched - exact).abs().mean() < 2 * (TOP / BINS).mean() + largest.mean() / 2
    torch.testing.assert_close(
        matched.median(dim=1).values, exact.median(dim=1).values, rtol=0, atol=0.02
    )
    error = (matched.mean(dim=1) - exact.mean(dim=1)).abs()
    assert (error < TOP / BINS).all()


def test_bins_that_share_a_place_are_spread_over_it():
    found, wanted = torch.zeros(1, BINS), torch.zeros(1, BINS)
    found[0, 10] = found[0, 20] = 0.5
    wanted[0, 100] = 1

    table = histograms.matching(found, wanted)

    assert table[0, [10, 20]].tolist() == [100.25, 100.75]


def test_histogram_of_nothing_is_empty():
    nothing = shares_of(values(2), TOP, torch.zeros(40, 30))

    assert nothing.abs().max() == 0


def test_matching_never_turns_the_order_round():
    table = histograms.matching(shares_of(values(3), TOP), shares_of(values(1, seed=1), TOP))

    assert (table.diff(dim=1) >= -1e-3).all()
    assert table.min() >= 0
    assert table.max() <= BINS


def test_equal_histograms_have_next_to_no_distance():
    maps = values(2)
    same = shares_of(maps, TOP)

    distance = histograms.distance(maps, histograms.matching(same, same), TOP)

    # at most within a bin, whose values spread evenly: a twelfth of its width, squared
    positions = 40 * 30
    assert distance / positions < 1.1 * (TOP / BINS).square().sum() / 12


def test_same_moments_with_another_histogram_have_a_distance():
    spots = torch.zeros(1, 1, 40, 40)
    spots[..., ::2, ::2] = 1  # a quarter is 1: mean 1/4, variance 3/16
    generator = torch.Generator().manual_seed(0)
    smooth = torch.randn(1, 1, 40, 40, generator=generator)
    smooth = (smooth - smooth.mean()) / smooth.std(correction=0) * (3 / 16) ** 0.5 + 1 / 4
    top = torch.tensor([3.0])

    table = histograms.matching(shares_of(smooth.clamp_min(0), top), shares_of(spots, top))
    distance = histograms.distance(smooth, table, top) / 1600

    assert distance > 0.05


def test_gradient_pulls_each_value_to_its_place():
    maps, wanted = values(3).requires_grad_(), values(1, seed=1)
    table = histograms.matching(shares_of(maps.detach(), TOP), shares_of(wanted, TOP))

    histograms.distance(maps, table, TOP).backward()
    moved = (maps - maps.grad / 2).detach()

    before = (shares_of(maps.detach(), TOP) - shares_of(wanted, TOP)).cumsum(dim=1).abs().mean()
    after = (shares_of(moved, TOP) - shares_of(wanted, TOP)).cumsum(dim=1).abs().mean()
    assert after < 0.1 * before


def test_distance_counts_positions_by_weight():
    maps, table = (
        values(2),
        histograms.matching(shares_of(values(2), TOP), shares_of(values(1, seed=1), TOP)),
    )
    left = torch.zeros(40, 30)
    left[:, :10] = 0.5

    weighted = histograms.distance(maps, table, TOP, left)

    alone = histograms.distance(maps[..., :10], table, TOP)
    assert weighted.item() == pytest.approx(alone.item() / 2, rel=1e-5)


def test_silent_channel_has_no_distance_and_divides_by_nothing():
    silent, top = torch.zeros(1, 1, 5, 5), torch.zeros(1)
    same = shares_of(silent, top)

    distance = histograms.distance(silent, histograms.matching(same, same), top)

    assert distance.item() == 0


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_broken_features_give_a_broken_distance_and_raise_nothing(broken):
    maps = values(2)
    maps[0, 1, 2, 3] = broken

    found = shares_of(maps, TOP)
    table = histograms.matching(found, shares_of(values(1, seed=1), TOP))
    distance = histograms.distance(maps, table, TOP)

    assert not distance.isfinite()
