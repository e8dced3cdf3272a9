"""The tasks of MeZO (arXiv:2305.17333) and ZO-AdaMU (arXiv:2312.15184), one entry each.

Prompts for masked models are those of the experiments on RoBERTa, prompts for causal models those
of the experiments on OPT. The papers use SST-5, TREC, MNLI and SNLI with RoBERTa only; their causal
prompts are zojax's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zojax.lm.tasks._row import Row
from zojax.lm.tasks._task import Hub, Sizes, Task

# For tasks with few labelled rows.
_SMALL = Sizes(dev=100)
_ENTAILED = '{premise} Does this mean that "{hypothesis}" is true? Yes or No? {label}'
_INFERRED = 'Suppose {premise} Can we infer that "{hypothesis}"? Yes, No, or Maybe? {label}'
_JOINED = "{premise} ? {label}, {hypothesis}"


def _boolq(row: Row) -> Mapping[str, Any]:
    # The template adds a question mark, which only some questions have.
    question = row.text("question").strip().removesuffix("?")
    return {"passage": row["passage"], "question": question, "label": row["label"]}


def _copa(row: Row) -> Mapping[str, Any]:
    premise = row.text("premise").strip().removesuffix(".")
    so = row.one_of("question", {"effect": "so", "cause": "because"})
    choices = [_within_a_sentence(row.text(name)) for name in ("choice1", "choice2")]
    return {"premise": premise, "conjunction": so, "choices": choices, "label": row["label"]}


def _within_a_sentence(text: str) -> str:
    first, *rest = text.strip().split(" ")
    return " ".join([first if first == "I" else first.lower(), *rest])


def _record(row: Row) -> Mapping[str, Any]:
    query = row.text("query")
    if "@placeholder" not in query:
        row.refuse("query", f"must have @placeholder, got {query!r}")
    entities = list(dict.fromkeys(row.texts("entities")))
    answers = list(dict.fromkeys(row.texts("answers")))
    if not set(answers) <= set(entities):
        row.refuse("answers", f"must be among the entities, got {answers!r}")
    return {
        # The highlights are the beginning of a summary, which the query continues.
        "passage": row.text("passage").replace("@highlight\n", "- "),
        "choices": [query.replace("@placeholder", entity) for entity in entities],
        "label": [entities.index(answer) for answer in answers],
    }


def _winogrande(row: Row) -> Mapping[str, Any]:
    sentence = row.text("sentence")
    if sentence.count("_") != 1:
        row.refuse("sentence", f"must have one _, got {sentence!r}")
    before, after = sentence.split("_")
    if not after.strip():
        row.refuse("sentence", f"must have text after the _, got {sentence!r}")
    right = row.one_of("answer", {"1": "option1", "2": "option2"})
    options = ("option1", "option2")
    return {
        # Partial evaluation: the prompt ends in an option, and the text after it is scored.
        "beginning": [before + row.text(option).strip() for option in options],
        "choices": [after, after],
        "label": options.index(right),
    }


PAPER_TASKS = (
    Task(
        name="sst2",
        kind="classification",
        template="{text} It was {label}",
        label_words=("terrible", "great"),
        masked_template="{text} It was {label}.",
        columns={"text": "sentence"},
        hub=Hub("glue", "sst2"),
    ),
    Task(
        name="sst5",
        kind="classification",
        template="{text} It was {label}",
        label_words=("terrible", "bad", "okay", "good", "great"),
        masked_template="{text} It was {label}.",
        hub=Hub("SetFit/sst5", test="test"),
    ),
    Task(
        name="trec",
        kind="classification",
        template="{text} This asks for: {label}",
        # In the order of the data: ABBR, ENTY, DESC, HUM, LOC, NUM.
        label_words=("Expression", "Entity", "Description", "Human", "Location", "Number"),
        masked_template="{label}: {text}",
        label_column="coarse_label",
        label_names=("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"),
        hub=Hub("CogComp/trec", test="test"),
    ),
    Task(
        name="mnli",
        kind="classification",
        template=_INFERRED,
        label_words=("Yes", "Maybe", "No"),
        masked_template=_JOINED,
        truncate="premise",
        label_names=("entailment", "neutral", "contradiction"),
        hub=Hub("glue", "mnli", test="validation_matched"),
    ),
    Task(
        name="snli",
        kind="classification",
        template=_INFERRED,
        label_words=("Yes", "Maybe", "No"),
        masked_template=_JOINED,
        truncate="premise",
        label_names=("entailment", "neutral", "contradiction"),
        drop_label=-1,  # the label of rows whose annotators did not agree
        hub=Hub("stanfordnlp/snli"),
    ),
    Task(
        name="rte",
        kind="classification",
        template=_ENTAILED,
        label_words=("Yes", "No"),
        masked_template=_JOINED,
        truncate="premise",
        label_names=("entailment", "not_entailment"),
        hub=Hub("super_glue", "rte"),
    ),
    Task(
        name="cb",
        kind="classification",
        template=_INFERRED,
        label_words=("Yes", "No", "Maybe"),
        truncate="premise",
        label_names=("entailment", "contradiction", "neutral"),
        sizes=_SMALL,
        hub=Hub("super_glue", "cb"),
    ),
    Task(
        name="boolq",
        kind="classification",
        template="{passage} {question}? {label}",
        label_words=("No", "Yes"),
        truncate="passage",
        label_names=("False", "True"),
        prepare=_boolq,
        hub=Hub("super_glue", "boolq"),
    ),
    Task(
        name="wsc",
        kind="classification",
        template=(
            '{text} In the previous sentence, does the pronoun "{span2}" refer to {span1}? '
            "Yes or No? {label}"
        ),
        label_words=("No", "Yes"),
        columns={"span1": "span1_text", "span2": "span2_text"},
        label_names=("False", "True"),
        hub=Hub("super_glue", "wsc.fixed"),
    ),
    Task(
        name="wic",
        kind="classification",
        template=(
            'Does the word "{word}" have the same meaning in these two sentences? Yes, No? '
            "{sentence1} {sentence2} {label}"
        ),
        label_words=("No", "Yes"),
        truncate="sentence2",
        label_names=("False", "True"),
        hub=Hub("super_glue", "wic"),
    ),
    Task(
        name="multirc",
        kind="classification",
        template=(
            '{paragraph} Question: {question} I found this answer "{answer}". Is that correct? '
            "Yes or No? {label}"
        ),
        label_words=("No", "Yes"),
        truncate="paragraph",
        label_names=("False", "True"),
        hub=Hub("super_glue", "multirc"),
    ),
    Task(
        name="copa",
        kind="multiple_choice",
        template="{premise} {conjunction} {label}",
        truncate="premise",
        prepare=_copa,
        sizes=_SMALL,
        hub=Hub("super_glue", "copa"),
    ),
    Task(
        name="record",
        kind="multiple_choice",
        template="{passage}\n- {label}",
        truncate="passage",
        prepare=_record,
        hub=Hub("super_glue", "record"),
    ),
    Task(
        name="winogrande",
        kind="multiple_choice",
        template="{beginning}{label}",
        # The field must not be truncated, because it ends in the option.
        truncate=None,
        prepare=_winogrande,
        hub=Hub("winogrande", "winogrande_m"),
    ),
    Task(
        name="squad",
        kind="generation",
        template="Title: {title}\nContext: {context}\nQuestion: {question}\nAnswer: {label}",
        truncate="context",
        answers="answers.text",
        hub=Hub("squad"),
    ),
    Task(
        name="drop",
        kind="generation",
        template="Passage: {passage}\nQuestion: {question}\nAnswer: {label}",
        truncate="passage",
        answers="answers_spans.spans",
        hub=Hub("drop"),
    ),
)
