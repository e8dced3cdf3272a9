"""Where a tokenizer's chat template is read from, and that it is saved with a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chats import CHATML, GEMMA, LLAMA, chat_tokenizer
from tiny_models import tokenizer_of

pytestmark = pytest.mark.quick

NAMED = [{"name": "default", "template": LLAMA}, {"name": "tool_use", "template": GEMMA}]


@pytest.mark.parametrize(("template", "found"), [(LLAMA, LLAMA), (NAMED, LLAMA), (None, None)])
def test_the_configuration_has_one_or_several(template: Any, found: str | None, tmp_path: Path):
    chat_tokenizer(None).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    assert tokenizer_of(tmp_path).chat_template == found


def test_a_file_of_its_own_comes_first_and_is_saved(tmp_path: Path):
    folder, again = tmp_path / "one", tmp_path / "again"
    folder.mkdir()
    again.mkdir()
    chat_tokenizer(CHATML).save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": GEMMA}))
    tokenizer = tokenizer_of(folder)
    assert tokenizer.chat_template == CHATML
    tokenizer.save_pretrained(again)
    assert tokenizer_of(again).chat_template == CHATML
