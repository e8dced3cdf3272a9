"""Tasks of BIG-bench (arXiv:2206.04615), from the JSON files of the ``bigbench`` package.

The package's files are read without importing it. The package is 358 MB, so no extra of zojax
includes it. Instead of installing it, one may unpack its source archive anywhere and set
``ZOJAX_BIGBENCH`` to that folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from zojax.lm.tasks._example import Example
from zojax.lm.tasks._folders import package_folder
from zojax.lm.tasks._splits import Examples, fixed_splits
from zojax.lm.tasks._task import Sizes, Task

_HOW = (
    "with pip < 26.3, pip download --no-deps --no-binary :all: bigbench==1.0.0, unpack it, and "
    "set ZOJAX_BIGBENCH to its folder"
)
_VERDICTS = ("True", "False", "Neither")


def _vitaminc() -> dict[str, Examples]:
    """Read claims with evidence from Wikipedia; all claims about a page are in the same split.

    Most claims come in pairs that differ little: the evidence supports one and refutes the other.
    """
    pages: dict[Example, str] = {}
    for row in _rows("vitaminc_fact_verification"):
        evidence, claim = row["input"].split("\nClaim: ")
        fields = {"premise": evidence.strip(), "hypothesis": claim.strip()}
        verdict = next(name for name, score in row["target_scores"].items() if score)
        example = Example(fields, _VERDICTS.index(verdict))
        pages[example] = evidence.partition(":")[0]
    return fixed_splits(tuple(pages), dev=1000, test=1000, group=pages.__getitem__)


def _social_iqa() -> dict[str, Examples]:
    """Read situations, each with a question and three answers to choose from."""
    examples: list[Example] = []
    for row in _rows("social_iqa"):
        scores = row["target_scores"]
        right = list(scores.values()).index(1)
        text = " ".join(row["input"].split())
        examples.append(Example(text, right, choices=tuple(scores)))
    return fixed_splits(examples, dev=250, test=500, group=lambda example: example.text)


def _hyperbaton() -> dict[str, Examples]:
    """Read pairs of phrases: the same adjectives in their usual order and in another one."""
    examples: list[Example] = []
    for row in _rows("hyperbaton"):
        # An input looks like this:
        # Which sentence has the correct adjective order: a " gold old ring " b " old gold ring " ?
        question, first, _, second, _ = row["input"].split('"')
        right = list(row["target_scores"].values()).index(1)
        question = question.partition(":")[0]
        examples.append(Example(question, right, choices=(first.strip(), second.strip())))
    return fixed_splits(examples, dev=1000, test=1000)


def _disfl_qa() -> dict[str, Examples]:
    """Read questions with disfluencies, each with a paragraph that may or may not answer it."""
    examples: list[Example] = []
    for row in _rows("disfl_qa"):
        question, context = row["input"].split("\ncontext: ")
        fields = {"question": question.strip(), "context": context.strip()}
        examples.append(Example(fields, answers=(row["target"],)))
    return fixed_splits(
        examples, dev=500, test=1000, group=lambda example: example.fields["context"]
    )


def _qa_wikidata() -> dict[str, Examples]:
    """Read beginnings of sentences, each completed by a fact of Wikidata."""
    examples: list[Example] = []
    for row in _rows("qa_wikidata"):
        target = row["target"]
        answers = (target,) if isinstance(target, str) else tuple(target)
        examples.append(Example(row["input"].strip(), answers=answers))
    return fixed_splits(examples, dev=1000, test=1000)


def _rows(task: str) -> Iterator[dict[str, Any]]:
    path = package_folder("bigbench", _HOW) / "benchmark_tasks" / task / "task.json"
    if not path.is_file():
        raise FileNotFoundError(f"load_splits: there is no file {path}. Unpack bigbench 1.0.0.")
    yield from json.loads(path.read_text(encoding="utf-8"))["examples"]


BIGBENCH_TASKS = (
    Task(
        name="bigbench-vitaminc",
        kind="classification",
        template=('Suppose {premise} Can we infer that "{hypothesis}"? Yes, No, or Maybe? {label}'),
        label_words=("Yes", "No", "Maybe"),
        masked_template="{premise} ? {label}, {hypothesis}",
        truncate="premise",
        label_names=_VERDICTS,
        sizes=Sizes(train=6000),
        source=_vitaminc,
    ),
    Task(
        name="bigbench-social-iqa",
        kind="multiple_choice",
        template="{text} Answer: {label}",
        masked_template="{text} Answer: {label}.",
        sizes=Sizes(train=6000),
        source=_social_iqa,
    ),
    Task(
        name="bigbench-hyperbaton",
        kind="multiple_choice",
        template="{text}: {label}",
        masked_template="{text}: {label}.",
        sizes=Sizes(train=6000),
        source=_hyperbaton,
    ),
    Task(
        name="bigbench-disfl-qa",
        kind="generation",
        template="Context: {context}\nQuestion: {question}\nAnswer: {label}",
        truncate="context",
        sizes=Sizes(train=6000),
        source=_disfl_qa,
    ),
    Task(
        name="bigbench-qa-wikidata",
        kind="generation",
        template="{text} {label}",
        max_new_tokens=20,
        sizes=Sizes(train=6000),
        source=_qa_wikidata,
    ),
)
