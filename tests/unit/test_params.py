import pytest
from pydantic import ValidationError

from nst_core import layers, schedule
from nst_core.errors import InvalidParams
from nst_core.params import PRESETS, StyleParams


def test_preset_fills_in_what_is_not_given():
    params = StyleParams(preset="gatys", steps=7)

    assert (params.loss, params.optimizer, params.pooling) == ("gatys", "lbfgs", "average")
    assert params.steps == 7


@pytest.mark.parametrize("name", [None, *PRESETS])
def test_resolved_params_survive_json(name):
    params = StyleParams(preset=name)

    assert StyleParams.model_validate_json(params.model_dump_json()) == params


def test_learning_rate_follows_the_optimizer():
    assert StyleParams(optimizer="lbfgs").learning_rate == 1
    assert StyleParams(optimizer="adam").learning_rate < 0.1
    assert StyleParams(optimizer="lbfgs", learning_rate=0.5).learning_rate == 0.5


@pytest.mark.parametrize(
    "bad",
    [
        {"size": 63},
        {"steps": 0},
        {"content_weight": float("nan")},
        {"style_weight": -1},
        {"content_weight": 0, "style_weight": 0},
        {"style_layers": {}},
        {"style_layers": {"relu6_1": 1}},
        {"content_layers": {"relu4_2": 0}},
        {"preset": "best"},
        {"unknown": 1},
        {"tolerance": 1},
    ],
    ids=lambda bad: "-".join(bad) + repr(next(iter(bad.values()))),
)
def test_bad_value_is_refused(bad):
    with pytest.raises(ValidationError):
        StyleParams(**bad)


def test_blend_sums_to_one():
    assert StyleParams(style_blend=(3, 1)).blend_for(2) == (0.75, 0.25)
    assert StyleParams().blend_for(4) == (0.25,) * 4
    with pytest.raises(InvalidParams):
        StyleParams(style_blend=(3, 1)).blend_for(3)


@pytest.mark.parametrize(
    ("steps", "scales", "size"),
    [(300, 4, 512), (1, 4, 512), (3, 6, 1024), (11, 12, 64), (7, 2, 99)],
)
def test_plan_spends_every_step_from_small_to_large(steps, scales, size):
    plan = schedule.plan(300, 200, StyleParams(steps=steps, scales=scales, size=size))

    assert sum(scale.steps for scale in plan) == steps
    assert all(scale.steps > 0 for scale in plan)
    assert [scale.width for scale in plan] == sorted({scale.width for scale in plan})
    assert (plan[-1].width, plan[-1].height) == schedule.fit(300, 200, size)


def test_pixel_steps_add_up_to_the_plans_work():
    plan = schedule.plan(300, 200, StyleParams(steps=30, scales=3))

    whole = sum(scale.steps * scale.width * scale.height for scale in plan)
    assert schedule.pixel_steps(plan, 30) == whole
    assert schedule.pixel_steps(plan, 0) == 0
    first = plan[0]
    assert schedule.pixel_steps(plan, first.steps) == first.steps * first.width * first.height


def test_layer_names_are_torchvisions_places():
    assert layers.depth("conv1_1") == 0
    assert layers.depth("relu4_2") == 22
    assert layers.depth("conv5_1") == 28
    assert len(layers.LAYERS) == 37
    assert layers.downsampling("relu5_1") == 16
    assert layers.deepest(["relu4_2", "relu1_1", "relu5_1"]) == "relu5_1"


@pytest.mark.parametrize("preset", [[], {}, ["fast"], 1, "no such"])
def test_preset_that_is_no_name_is_refused_like_any_bad_value(preset):
    with pytest.raises(ValidationError) as refused:
        StyleParams.model_validate({"preset": preset})

    assert refused.value.errors()[0]["loc"] == ("preset",)
