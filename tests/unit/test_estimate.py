import pytest

from nst_core.estimate import estimate_bytes


@pytest.mark.parametrize(
    ("edge", "measured_mib"), [(256, 271), (512, 951)], ids=["256 px", "512 px"]
)
def test_estimate_lies_above_what_was_measured_by_half_at_most(edge, measured_mib):
    estimate = estimate_bytes(edge, edge) / 2**20

    assert measured_mib < estimate < 1.5 * measured_mib


def test_estimate_knows_no_orientation():
    assert estimate_bytes(300, 200) == estimate_bytes(200, 300)
