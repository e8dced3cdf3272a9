"""What ``--help`` shows, and that it does not wait for what it does not need."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from zojax.cli import main
from zojax.cli._arguments import KINDS, Finetune
from zojax.cli._commands import COMMANDS, EXIT_STATUSES, overview
from zojax.cli._gallery_arguments import GalleryArguments
from zojax.cli._options import options_of
from zojax.cli._parser import parse
from zojax.lm.training import DEFAULTS

ALL_KINDS = {**KINDS, "gallery": GalleryArguments}


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([command, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.quick
@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_overview_has_a_line_for_each_command(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
):
    assert main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    for name, command in COMMANDS.items():
        assert printed.count(f"  {name:<10}{command.line}") == 1
    for status, meaning in EXIT_STATUSES.items():
        assert f"  {status:<10}{meaning}" in printed
    assert max(map(len, printed)) <= 80


def test_every_command_has_a_line_and_arguments():
    assert {*COMMANDS} == {*ALL_KINDS}


@pytest.mark.quick
@pytest.mark.parametrize("name", COMMANDS)
def test_help_begins_with_an_example_that_is_read(name: str, capsys: pytest.CaptureFixture[str]):
    printed = help_of(name, capsys)
    first, example, *_ = printed.splitlines()
    assert (first, example) == ("example:", f"  {COMMANDS[name].example}")
    program, command, *arguments = shlex.split(example)
    assert (program, command) == ("zojax", name)
    assert isinstance(parse(name, ALL_KINDS[name], arguments), ALL_KINDS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_every_option_once_within_80_columns(
    name: str, capsys: pytest.CaptureFixture[str]
):
    printed = help_of(name, capsys)
    assert max(map(len, printed.splitlines())) <= 80
    for one in options_of(ALL_KINDS[name]):
        flag = one.name.upper() if one.positional else one.flag
        assert len(re.findall(rf"^  {flag}\b(?!-)", printed, re.MULTILINE)) == 1
        assert one.help


def test_finetunes_sections_are_in_the_order_of_need(capsys: pytest.CaptureFixture[str]):
    titles = re.findall(r"^(\w.*):$", help_of("finetune", capsys), re.MULTILINE)
    assert [title.split(" (")[0] for title in titles] == [
        "example",
        "model",
        "data",
        "reward",
        "method",
        "settings of the optimizer",
        "adapter",
        "output",
        "run",
        "several devices",
        "several processes",
        "workers",
    ]


SHOWN = {
    "finetune": (
        "--implementation {zojax,transformers}",
        "--phases FLOAT FLOAT",
        "--label-words TEXT ...",
        "--signed-momentum, --no-signed-momentum",
        "(default: opt-mini)",
        "{zo_adamu, mezo, zo_sgd_sign,",
    ),
    "plan": ("--layout {tensor-parallel,fully-sharded}",),
    "export": ("A new or empty folder for the model or the adapter. (required)",),
    "eval": ("usage: zojax eval RUN [OPTIONS]",),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_values_and_defaults_are_shown(name: str, capsys: pytest.CaptureFixture[str]):
    printed = help_of(name, capsys)
    for text in SHOWN[name]:
        assert text in printed
    assert "mezo: " not in printed  # an optimizer's defaults are shown on request


@pytest.mark.quick
def test_defaults_are_shown_on_request(capsys: pytest.CaptureFixture[str]):
    assert main(["finetune", "--defaults"]) == 0
    every = capsys.readouterr().out
    assert all(f"\n  {name}\n" in every for name in DEFAULTS)
    assert main(["finetune", "--defaults", "zo_adamu"]) == 0
    printed = capsys.readouterr().out
    assert "\n  mezo\n" not in printed
    assert "\n    learning rate: 1·√(N/d) for d parameters and N queries\n" in printed
    assert "\n    --schedule linear\n" in printed
    assert "\n  lora\n" in printed
    # What is shown can be given.
    block = printed.split("\n\n")[0]
    flags = [part for line in re.findall(r"^    (--.*)$", block, re.M) for part in line.split()]
    hyper = parse("finetune", Finetune, flags).config.hyper
    given = {name: value for name, value in vars(hyper).items() if value is not None}
    settings = DEFAULTS["zo_adamu"].items()
    rest = {name: v for name, v in settings if name != "learning_rate" and v is not None}
    assert given == {**rest, "schedule": "linear"}
    assert main(["finetune", "--defaults", "sgd"]) == 0
    assert "With an adapter" not in capsys.readouterr().out
    assert main(["finetune", "--defaults", "mezzo"]) == 2
    assert "Did you mean mezo?" in capsys.readouterr().err


# Help and refusals. The gallery alone asks the library what it can draw.
WITHOUT_JAX = (
    ["--help"],
    ["--version"],
    ["finetun"],
    *([name, "--help"] for name in KINDS),
    ["finetune", "--lr=1"],
    ["finetune", "--batch-size=0"],
    ["plan", "--device=a200"],
)


def test_answers_that_need_no_jax_do_not_wait_for_it():
    program = (
        "import sys\n"
        "from zojax.cli import main\n"
        f"statuses = [main(arguments) for arguments in {WITHOUT_JAX!r}]\n"
        "late = {'jax', 'flax', 'optax', 'numpy', 'rich', 'matplotlib', 'tokenizers', 'torch'}\n"
        "print(statuses, sorted(late & {*sys.modules}))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root
    )
    statuses = [0, 0, 2, *[0] * len(KINDS), 2, 2, 2]
    assert done.stdout.splitlines()[-1] == f"{statuses} []"


def test_the_page_of_the_command_line_has_every_exit_status():
    page = (Path(__file__).parents[2] / "docs" / "command_line.md").read_text()
    for status, meaning in EXIT_STATUSES.items():
        assert f"| {status} | {meaning}" in page
    assert overview().splitlines()[0] == "usage: zojax COMMAND [OPTIONS]"
