"""The commands of README and docs run as they stand: on tiny models, few rows and few steps."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from chats import write_chat_model
from documents import ROOT, WITH_COMMANDS, Command, commands, read
from journey import TICKETS, Zojax
from tickets import write_tickets
from tiny_models import tokenizer_of, write_tiny_model

pytestmark = pytest.mark.slow

DATA = ["--train", "tickets.csv", *TICKETS]
# Numbers of the pages, and those that stand for them here, in the same order of size.
SMALL = {
    "--steps": {"20": "2", "100": "2", "120": "2", "150": "3", "5000": "4", "20000": "4"},
    "--passes": {"20000": "4", "40000": "4"},
    "--until": {"15000": "3"},
    "--max-new-tokens": {"24": "4", "60": "4"},
    "--population": {"16": "4"},
    "--workers": {"8": "2"},
    "--eval-every": {"20": "2"},
    "--jobs": {"2": "1"},
}
STUDY = {
    "forward_passes = 1000": "forward_passes = 6",
    "[0, 1, 2, 3, 4]": "[0, 1]",
    "dev_size = 250": "train_size = 32\ndev_size = 8\ntest_size = 8",
}
OTHER_HOSTS = "--coordinator"  # which are not there


ROWS: dict[str, list[dict[str, Any]]] = {
    "boolq": [
        {"passage": f"A ship has {i} masts.", "question": "does it", "label": str(i % 2 == 0)}
        for i in range(24)
    ],
    "sst2": [{"sentence": f"a film of {i} hours", "label": i % 2} for i in range(24)],
    "squad": [
        {
            "title": "Ships",
            "context": f"The ship has {i} masts.",
            "question": "How many?",
            "answers": {"text": [str(i)]},
        }
        for i in range(8)
    ],
}


@pytest.fixture(scope="module")
def models(tiny_opt: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    # Rows as long as the pages', and heads that a mesh's axis of four divides.
    sizes = dict(max_position_embeddings=600, num_attention_heads=4, bos_token_id=2, eos_token_id=2)
    return {
        "classes": write_tiny_model(folder / "opt", "opt", tokenizer_of(tiny_opt), **sizes),
        "chats": write_chat_model(folder / "chats", max_position_embeddings=600),
    }


@pytest.mark.parametrize("page", [p for p in WITH_COMMANDS if p != "CONTRIBUTING.md"])
def test_commands_run_as_they_stand_on_small_things(
    page: str, zojax: Zojax, models: dict[str, Path]
):
    chats = page.endswith("chats.md")
    write_files(zojax.folder)
    model = models["chats" if chats else "classes"]
    shown = commands(page)
    if any("RUN" in command.arguments for command in shown):
        data = ["--train", "examples/chats.jsonl"] if chats else DATA
        if any("--merge" in command.arguments for command in shown):
            data = [*data, "--adapter", "lora"]
        done = zojax("finetune", "--model", model, *data, "--steps", 2, "--output", "RUN")
        assert done.returncode == 0, done.stderr
    if any("runs/mine" in command.arguments for command in shown):
        done = zojax("finetune", "--model", model, *DATA, "--steps", 2, "--output", "runs/mine")
        assert done.returncode == 0, done.stderr
    ran = 0
    for command in shown:
        name, *_ = command.arguments
        if name == "plan" or OTHER_HOSTS in command.arguments:
            continue
        if "--workers" in command.arguments and find_spec("ray") is None:
            continue
        prepare(zojax.folder, page, command)
        is_chat = "examples/chats.jsonl" in command.arguments
        arguments = command.arguments
        if not command.asks_for_help:
            arguments = small(arguments, models["chats"] if is_chat else model)
        devices = 8 if "--mesh" in arguments or "runs/opt-13b" in arguments else command.devices
        done = zojax(*arguments, devices=devices)
        assert done.returncode == 0, (arguments, done.stderr[-2000:])
        if command.output:
            (zojax.folder / command.output).write_text(done.stdout)
            assert done.stdout
        ran += 1
    assert ran or all(command.arguments[0] == "plan" for command in shown)


@pytest.mark.plan
@pytest.mark.usefixtures("with_plan")
@pytest.mark.parametrize(
    "page", [p for p in WITH_COMMANDS if any(c.arguments[0] == "plan" for c in commands(p))]
)
def test_plans_are_made_as_they_stand(page: str, zojax: Zojax):
    for command in commands(page):
        if command.arguments[0] == "plan":
            done = zojax(*command.arguments)
            assert done.returncode == 0, (command.arguments, done.stderr[-2000:])
            assert "To run it:" in done.stdout


def write_files(folder: Path) -> None:
    """The files that the pages name."""
    write_tickets(folder / "tickets.csv", 120, seed=0)
    more = write_tickets(folder / "more.csv", 120, seed=2)
    # With the columns that need no option.
    more.write_text(more.read_text().replace("id,ticket,queue", "id,text,label", 1))
    write_tickets(folder / "new.csv", 24, seed=1)
    (folder / "examples").mkdir()
    for to in ("examples/chats.jsonl", "chats.jsonl"):
        shutil.copy(ROOT / "examples" / "chats.jsonl", folder / to)
    for path in (ROOT / "examples" / "rewards").iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    (folder / "questions.txt").write_text("Where is my parcel?\nDo you ship abroad?\n")


def prepare(folder: Path, page: str, command: Command) -> None:
    """What one command needs and others would not."""
    shutil.rmtree(folder / "FOLDER", ignore_errors=True)
    arguments = command.arguments
    if "--label-names" in arguments:
        text = (folder / "tickets.csv").read_text()
        for word, code in (("billing", "T1"), ("delivery", "T2"), ("support", "T3")):
            text = text.replace(f",{word}\n", f",{code}\n").replace(f",{word}\r\n", f",{code}\r\n")
        (folder / "tickets.csv").write_text(text)
    elif "tickets.csv" in arguments:
        write_tickets(folder / "tickets.csv", 120, seed=0)
    if "study.toml" in arguments:
        study = re.search(r"^```toml\n(.*?)^```$", read(page), re.DOTALL | re.MULTILINE)
        assert study is not None
        text = study[1]
        for long, short in STUDY.items():
            assert long in text
            text = text.replace(long, short)
        (folder / "study.toml").write_text(text)
    if "--task" in arguments:
        task = arguments[arguments.index("--task") + 1]
        for name in ("train", "validation", "dev"):
            lines = [json.dumps(row) for row in ROWS[task]]
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def small(arguments: list[str], model: Path) -> list[str]:
    """A command with a small model, few steps and few examples; its other options as they stand."""
    name, *given = arguments
    for option, numbers in SMALL.items():
        for i, word in enumerate(given[:-1]):
            if word == option:
                given[i + 1] = numbers[given[i + 1]]
    if "--model" in given:
        given[given.index("--model") + 1] = str(model)
    elif name in ("finetune", "baseline") and "--resume" not in given:
        given += ["--model", str(model)]
    if name == "replay":
        given[0] = str(model)
    if name == "finetune" and "--resume" not in given and not {"--steps", "--passes"} & {*given}:
        given += ["--steps", "2"]
    if name in ("finetune", "baseline") and "--train" not in given and "--resume" not in given:
        given += ["--train-size", "32", "--dev-size", "8", "--test-size", "8"]
    if "--resume" in given and "--steps" not in given:
        given += ["--steps", "5"]  # the page's run was interrupted, and this one was not
    if name == "gallery":
        given += ["--seeds", "2", *(() if "--steps" in given else ("--steps", "4"))]
    return [name, *given]
