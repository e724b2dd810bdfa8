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
        {"stylization": 1.5},
        {"stylization": 0.5, "style_weight": 3},
        {"stylization": 0.5, "content_weight": 0},
        {"stylization": 1, "content_weight": 1e12},
        {"histogram_weight": 1, "style_layers": {"relu2_1": 1}},
        {"histogram_weight": 1, "style_weight": 0},
        {"bit_depth": 16, "format": "jpeg"},
        {"bit_depth": 16, "format": "webp"},
        {"bit_depth": 12},
        {"style_scale": 0},
    ],
    ids=lambda bad: " ".join(f"{name}={value!r}" for name, value in bad.items()),
)
def test_bad_value_is_refused(bad):
    with pytest.raises(ValidationError):
        StyleParams(**bad)


@pytest.mark.parametrize(("stylization", "weight"), [(0, 2), (0.5, 20), (1, 200)])
def test_stylization_spans_style_weights_around_the_default(stylization, weight):
    params = StyleParams(stylization=stylization)

    assert params.style_weight == pytest.approx(weight)
    assert params.content_weight == 1
    assert StyleParams().style_weight == 20


@pytest.mark.parametrize("loss", ["wasserstein", "gatys"])
def test_middle_stylization_is_what_each_loss_has_without_it(loss):
    bare = StyleParams(loss=loss)

    params = StyleParams(loss=loss, stylization=0.5)

    assert params.style_weight == pytest.approx(bare.style_weight)


@pytest.mark.parametrize("name", PRESETS)
def test_stylization_has_precedence_over_a_presets_style_weight(name):
    params = StyleParams(preset=name, stylization=1)

    middle = StyleParams(preset=name).style_weight
    assert params.style_weight == pytest.approx(10 * middle)


def test_stylization_is_relative_to_the_content_weight():
    params = StyleParams(stylization=0.5, content_weight=4)

    assert params.style_weight == pytest.approx(80)


@pytest.mark.parametrize("preset", [None, *PRESETS])
@pytest.mark.parametrize("stylization", [0, 0.3, 0.77, 1])
def test_stylization_survives_json_beside_the_weight_that_it_set(preset, stylization):
    params = StyleParams(preset=preset, stylization=stylization, content_weight=0.7)

    back = StyleParams.model_validate_json(params.model_dump_json())

    assert back == params
    assert back.style_weight == params.style_weight


@pytest.mark.parametrize(
    ("size", "count"), [(64, 1), (128, 1), (181, 2), (256, 3), (512, 5), (1024, 7), (4096, 11)]
)
def test_pyramid_begins_at_128_pixels(size, count):
    params = StyleParams(size=size)

    sizes = [scale.width for scale in schedule.plan(size, size, params)]

    assert params.scales == len(sizes) == count
    assert sizes[0] == min(size, 128)
    assert sizes[-1] == size


def test_sixteen_bits_are_for_png():
    assert StyleParams(bit_depth=16).format == "png"


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
    assert layers.downsampling("relu1_2") == 1
    assert layers.deepest(["relu4_2", "relu1_1", "relu5_1"]) == "relu5_1"


@pytest.mark.parametrize("preset", [[], {}, ["fast"], 1, "no such"])
def test_preset_that_is_no_name_is_refused_like_any_bad_value(preset):
    with pytest.raises(ValidationError) as refused:
        StyleParams.model_validate({"preset": preset})

    assert refused.value.errors()[0]["loc"] == ("preset",)
