"""A run that was given up and goes on: the same bits as if it had never stopped."""

from itertools import islice

import pytest
import torch
from PIL import Image, ImageDraw

from nst_core.engine import stylize
from nst_core.errors import CheckpointMismatch, OutOfMemory
from nst_core.objective import Objective, Terms
from nst_core.vgg import Vgg
from tests.networks import narrow_network
from tests.stylings import run, small, stop_at

STEPS = [3, 8, 10]
IN_A_SCALE, AT_ITS_END, IN_THE_LAST = STEPS


@pytest.fixture(scope="module")
def narrow():
    return narrow_network()


def cramped(**changes):
    """Parameters whose every scale leaves room for tiles."""
    return small(size=192, **changes)


def have_nothing_fit_whole(monkeypatch):
    evaluate = Objective.evaluate

    def exhausted(self, pixels):
        if self.tiles == 1:
            raise OutOfMemory("whole")
        return evaluate(self, pixels)

    monkeypatch.setattr(Objective, "evaluate", exhausted)


def seen(steps):
    """Return all that a caller sees of a run."""
    return [
        (
            progress.step,
            progress.total_steps,
            progress.scale,
            progress.losses,
            progress.picture().tobytes(),
            progress.samples().tobytes(),
        )
        for progress in steps
    ]


def assert_resumes(step, photo, styles, params, network, **options):
    """Compare a run that stopped after a step with one that did not; return the latter."""
    straight = seen(stylize(photo, styles, params, network=network, **options))

    saved = stop_at(step, photo, styles, params, network, **options)
    resumed = seen(stylize(photo, styles, params, network=network, resume=saved, **options))

    assert straight[step - 1][0] == step
    assert resumed == straight[step:]
    return straight


