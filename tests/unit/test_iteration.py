import pytest
import torch
from PIL import Image

from nst_core.checkpoint import Checkpoint
from nst_core.iteration import Iteration
from nst_core.objective import Terms
from nst_core.params import StyleParams
from nst_core.pixels import denormalise, normalise
from nst_core.schedule import Scale

PHOTO = Image.new("RGB", (48, 40), "grey")
PLAN = (Scale(32, 32, 3), Scale(48, 40, 3))


def started(optimizer="adam", *, grey=0.5, plan=PLAN, **changes):
    pixels = normalise(torch.full((1, 3, 32, 32), grey))
    return Iteration(pixels, StyleParams(size=64, optimizer=optimizer, **changes), plan)


def towards(grey, *, factor=1.0):
    """Evaluate as an objective would that is least where all pixels have one grey."""

    def evaluate(pixels):
        pixels.grad = None
        target = normalise(torch.full_like(pixels, grey))
        loss = factor * (pixels - target).square().mean()
        loss.backward()
        zero = torch.zeros(())
        return Terms(loss.detach(), zero, zero)

    return evaluate


def scripted(totals):
    """Evaluate to one total after another, with the gradient of a slope."""
    left = iter(totals)

    def evaluate(pixels):
        pixels.grad = torch.full_like(pixels, 1e-3)
        zero = torch.zeros(())
        return Terms(torch.tensor(next(left)), zero, zero)

    return evaluate


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_restored_state_saves_the_same_checkpoint(optimizer):
    state = started(optimizer)
    state.advance(towards(0.8))
    state.advance(scripted([float("nan")]))
    saved = Checkpoint.from_bytes(state.checkpoint("ab").to_bytes())

    restored = Iteration.restore(saved, state.params, plan=PLAN, device=torch.device("cpu"))

    assert saved.recoveries == 1
    assert restored.checkpoint("ab").to_bytes() == saved.to_bytes()


def test_adam_keeps_within_what_a_picture_can_show():
    state = started(grey=0.99, learning_rate=0.5)

    state.advance(towards(5.0))

    unit = denormalise(state.checkpoint("").pixels)
    assert unit.min() >= 0.99
    assert unit.max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("loss", "ratio"), [("wasserstein", 32 * 32 / (48 * 40)), ("gatys", 1.0)], ids=str
)
def test_next_scale_takes_up_adams_pace(loss, ratio):
    state = started(loss=loss)
    for _ in range(3):
        state.advance(towards(0.8))
    before = state.checkpoint("").optimizer["state"][0]

    state.enter_scale(PHOTO)

    after = state.checkpoint("").optimizer["state"][0]
    assert after["step"] == 3
    assert after["exp_avg"].shape == (1, 3, 40, 48)
    expected = before["exp_avg"].mean().item() * ratio
    assert after["exp_avg"].mean().item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("init", "gains"), [("content", True), ("random", False)])
def test_next_scale_brings_the_photos_detail_if_the_start_was_the_photo(init, gains):
    state = started(init=init)
    for _ in range(3):
        state.advance(towards(0.8))
    stripes = Image.new("RGB", (48, 40))
    stripes.paste("white", (0, 0, 48, 1))
    stripes.paste("white", (0, 20, 48, 21))

    state.enter_scale(stripes)

    rows = denormalise(state.checkpoint("").pixels).mean(dim=(0, 1, 3))
    assert (rows[20] - rows[17] > 0.2) == gains


def test_next_scale_begins_with_no_totals():
    """A loss of another size says nothing about whether this one has settled."""
    state = started()
    for _ in range(3):
        state.advance(towards(0.8))

    state.enter_scale(PHOTO)

    assert state.checkpoint("").totals == []
    assert (state.scale_index, state.scale_step, state.step) == (1, 0, 3)


def test_last_iterate_of_a_scale_is_judged_as_well():
    state = started("lbfgs", plan=(Scale(32, 32, 1),))

    state.advance(towards(0.8, factor=100.0))

    assert state.finished
    assert torch.equal(state.shown, state.checkpoint("").pixels)
    assert denormalise(state.shown).mean() > 0.50001


def test_lbfgs_that_goes_astray_begins_anew_from_its_best():
    state = started("lbfgs", plan=(Scale(32, 32, 9),))
    evaluate = scripted([3.0, 1.0, 2.0, 5.0])

    for _ in range(3):
        state.advance(evaluate)
    before = state.checkpoint("")
    state.advance(evaluate)

    after = state.checkpoint("")
    assert after.recoveries == 0  # that many times the numbers were broken
    assert after.rate == before.rate / 2
    assert torch.equal(after.pixels, before.shown["best"])


def test_adam_may_overshoot():
    state = started(plan=(Scale(32, 32, 9),))
    evaluate = scripted([1.0, 50.0])

    for _ in range(2):
        state.advance(evaluate)

    assert state.checkpoint("").recoveries == 0
