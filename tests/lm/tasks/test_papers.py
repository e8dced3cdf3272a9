"""Every task of the papers: its rows are read, and its prompts are theirs to the letter."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from zojax.lm.models import Tokenizer
from zojax.lm.tasks import Example, PromptTokens, Task, TokenRow, load_task, read_examples, tokenize

pytestmark = pytest.mark.quick

DATA = Path(__file__).parent / "data"

# The first row of each file, "|" before what is predicted; then the other choices' rows.
CAUSAL = {
    "sst2": ["the harbour scenes are lovely It was| great"],
    "sst5": ["the worst picnic ever filmed It was| terrible"],
    "trec": ["What does km stand for ? This asks for:| Expression"],
    "mnli": [
        "Suppose The baker opened at six. Can we infer that "
        '"The baker was open before noon."? Yes, No, or Maybe?| Yes'
    ],
    "snli": [
        'Suppose A girl carries a kite. Can we infer that "Someone holds a kite."? '
        "Yes, No, or Maybe?| Yes"
    ],
    "rte": [
        "The ferry to the island leaves twice a day. Does this mean that "
        '"A ferry goes to the island." is true? Yes or No?| Yes'
    ],
    "cb": [
        "Suppose It rained, so the match was called off. Can we infer that "
        '"the match was called off"? Yes, No, or Maybe?| Yes'
    ],
    "boolq": [
        "The old mill closed long ago. It is now a library. is the old mill still in use?| No"
    ],
    "wsc": [
        "Mara thanked Ines because she had lent her the boat. In the previous sentence, does the "
        'pronoun "she" refer to Ines? Yes or No?| Yes'
    ],
    "wic": [
        'Does the word "bank" have the same meaning in these two sentences? Yes, No? '
        "They sat on the bank. The bank raised its fees.| No"
    ],
    "multirc": [
        "Tom grew beans. His sister grew peas. Question: What did Tom grow? "
        'I found this answer "Beans". Is that correct? Yes or No?| Yes'
    ],
    "copa": [
        "The lamp went out because| the bulb was old.",
        "The lamp went out because| I dropped the plate.",
    ],
    "record": [
        "Lena Moor has won the race in Porto.\n- Moor led from the start\n- Kai Brandt came second"
        f"\n-| It is the third title for {name} this year."
        for name in ("Lena Moor", "Porto", "Moor", "Kai Brandt")
    ],
    "winogrande": [
        "The cup did not fit in the box because the cup| was too large.",
        "The cup did not fit in the box because the box| was too large.",
    ],
    "squad": [
        "Title: Lighthouses\nContext: The tower at Cape Fell was built in 1873. It is white.\n"
        "Question: When was the tower built?\nAnswer:| 1873\n"
    ],
    "drop": [
        "Passage: The Gulls scored 3 goals, and the Terns 5.\n"
        "Question: How many goals were scored?\nAnswer:| 8\n"
    ],
}
MASKED = {
    "sst2": "<s>the harbour scenes are lovely It was<mask>.</s>| great",
    "sst5": "<s>the worst picnic ever filmed It was<mask>.</s>| terrible",
    "trec": "<s><mask>: What does km stand for ?</s>|Expression",
    "mnli": "<s>The baker opened at six. ?<mask>, The baker was open before noon.</s>| Yes",
    "snli": "<s>A girl carries a kite. ?<mask>, Someone holds a kite.</s>| Yes",
    "rte": (
        "<s>The ferry to the island leaves twice a day. ?<mask>, A ferry goes to the island.</s>"
        "| Yes"
    ),
}
BARE = {
    "sst2": "the harbour scenes are lovely| great",
    "rte": "The ferry to the island leaves twice a day. A ferry goes to the island.| Yes",
    "boolq": "The old mill closed long ago. It is now a library. is the old mill still in use| No",
    "copa": "The lamp went out because| the bulb was old.",
    "winogrande": "The cup did not fit in the box because the cup| was too large.",
    "squad": (
        "Lighthouses The tower at Cape Fell was built in 1873. It is white. "
        "When was the tower built?| 1873\n"
    ),
}
ROWS = {"snli": 3, "sst2": 4, "sst5": 5, "trec": 6, "mnli": 3, "cb": 3}


def examples_of(task: Task) -> tuple[Example, ...]:
    return read_examples(DATA / f"{task.name}.jsonl", task)


def text_of(tokenizer: Tokenizer, row: TokenRow) -> str:
    prompt, begin = row.ids[: row.positions[0] + 1], tokenizer.bos_token_id
    assert prompt[0] == begin
    assert row.ids[len(prompt) :] == row.targets[:-1]
    return tokenizer.decode(prompt[1:]) + "|" + tokenizer.decode(row.targets)


def rows_of(tokens: PromptTokens, example: Example) -> list[TokenRow]:
    """The right candidate's row, then the others."""
    (rows,) = tokens.encode([example])
    right = 0 if len(rows) == 1 else example.label
    return [rows[right], *rows[:right], *rows[right + 1 :]]


