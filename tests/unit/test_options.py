import click
import pytest
from click.testing import CliRunner

from nst_core.options import given, params_from, params_options
from nst_core.params import StyleParams


def ask(*arguments):
    """Return what a command with the options of `StyleParams` hears, or its error text."""
    heard = {}

    @click.command()
    @params_options
    def command(**options):
        heard["given"] = given(options)
        heard["params"] = params_from(options)

    result = CliRunner().invoke(command, arguments)
    if result.exit_code:
        assert isinstance(result.exception, SystemExit)
        return result.output
    return heard


def test_every_field_has_an_option_with_its_help():
    @click.command()
    @params_options
    def command(**options):
        pass

    options = {option.name: option for option in command.params}

    assert list(options) == list(StyleParams.model_fields)
    for name, field in StyleParams.model_fields.items():
        assert options[name].opts == [f"--{name.replace('_', '-')}"]
        assert options[name].help.startswith(field.description)


def test_default_is_in_the_help():
    text = help_text()

    assert f"[default: {StyleParams().size}]" in text
    assert "relu4_2=1" in text


def help_text():
    @click.command()
    @params_options
    def command(**options):
        pass

    return " ".join(CliRunner().invoke(command, ["--help"]).output.split())


def test_only_what_was_given_is_passed_on():
    heard = ask("--preset", "fast", "--steps", "7", "--tolerance", "0")

    assert heard["given"] == {"preset": "fast", "steps": 7, "tolerance": 0.0}
    assert heard["params"] == StyleParams(preset="fast", steps=7)


def test_nothing_given_is_the_defaults():
    assert ask()["params"] == StyleParams()


def test_choice_among_numbers_is_a_number():
    heard = ask("--bit-depth", "16")

    assert heard["params"].bit_depth == 16
    assert "'12' is not one of '8', '16'" in ask("--bit-depth", "12")


def test_layers_and_blends_are_written_with_commas():
    heard = ask("--style-layers", "relu1_1=0.5,relu3_1", "--style-blend", "2,1")

    assert heard["params"].style_layers == {"relu1_1": 0.5, "relu3_1": 1.0}
    assert heard["params"].style_blend == (2.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "12"], "--size: Input should be greater than or equal to 64"),
        (["--size", "large"], "'large' is not a valid integer"),
        (["--init", "noise"], "'noise' is not one of"),
        (["--style-layers", "relu9_1"], "'relu9_1' is no layer of VGG19"),
        (["--style-layers", "relu1_1=x"], "'x' in 'relu1_1=x' is no number"),
        (["--style-blend", "1;2"], "no list of numbers"),
        (["--content-weight", "0", "--style-weight", "0"], "nothing to optimise"),
        (["--bit-depth", "16", "--format", "jpeg"], "16 need format png"),
    ],
    ids=["limit", "type", "choice", "layer", "weight", "list", "combination", "depth"],
)
def test_bad_value_names_the_option_and_the_remedy(arguments, message):
    assert message in ask(*arguments)
