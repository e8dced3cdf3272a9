"""transformers with peft writes what zojax writes."""

from __future__ import annotations

import builtins

import pytest

from zojax.lm.engines import Decoding, TransformersEngine

# peft and torch call what transformers and NumPy will remove.
pytestmark = pytest.mark.filterwarnings("ignore:.*:FutureWarning", "ignore:.*:DeprecationWarning")


@pytest.fixture(scope="module")
def theirs(tiny_opt):
    pytest.importorskip("torch", reason="needs torch, whose models it runs")
    pytest.importorskip("peft", reason="needs peft, which reads the adapters")
    engine = TransformersEngine(tiny_opt)
    yield engine
    engine.close()


def test_it_writes_what_zojax_writes(theirs, own, prompts, members):
    for decoding in (Decoding(max_new_tokens=6), Decoding(max_new_tokens=9, stop=("\n", "e"))):
        asked = [members[0], None, members[1], members[2]]
        found = theirs.complete(prompts, asked, decoding)
        assert found == own.complete(prompts, asked, decoding)
    # And the adapters are gone again.
    assert theirs.complete(prompts, [None], decoding) == own.complete(prompts, [None], decoding)


def test_drawn_tokens_depend_on_the_seed_and_not_on_the_member(theirs, prompts, members):
    drawn = [Decoding(max_new_tokens=6, temperature=1.0, top_p=0.9, seed=seed) for seed in (3, 4)]
    same, again = theirs.complete(prompts, [members[0], members[0]], drawn[0])
    assert same == again
    assert same != theirs.complete(prompts, members[:1], drawn[1])[0]


def test_texts_for_tokens_are_refused(theirs):
    with pytest.raises(TypeError, match=r"^TransformersEngine: prompts must be lists of token ids"):
        theirs.complete(["a film"], [None], Decoding())


@pytest.mark.quick
def test_a_missing_package_names_the_extra(monkeypatch, tmp_path):
    plain = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "peft":
            raise ModuleNotFoundError("No module named 'peft'", name="peft")
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        ImportError, match=r'^TransformersEngine: it needs peft: pip install "zojax'
    ):
        TransformersEngine(tmp_path)
