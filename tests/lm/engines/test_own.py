"""zojax's decoder as an engine, members as adapters, and what all engines refuse."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import numpy as np
import pytest

import zojax.lm.models
from zojax.lm.adapters import LoRA, load_adapter, save_peft
from zojax.lm.decoding import greedy
from zojax.lm.engines import Decoding, ZojaxEngine, written

SHORT = Decoding(max_new_tokens=4)
DRAWN = Decoding(max_new_tokens=4, temperature=1.0, top_p=0.9, seed=3)


def written_by(model, params, prompts) -> list[str]:
    """What a model writes after each prompt, alone."""
    lengths = np.array([len(prompt) for prompt in prompts])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, np.int32)
    ids[mask] = np.concatenate(prompts)
    end = [model.tokenizer.eos_token_id]
    decode = partial(greedy, model, max_new_tokens=4, stop_tokens=end)
    rows = jax.jit(decode)(params, ids, mask.astype(np.int32))
    texts = (
        model.tokenizer.decode([int(x) for x in row if x >= 0], skip_special_tokens=True)
        for row in rows
    )
    return [text.strip() for text in texts]


@pytest.mark.quick
def test_each_member_writes_as_it_would_alone(own, model, prompts, members):
    found = own.complete(prompts, [members[0], None, members[1], members[2]], SHORT)
    _, adapted = load_adapter(model, members[2])
    assert found[3] == written_by(adapted, adapted.params, prompts)
    assert found[1] == written_by(model, model.params, prompts)
    assert len({*map(tuple, found)}) >= 3


@pytest.mark.slow
def test_adapters_of_other_ranks_may_be_members_of_one_call(own, model, prompts, members, tmp_path):
    other = LoRA(rank=3, alpha=9.0)
    values = jax.tree.map(lambda x: x + 0.5, other.adapt(model, 1).params["adapter"])
    save_peft(other, model, values, tmp_path)
    found = own.complete(prompts, [members[0], tmp_path, members[1]], SHORT)
    assert found[0] == own.complete(prompts, members[:1], SHORT)[0]
    _, adapted = load_adapter(model, tmp_path)
    assert found[1] == written_by(adapted, adapted.params, prompts)


def test_drawn_tokens_depend_on_seed_and_prompt_and_not_on_the_member(own, prompts, members):
    same, again, _ = own.complete(prompts, [members[0], members[0], members[1]], DRAWN)
    assert same == again
    assert same != own.complete(prompts, members, SHORT)[0]
    asked = [members[0], members[0], members[1]]
    assert same != own.complete(prompts, asked, dataclasses.replace(DRAWN, seed=4))[0]
    twice = own.complete([prompts[0], prompts[0]], asked, DRAWN)[0]
    assert twice[0] != twice[1]


def test_seeds_and_lengths_share_a_program(model, prompts, members):
    engine = ZojaxEngine(model)
    for seed, prompt in enumerate((prompts[0], prompts[0][:2])):
        decoding = Decoding(max_new_tokens=3, temperature=1.0, seed=seed)
        engine.complete([prompt], members[:2], decoding)
    (program,) = engine._programs.values()
    assert program._cache_size() == 1
    engine.close()
    assert not engine._programs


def test_a_completion_ends_before_the_text_that_stops_it(own, prompts, members):
    whole = own.complete(prompts, members, SHORT)[0]
    stop = whole[0][len(whole[0]) // 2]
    decoding = dataclasses.replace(SHORT, stop=(stop, "zzz"))
    found = own.complete(prompts, members, decoding)[0]
    assert found == [text.partition(stop)[0].strip() for text in whole]
    assert found != whole


def test_a_line_break_may_end_decoding(model, own):
    breaks = {*own._stops(Decoding(stop=("\n",)))} - {*own._stops(SHORT)}
    assert breaks
    assert all("\n" in model.tokenizer.decode([token]) for token in breaks)


@pytest.mark.quick
def test_members_are_adapters_of_peft_for_the_time_of_the_context(model, trees, tmp_path):
    adapter = LoRA(rank=2, alpha=4.0)
    with written(adapter, model, trees, tmp_path / "seen" / "by-the-server") as folders:
        assert len(folders) == 3
        for folder, tree in zip(folders, trees, strict=True):
            names = {path.name for path in folder.iterdir()}
            assert names == {"adapter_config.json", "adapter_model.safetensors"}
            kind, adapted = load_adapter(model, folder)
            assert isinstance(kind, LoRA)
            assert (kind.rank, kind.alpha) == (2, 4.0)
            jax.tree.map(np.testing.assert_array_equal, adapted.params["adapter"], tree)
    assert not [*(tmp_path / "seen" / "by-the-server").iterdir()]


@pytest.mark.quick
def test_a_model_without_weights_is_enough_to_write_members(model, tiny_opt, tmp_path):
    shapes = zojax.lm.models.load(tiny_opt, weights=False)
    assert all(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(shapes.params))
    adapter = LoRA(rank=2)
    values = adapter.adapt(shapes, 5).params["adapter"]
    jax.tree.map(np.testing.assert_array_equal, values, adapter.adapt(model, 5).params["adapter"])
    for name, each in {"shapes": shapes, "whole": model}.items():
        save_peft(adapter, each, values, tmp_path / name)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "shapes" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


BAD = {
    "max_new_tokens": 0,
    "temperature": -0.1,
    "top_p": 0.0,
    "seed": -1,
    "stop": ("",),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_decoding_is_refused(name):
    with pytest.raises(ValueError, match=rf"^Decoding: {name} must"):
        Decoding(**{name: BAD[name]})


def test_texts_for_tokens_are_refused(own):
    with pytest.raises(TypeError, match=r"^Decoding: stop must be a tuple"):
        Decoding(stop="\n")
    with pytest.raises(TypeError, match=r"^ZojaxEngine: prompts must be lists of token ids"):
        own.complete(["a film"], [None], SHORT)
    for none in ([], [[]]):
        with pytest.raises(ValueError, match=r"^ZojaxEngine: prompts must be one at least"):
            own.complete(none, [None], SHORT)


def test_a_prompt_that_is_too_long_is_refused(own, model):
    longest = model.max_length - SHORT.max_new_tokens + 1
    with pytest.raises(ValueError, match=r"^ZojaxEngine: a prompt and max_new_tokens must"):
        own.complete([[5] * (longest + 1)], [None], SHORT)
    own.complete([[5] * longest], [None], SHORT)
