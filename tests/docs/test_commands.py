"""The commands that README and docs show are ones that zojax reads; tests/journeys runs them."""

from __future__ import annotations

from typing import Any

import pytest
from documents import WITH_COMMANDS, Command, commands

from zojax.cli._arguments import KINDS
from zojax.cli._gallery_arguments import GalleryArguments
from zojax.cli._parser import parse

pytestmark = pytest.mark.quick

ALL_KINDS: dict[str, Any] = {**KINDS, "gallery": GalleryArguments}


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_command_is_read(page: str):
    for command in commands(page):
        if command.asks_for_help:
            continue
        name, *arguments = command.arguments
        assert isinstance(parse(name, ALL_KINDS[name], arguments), ALL_KINDS[name])


def test_commands_are_found():
    assert sum(len(commands(page)) for page in WITH_COMMANDS) > 50
    first, plan, *_ = commands("docs/tutorials/mesh.md")
    words = "finetune --optimizer mezo --mesh data=2,model=4 --steps 20 --output runs/tried"
    assert first == Command(words.split(), 8, None)
    assert plan.arguments[0] == "plan"
    assert commands("docs/tutorials/csv.md")[1].output == "queues.tsv"