@pytest.mark.parametrize("name", CAUSAL)
def test_prompts_of_a_causal_model(name: str, tokenizer: Tokenizer):
    task = load_task(name)
    example = examples_of(task)[0]
    rows = rows_of(tokenize(task, tokenizer, 999), example)
    texts = [text_of(tokenizer, row) for row in rows]
    if task.kind == "classification":  # its other rows have the other label words
        prompts = {text.partition("|")[0] for text in texts}
        assert len(prompts) == 1
        assert texts[:1] == CAUSAL[name]
    else:
        assert texts == CAUSAL[name]


@pytest.mark.parametrize("name", CAUSAL)
def test_prompts_of_a_masked_model(name: str, masked_tokenizer: Tokenizer):
    task = load_task(name)
    if name not in MASKED:
        reason = "cannot generate" if task.kind == "generation" else "no prompt for a masked model"
        with pytest.raises(ValueError, match=f"Task {name}: .*{reason}"):
            tokenize(task, masked_tokenizer, 999, kind="masked")
        return
    row = rows_of(tokenize(task, masked_tokenizer, 999, kind="masked"), examples_of(task)[0])[0]
    mask = masked_tokenizer.mask_token_id
    assert [row.ids[position] for position in row.positions] == [mask] * len(row.targets)
    text = masked_tokenizer.decode(row.ids).replace("<mask>" * len(row.targets), "<mask>")
    assert f"{text}|{masked_tokenizer.decode(row.targets)}" == MASKED[name]


@pytest.mark.parametrize("name", BARE)
def test_without_a_template(name: str, tokenizer: Tokenizer):
    task = load_task(name)
    tokens = tokenize(task, tokenizer, 999, template=False)
    assert text_of(tokenizer, rows_of(tokens, examples_of(task)[0])[0]) == BARE[name]


@pytest.mark.parametrize("name", CAUSAL)
def test_rows_are_read_and_truncation_spares_the_template(name: str, tokenizer: Tokenizer):
    task = dataclasses.replace(load_task(name), max_new_tokens=4)
    examples = examples_of(task)
    assert len(examples) == ROWS.get(name, 2)
    whole = tokenize(task, tokenizer, 999).encode(examples)
    longest = max(len(row.ids) + 4 for rows in whole for row in rows)
    if task.truncate is None:
        with pytest.raises(ValueError, match=r"must leave room for the \d+ tokens of example 0"):
            tokenize(task, tokenizer, 20).encode(examples)
        return
    cut = tokenize(task, tokenizer, longest - 12).encode(examples)
    assert max(len(row.ids) for rows in cut for row in rows) < longest - 12
    for rows, cut_rows, example in zip(whole, cut, examples, strict=True):
        field = str(example.fields[task.truncate]).strip()
        for row, shorter in zip(rows, cut_rows, strict=True):
            assert row.targets == shorter.targets
            text, short = (tokenizer.decode(r.ids) for r in (row, shorter))
            before, after = text.split(field)
            assert short.startswith(before)
            assert short.endswith(after)
            assert field.startswith(short[len(before) : len(short) - len(after)].strip())


def test_labels_that_several_choices_share():
    first, second = examples_of(load_task("record"))
    assert first.right == (0, 2)
    assert first.label == 0
    assert second.right == (0,)


def test_words_stand_for_the_classes_of_the_data():
    trec = load_task("trec")
    words = dict(zip(trec.label_names, trec.label_words, strict=True))
    assert words["ABBR"] == "Expression"
    assert words["DESC"] == "Description"
    assert load_task("cb").label_names[1] == "contradiction"
    assert load_task("cb").label_words[1] == "No"
    assert load_task("mnli").label_words[1] == "Maybe"


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("copa", '{"premise": "a", "question": "why"}', "question must be one of 'effect'"),
        ("winogrande", '{"sentence": "a _ b _", "answer": "1"}', "sentence must have one _"),
        ("winogrande", '{"sentence": "a _ b", "answer": ""}', "answer must be one of '1', '2'"),
        ("winogrande", '{"sentence": "so it is _", "answer": "1"}', "must have text after the _"),
        ("record", '{"passage": "a", "query": "b"}', "query must have @placeholder"),
        (
            "record",
            '{"passage": "a", "query": "@placeholder", "entities": ["x"], "answers": ["y"]}',
            r"answers must be among the entities, got \['y'\]",
        ),
        ("rte", '{"premise": "a", "hypothesis": "b", "label": -1}', "label must be .* got -1"),
        ("squad", '{"title": "a", "context": "b", "question": "c"}', "has no column answers.text"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, name: str, line: str, message: str):
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(ValueError, match=rf"a\.jsonl.*{message}"):
        read_examples(tmp_path / "a.jsonl", load_task(name))


def test_unlabelled_rows_of_snli_are_left_out():
    assert [example.label for example in examples_of(load_task("snli"))] == [0, 1, 2]
    assert np.bincount([e.label for e in examples_of(load_task("trec"))]).tolist() == [1] * 6
