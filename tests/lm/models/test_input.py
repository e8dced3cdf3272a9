"""What a model reads, without its weights: the same as that of the loaded model."""

from __future__ import annotations

from pathlib import Path

import pytest
from sets import IMPLEMENTATIONS

import zojax.lm.models
from zojax.lm.models import load_input


@pytest.mark.quick
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_it_is_that_of_the_loaded_model(tiny_opt: Path, implementation: str):
    model = zojax.lm.models.load(tiny_opt, implementation=implementation)
    found = load_input(tiny_opt, implementation=implementation)
    assert (found.kind, found.max_length) == (model.kind, model.max_length)
    assert found.config.vocab_size == model.config.vocab_size
    text = "a film. It was great"
    assert found.tokenizer(text)["input_ids"] == model.tokenizer(text)["input_ids"]


@pytest.mark.quick
def test_no_weights_are_read(tiny_opt: Path, tmp_path: Path):
    for file in tiny_opt.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    assert load_input(tmp_path).kind == "causal"
    with pytest.raises(FileNotFoundError):
        zojax.lm.models.load(tmp_path)


def test_a_missing_model(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_input(tmp_path / "nothing")
