"""The command line's arguments, made from the configuration's classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from zojax.training import FinetuneConfig
from zojax.training._optimizer import DEFAULTS


@dataclass(frozen=True)
class Evaluate:
    """Measure a run's saved models on its test examples again."""

    run: tyro.conf.Positional[str]
    """The folder of a run, as finetune printed it."""


def parse(arguments: Sequence[str]) -> FinetuneConfig | Evaluate:
    """Read the arguments; exits by itself for ``--help`` and for what it does not know."""
    commands: Any = (
        Annotated[
            FinetuneConfig,
            tyro.conf.subcommand("finetune", description=_finetune_description()),
        ]
        | Annotated[Evaluate, tyro.conf.subcommand("eval")]
    )
    return tyro.cli(
        commands,
        prog="zojax",
        description="Fine-tune language models by forward passes alone.",
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )


def _finetune_description() -> str:
    lines = [
        "Fine-tune a language model on labelled texts. Without options: opt-mini on the Rotten "
        "Tomatoes sentences by ZO-AdaMU, in less than five minutes on two CPU cores.",
        "",
        "Each optimizer takes these settings, with these defaults:",
    ]
    for name, settings in DEFAULTS.items():
        shown = ", ".join(f"{setting} {value}" for setting, value in settings.items())
        lines.append(f"- {name}: {shown}")
    return "\n".join(lines)
