"""The commands by name, and what ``zojax --help`` says; needs no import of jax."""

from __future__ import annotations

from typing import NamedTuple

from zojax.cli._hints import meant


class Command(NamedTuple):
    """What the help says of a command."""

    line: str  # what it does, in one line
    example: str  # a command to copy


COMMANDS = {
    "finetune": Command(
        "Fine-tune a language model on labelled texts, or on chats.",
        "zojax finetune --train tickets.csv --text-column ticket",
    ),
    "eval": Command(
        "Measure the models that a run has saved again.",
        "zojax eval runs/mine",
    ),
    "predict": Command(
        "Predict with a run: a line for each text.",
        "zojax predict runs/mine --texts tickets.csv",
    ),
    "export": Command(
        "Export a run's model for transformers, or its LoRA for peft.",
        "zojax export runs/mine --output exported",
    ),
    "baseline": Command(
        "Measure an untuned model, in-context learning or a probe.",
        "zojax baseline zero-shot --model opt-mini",
    ),
    "compare": Command(
        "Compare methods over models, tasks and seeds.",
        "zojax compare study.toml --jobs 2",
    ),
    "replay": Command(
        "Rebuild a run's model from its base model and its log.",
        "zojax replay opt-mini runs/mine --output rebuilt",
    ),
    "plan": Command(
        "Estimate memory and time of a step on a device you lack.",
        "zojax plan --model opt-13b --optimizer mezo --device a100-80gb",
    ),
    "gallery": Command(
        "Draw optimizers on test functions of two parameters.",
        "zojax gallery --functions rosenbrock --optimizers adam mezo",
    ),
}

EXIT_STATUSES = {
    0: "done",
    1: "an error, which a message explains",
    2: "wrong arguments; nothing was begun",
    130: "ended by Ctrl-C",
    143: "ended by SIGTERM",
}


def overview() -> str:
    """The help of the whole program."""
    width = max(map(len, COMMANDS)) + 2
    return "\n".join(
        [
            "usage: zojax COMMAND [OPTIONS]",
            "",
            "Fine-tune language models by forward passes alone.",
            "",
            "commands:",
            *(f"  {name:<{width}}{command.line}" for name, command in COMMANDS.items()),
            "",
            "examples:",
            "  zojax finetune",
            f"  {COMMANDS['finetune'].example}",
            f"  {COMMANDS['plan'].example}",
            "",
            "options:",
            "  zojax COMMAND --help  The options of a command, with an example.",
            "  zojax --version       The version.",
            "",
            "exit status:",
            *(f"  {status:<{width}}{meaning}" for status, meaning in EXIT_STATUSES.items()),
        ]
    )


def unknown(command: str) -> str:
    """What is said of a command that does not exist."""
    if command.startswith("-"):
        return (
            f"options come after a command, got {command}, as in:\n    {COMMANDS['eval'].example}"
        )
    hint = meant(command, COMMANDS) or f" There are {', '.join(COMMANDS)}."
    return f"there is no command {command}.{hint}"
