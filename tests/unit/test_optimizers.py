import copy

import pytest
import torch

from nst_core.optimizers import RunningAverage, make_optimizer, take_step

START = (-1.0, 1.5, 0.5, 2.0)


def valley(x):
    """Rosenbrock's function: curved, ill-conditioned, minimum 0 at ones."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def descend(kind, steps, *, pixels=None, state=None):
    pixels = torch.tensor(START, requires_grad=True) if pixels is None else pixels
    optimizer = make_optimizer(kind, pixels, learning_rate=0.01 if kind == "adam" else 1.0)
    if state is not None:
        optimizer.load_state_dict(state)
    for _ in range(steps):
        take_step(optimizer, lambda: valley(pixels))
    return pixels, optimizer


@pytest.mark.parametrize("kind", ["adam", "lbfgs"])
def test_every_step_is_one_evaluation(kind):
    pixels = torch.tensor(START, requires_grad=True)
    optimizer = make_optimizer(kind, pixels, learning_rate=0.01)
    evaluations = []

    for _ in range(7):
        take_step(optimizer, lambda: evaluations.append(1) or valley(pixels))

    assert len(evaluations) == 7


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

    take_step(optimizer, lambda: pixels.sum())

    # in normalised pixels, whose unit is about 0.226 of the 0–1 range
    assert (pixels * 0.226).detach().flatten()[0].item() == pytest.approx(-0.02, rel=1e-3)


def test_average_of_equal_iterates_is_the_iterate():
    average = RunningAverage(0.9, torch.zeros(2))

    for _ in range(3):
        average.add(torch.tensor([1.0, -2.0]))

    torch.testing.assert_close(average.mean, torch.tensor([1.0, -2.0]))


def test_average_weighs_late_iterates_more():
    average = RunningAverage(0.5, torch.zeros(1))

    for value in (0.0, 0.0, 7.0):
        average.add(torch.tensor([value]))

    assert average.mean.item() == pytest.approx(7 * 4 / 7)  # weights 1, 2, 4
