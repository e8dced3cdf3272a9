"""Arguments become the command's dataclass; what is wrong is refused with what to write instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zojax.cli import main
from zojax.cli._arguments import EvaluateArguments, Finetune, Replay
from zojax.cli._gallery_arguments import GalleryArguments
from zojax.cli._hints import SYNONYMS, closest, meant_option
from zojax.cli._options import options_of
from zojax.cli._parser import UsageError, parse

pytestmark = pytest.mark.quick


def test_values_have_their_types_and_their_places():
    arguments = (
        "--model m --steps=7 --learning_rate -1e-3 --phases 0.1 0.5 --no-signed-momentum "
        "--label-words bad good --bare --train a.csv --test b.csv --processes 2"
    )
    command = parse("finetune", Finetune, arguments.split())
    config = command.config
    assert (config.model, config.steps, config.optimizer) == ("m", 7, "zo_adamu")
    assert (config.hyper.learning_rate, config.hyper.phases) == (-1e-3, (0.1, 0.5))
    assert (config.hyper.signed_momentum, config.hyper.in_turn) == (False, None)
    assert (config.data.label_words, config.data.bare) == (("bad", "good"), True)
    assert config.data.train == Path("a.csv")
    assert command.job.processes == 2


def test_the_last_of_two_values_counts():
    # A process starts others with its own arguments and --processes=1 after them.
    assert parse("finetune", Finetune, ["--processes=2", "--processes=1"]).job.processes == 1


def test_positional_arguments_may_stand_between_options():
    command = parse("replay", Replay, ["opt-mini", "--output", "new", "run", "--until=3"])
    assert command == Replay("opt-mini", Path("run"), Path("new"), 3)
    assert parse("eval", EvaluateArguments, ["-"]) == EvaluateArguments("-")


REFUSED = {
    "--lr 1": "there is no option --lr. Did you mean --learning-rate?",
    "--bs=4": "there is no option --bs. Did you mean --batch-size?",
    "--epochs 3": "--epochs. Did you mean --steps? (Epochs are counted in steps.)",
    "--output_dir x": "--output_dir. Did you mean --output?",
    "--optimiser=adam": "there is no option --optimiser. Did you mean --optimizer?",
    "-lr 1": "there is no option -lr. Did you mean --learning-rate?",
    "--whatever": "there is no option --whatever.",
    "--step 3": "there is no option --step. Did you mean --steps?",
    "--optimizer mezzo": "adam, sgd, got 'mezzo'. Did you mean mezo?",
    "--optimizer whatever": "adam, sgd, got 'whatever'.",
    "--steps abc": "--steps must be a whole number, got 'abc'.",
    "--eps=1e": "--eps must be a number, got '1e'.",
    "--dtype": "--dtype needs a value.",
    "--label-words": "--label-words needs a value.",
    "--phases 0.1": "--phases needs 2 values.",
    "--overwrite yes": "nothing takes the value 'yes'. Leave it out.",
    "--steps=0": "steps must be >= 1, got 0.",
    "--mesh=x": "mesh must name each axis once, with its size, as in data=2,model=4, got 'x'.",
    "--layout=fully-sharded": "layout needs mesh, got fully-sharded without one.",
    "--learning-rate nan": "learning_rate must be finite, got nan.",
    "--keep -1": "keep must be >= 0, got -1.",
    "--seed -1": "seed must lie within",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_wrong_arguments_are_refused(arguments: str, capsys: pytest.CaptureFixture[str]):
    assert main(["finetune", *arguments.split()]) == 2
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("zojax: finetune: ")
    assert REFUSED[arguments] in first
    assert last == "    zojax finetune --help"


def test_what_is_missing_is_named():
    with pytest.raises(UsageError, match=r"^replay: base and log and --output must be given\.$"):
        parse("replay", Replay, [])


def test_choices_of_several_values_are_checked_too():
    with pytest.raises(UsageError, match=r"got 'adm'\. Did you mean adam"):
        parse("gallery", GalleryArguments, ["--optimizers", "mezo", "adm"])


COMMANDS = {
    "finetun": "there is no command finetun. Did you mean finetune?",
    "train": "there is no command train. There are finetune, eval, ",
    "--model": "options come after a command, got --model, as in:",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_commands_are_refused(command: str, capsys: pytest.CaptureFixture[str]):
    assert main([command]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"zojax: {COMMANDS[command]}")
    assert error.endswith("\n    zojax --help\n")


def test_synonyms_lead_to_options_that_there_are_and_are_none_themselves():
    flags = [one.flag for one in options_of(Finetune)]
    for name, option in SYNONYMS.items():
        assert f"--{option}" in flags
        assert f"--{name}" not in flags
        assert re.search(rf"Did you mean --{option}\?", meant_option(f"--{name}", flags))
    assert closest("zz", flags) is None
