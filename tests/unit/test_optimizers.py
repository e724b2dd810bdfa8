import copy

import pytest
import torch

from nst_core.optimizers import (
    BestIterate,
    RunningAverage,
    hand_over,
    make_optimizer,
    make_shown,
)

START = (-1.0, 1.5, 0.5, 2.0)


def valley(x):
    """Rosenbrock's function: curved, ill-conditioned, minimum 0 at ones."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def take_step(optimizer, evaluate):
    """Step as the engine does: the gradient is there when the optimiser asks for the loss."""
    optimizer.zero_grad()
    loss = evaluate()
    loss.backward()
    optimizer.step(lambda: loss)


def descend(kind, steps, *, pixels=None, state=None):
    pixels = torch.tensor(START, requires_grad=True) if pixels is None else pixels
    optimizer = make_optimizer(kind, pixels, learning_rate=0.01 if kind == "adam" else 1.0)
    if state is not None:
        optimizer.load_state_dict(state)
    for _ in range(steps):
        take_step(optimizer, lambda: valley(pixels))
    return pixels, optimizer


def picture(height, width, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, height, width, generator=generator)


def stepped(kind, pixels, steps=3):
    """Return an optimiser that has taken some steps towards noise."""
    pixels = pixels.requires_grad_()
    optimizer = make_optimizer(kind, pixels, learning_rate=0.02)
    target = picture(*pixels.shape[-2:], seed=1)
    for _ in range(steps):
        take_step(optimizer, lambda: (pixels - target).square().sum())
    return optimizer


@pytest.mark.parametrize("kind", ["adam", "lbfgs"])
def test_every_step_asks_for_the_loss_once(kind):
    pixels = torch.tensor(START, requires_grad=True)
    optimizer = make_optimizer(kind, pixels, learning_rate=0.01)
    loss = valley(pixels)
    loss.backward()
    asked = []

    optimizer.step(lambda: asked.append(1) or loss)

    assert asked == [1]


def test_lbfgs_keeps_its_history_between_steps():
    pixels = torch.tensor(START, requires_grad=True)
    whole = torch.optim.LBFGS(
        [pixels], max_iter=40, max_eval=99, history_size=10, tolerance_grad=0, tolerance_change=0
    )

    def closure():
        whole.zero_grad()
        loss = valley(pixels)
        loss.backward()
        return loss

    whole.step(closure)
    stepwise, _ = descend("lbfgs", 40)

    assert torch.equal(stepwise, pixels)


@pytest.mark.parametrize("kind", ["adam", "lbfgs"])
def test_restored_state_goes_on_bit_for_bit(kind):
    straight, _ = descend(kind, 30)

    halfway, optimizer = descend(kind, 15)
    state = copy.deepcopy(optimizer.state_dict())
    resumed, _ = descend(kind, 15, pixels=halfway.detach().clone().requires_grad_(), state=state)

    assert torch.equal(resumed, straight)


def test_first_adam_step_moves_pixels_by_the_learning_rate():
    pixels = torch.zeros(1, 3, 2, 2, requires_grad=True)
    optimizer = make_optimizer("adam", pixels, learning_rate=0.02)

    take_step(optimizer, pixels.sum)

    # in normalised pixels, whose unit is about 0.226 of the 0–1 range
    assert (pixels * 0.226).detach().flatten()[0].item() == pytest.approx(-0.02, rel=1e-3)


def test_adams_moments_grow_with_the_picture():
    old = stepped("adam", picture(12, 17))
    large = picture(17, 24).requires_grad_()
    new = make_optimizer("adam", large, learning_rate=0.02)

    hand_over(old, new, gradient_ratio=0.5)

    (before,) = old.state.values()
    after = new.state[large]
    assert after["step"] == before["step"] == 3
    assert after["exp_avg"].shape == after["exp_avg_sq"].shape == large.shape
    assert after["exp_avg_sq"].min() >= 0
    mean, square = before["exp_avg"], before["exp_avg_sq"]
    assert after["exp_avg"].mean().item() == pytest.approx(mean.mean().item() / 2, rel=0.1)
    assert after["exp_avg_sq"].mean().item() == pytest.approx(square.mean().item() / 4, rel=0.1)


def test_handed_over_moments_are_copies():
    pixels = picture(8, 8)
    old = stepped("adam", pixels)
    new = make_optimizer("adam", picture(8, 8).requires_grad_(), learning_rate=0.02)
    hand_over(old, new, gradient_ratio=1.0)
    (state,) = new.state.values()
    step, mean = state["step"].clone(), state["exp_avg"].clone()

    take_step(old, lambda: pixels.square().sum())

    assert torch.equal(state["step"], step)
    assert torch.equal(state["exp_avg"], mean)


def test_handed_over_adam_takes_up_the_pace():
    """Fresh, it would move every pixel by a full step along the sign of its gradient."""
    old = stepped("adam", torch.full((1, 3, 8, 8), 4.0), steps=60)
    large = torch.zeros(1, 3, 16, 16, requires_grad=True)
    new = make_optimizer("adam", large, learning_rate=0.02)
    hand_over(old, new, gradient_ratio=1.0)

    take_step(new, lambda: 1e-3 * large.sum())

    full_step = 0.02 / 0.226
    assert large.abs().max() < 0.9 * full_step


def test_lbfgs_begins_anew_at_another_size():
    old = stepped("lbfgs", picture(8, 8))
    new = make_optimizer("lbfgs", picture(12, 12).requires_grad_(), learning_rate=1.0)

    hand_over(old, new, gradient_ratio=1.0)

    assert not new.state


def test_adam_that_took_no_step_hands_nothing_over():
    old = make_optimizer("adam", picture(8, 8).requires_grad_(), learning_rate=0.02)
    new = make_optimizer("adam", picture(12, 12).requires_grad_(), learning_rate=0.02)

    hand_over(old, new, gradient_ratio=1.0)

    assert not new.state


def test_average_of_equal_iterates_is_the_iterate():
    average = RunningAverage(torch.tensor([1.0, -2.0]))

    for _ in range(3):
        average.add(torch.tensor([1.0, -2.0]))

    torch.testing.assert_close(average.pixels, torch.tensor([1.0, -2.0]))


def test_average_weighs_late_iterates_more():
    average = RunningAverage(torch.zeros(1))

    for value in (0.0, 7.0):
        average.add(torch.tensor([value]))

    assert average.pixels.item() == pytest.approx(7 / (0.81 + 0.9 + 1))


def test_best_iterate_is_the_one_with_the_least_loss():
    best = BestIterate(torch.zeros(2))

    for value, loss in ((1.0, 5.0), (2.0, 3.0), (3.0, 4.0), (4.0, float("nan"))):
        best.judge(torch.full((2,), value), loss)

    assert best.pixels.tolist() == [2.0, 2.0]
    assert best.lowest == 3.0


def test_best_iterate_is_a_copy():
    best, moving = BestIterate(torch.zeros(2)), torch.ones(2)
    best.judge(moving, 1.0)

    moving.fill_(7)

    assert best.pixels.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", ["adam", "lbfgs"])
def test_shown_picture_goes_on_from_its_state(kind):
    straight = make_shown(kind, torch.zeros(2))
    straight.add(torch.ones(2))
    straight.judge(torch.ones(2), 3.0)

    resumed = make_shown(kind, torch.full((2,), 9.0))
    resumed.load_state_dict(copy.deepcopy(straight.state_dict()))
    for shown in (straight, resumed):
        shown.add(torch.full((2,), 5.0))
        shown.judge(torch.full((2,), 5.0), 4.0)

    assert torch.equal(resumed.pixels, straight.pixels)