@pytest.mark.parametrize("loss", ["wasserstein", "gatys"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("step", STEPS)
def test_resumed_run_equals_the_uninterrupted_one(photo, painting, narrow, optimizer, step, loss):
    assert_resumes(step, photo, [painting], small(optimizer=optimizer, loss=loss), narrow)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("step", STEPS)
def test_run_in_tiles_resumes(photo, painting, narrow, monkeypatch, optimizer, step):
    have_nothing_fit_whole(monkeypatch)

    straight = assert_resumes(step, photo, [painting], cramped(optimizer=optimizer), narrow)

    assert all(scale.tiles > 1 for _, _, scale, *_ in straight)


def test_run_in_tiles_keeps_its_tiles_when_memory_is_there_again(
    photo, painting, narrow, monkeypatch
):
    """With other tiles the last bits of a gradient would differ."""
    with monkeypatch.context() as patched:
        have_nothing_fit_whole(patched)
        straight = seen(stylize(photo, [painting], cramped(), network=narrow))
        saved = stop_at(IN_A_SCALE, photo, [painting], cramped(), narrow)

    resumed = seen(stylize(photo, [painting], cramped(), network=narrow, resume=saved))

    assert resumed == straight[IN_A_SCALE:]


@pytest.mark.parametrize("step", STEPS)
def test_run_with_masks_and_histograms_resumes(photo, painting, narrow, step):
    left = Image.new("L", photo.size, 0)
    ImageDraw.Draw(left).rectangle((0, 0, photo.width // 2, photo.height), fill=255)
    masks = (left, left.point(lambda level: 255 - level))
    params = small(histogram_weight=2.0, preserve_color="luminance")

    assert_resumes(step, photo, [painting, painting.rotate(90)], params, narrow, masks=masks)


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_run_in_bfloat16_resumes(photo, painting, narrow, precision):
    assert_resumes(IN_A_SCALE, photo, [painting], small(precision=precision), narrow)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("step", [4, 6, 8, 10])
def test_run_that_had_to_go_back_resumes(photo, painting, narrow, monkeypatch, optimizer, step):
    params = small(optimizer=optimizer)
    with monkeypatch.context() as patched:
        go_astray(patched, at=4)
        straight = seen(stylize(photo, [painting], params, network=narrow))
    with monkeypatch.context() as patched:
        go_astray(patched, at=4)
        saved = stop_at(step, photo, [painting], params, narrow)

    resumed = seen(stylize(photo, [painting], params, network=narrow, resume=saved))

    assert saved.recoveries == 1
    assert resumed == straight[step:]


def go_astray(monkeypatch, *, at):
    """Have one evaluation, counted from 1, come out as no number."""
    evaluate, count = Objective.evaluate, []

    def broken(self, pixels):
        terms = evaluate(self, pixels)
        count.append(1)
        if len(count) != at:
            return terms
        pixels.grad.fill_(torch.nan)
        return Terms(terms.content * torch.nan, terms.style, terms.tv)

    monkeypatch.setattr(Objective, "evaluate", broken)


def test_resume_from_the_last_step_yields_it_again(photo, painting, narrow):
    params = small()
    straight = run(photo, [painting], params, narrow)

    resumed = list(stylize(photo, [painting], params, network=narrow, resume=straight.checkpoint()))

    assert [progress.step for progress in resumed] == [12]
    assert resumed[0].losses == straight.losses
    assert resumed[0].picture().tobytes() == straight.picture().tobytes()


def test_checkpoint_does_not_move_with_the_run(photo, painting, narrow):
    steps = stylize(photo, [painting], small(), network=narrow)
    saved = next(steps).checkpoint()
    before = saved.to_bytes()

    for _ in steps:
        pass

    assert saved.to_bytes() == before


def test_checkpoint_can_be_resumed_from_twice(photo, painting, narrow):
    saved = stop_at(3, photo, [painting], small(), narrow)
    before = saved.to_bytes()

    first, second = (run(photo, [painting], small(), narrow, resume=saved) for _ in range(2))

    assert first.picture().tobytes() == second.picture().tobytes()
    assert saved.to_bytes() == before


@pytest.mark.parametrize("changed", ["params", "content", "style", "mask", "weights"])
def test_checkpoint_of_another_run_is_refused(photo, painting, narrow, changed):
    mask = Image.radial_gradient("L").resize(photo.size)
    saved = stop_at(2, photo, [painting], small(), narrow, masks=(mask,))
    params = small(style_weight=9) if changed == "params" else small()
    content, style, where = (
        each.transpose(Image.Transpose.ROTATE_180).point(lambda level: 255 - level)
        if changed == name
        else each
        for name, each in (("content", photo), ("style", painting), ("mask", mask))
    )
    network = narrow if changed != "weights" else renamed(narrow)

    with pytest.raises(CheckpointMismatch):
        next(stylize(content, [style], params, network=network, masks=(where,), resume=saved))


def renamed(network):
    other = narrow_network()
    other.name = f"not {network.name}"
    assert isinstance(other, Vgg)
    return other


@pytest.mark.parametrize("step", [5, None], ids=["in a scale", "at its end"])
def test_resumed_run_ends_by_tolerance_where_the_uninterrupted_one_does(
    photo, painting, narrow, step
):
    params = small(steps=60, tolerance=0.9)
    straight = list(stylize(photo, [painting], params, network=narrow))
    last_of_first = [p.step for p in straight if p.scale.index == 1][-1]

    saved = stop_at(step or last_of_first, photo, [painting], params, narrow)
    resumed = run(photo, [painting], params, narrow, resume=saved)

    assert saved.scale_ended == (step is None)
    assert (resumed.step, resumed.losses) == (len(straight), straight[-1].losses)


def test_steps_that_were_named_are_where_they_are_said_to_be(photo, painting, narrow):
    steps = list(islice(stylize(photo, [painting], small(), network=narrow), 12))

    index = {progress.step: progress.scale.index for progress in steps}
    assert (index[IN_A_SCALE], index[AT_ITS_END], index[IN_THE_LAST]) == (1, 1, 2)
    assert index[AT_ITS_END + 1] == 2
