"""From a file of chats to answers, by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import pytest
from chats import chat, write_chat_model, write_rows

import zojax.lm
from zojax.cli import main
from zojax.lm.prediction import TunedRun

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

ANSWERS = {"film": "It was great", "story": "terrible"}
TALKS = [chat(f"a {name} {i}", answer) for i in range(30) for name, answer in ANSWERS.items()]


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"id": i, "talk": talk} for i, talk in enumerate(TALKS)]
    return write_rows(tmp_path_factory.mktemp("data") / "chats.jsonl", rows)


@pytest.fixture(scope="module")
def run(chats: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = write_chat_model(tmp_path_factory.mktemp("models") / "chat")
    output = tmp_path_factory.mktemp("runs") / "run"
    options = {
        "--model": model,
        "--train": chats,
        "--messages-column": "talk",
        "--optimizer": "adam",
        "--learning-rate": 1e-2,
        "--steps": 60,
        "--eval-every": 20,
        "--num-buckets": 1,
        "--output": output,
    }
    with jax.numpy_dtype_promotion("standard"):
        assert main(["finetune", *(str(x) for pair in options.items() for x in pair)]) == 0
    return output


def test_a_run_keeps_the_step_with_the_lowest_loss(run: Path):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    dev = {line["step"]: line["dev_loss"] for line in lines if "dev_loss" in line}
    results = json.loads((run / "results.json").read_text())
    assert results["best_step"] == min(dev, key=lambda step: dev[step])
    assert dev[60] < 0.3 < 3 < dev[0]
    assert {*results["test"]["best"]} == {"loss", "perplexity", "examples", "tokens"}
    assert results["test"]["best"]["perplexity"] < 1.5
    assert (run / "curve.png").stat().st_size > 1000
    assert "perplexity" in (run / "model" / "README.md").read_text()
    assert (run / "model" / "chat_template.jinja").is_file()
    assert json.loads((run / "data.json").read_text())["kind"] == "chat"


def test_a_run_answers_in_python(run: Path):
    found = zojax.lm.load_run(run)
    asked = ["a film 70", chat("a story 71")]
    answers = found.generate(asked, max_new_tokens=12)
    assert answers == ["It was great", "terrible"]
    assert (found.kind, found.labels) == ("chat", ())
    refused(found)


def refused(run: TunedRun) -> None:
    with pytest.raises(ValueError, match=r"predict: .* on rows of kind chat\. Use generate"):
        run.predict(["a film"])
    with pytest.raises(ValueError, match=r"load_run: .* one on rows of kind chat"):
        _ = run.task
    with pytest.raises(ValueError, match=r"generate: texts must be a list of texts, got one"):
        run.generate("a film")


def test_predict_writes_a_line_for_each_row(
    run: Path, chats: Path, capsys: pytest.CaptureFixture[str]
):
    short = chats.with_name("short.txt")
    short.write_text("a film 8\n\na story 9\n")
    options = ["--texts", str(short), "--format", "jsonl", "--max-new-tokens", "12"]
    assert main(["predict", str(run), *options]) == 1
    assert "short.txt:2: " in capsys.readouterr().err
    assert main(["predict", str(run), *options, "--skip-bad-rows"]) == 0
    found = [json.loads(line)["answer"] for line in capsys.readouterr().out.splitlines()]
    assert found == ["It was great", None, "terrible"]


@pytest.mark.slow
def test_predict_writes_the_last_answers_of_a_file_anew(
    run: Path, chats: Path, capsys: pytest.CaptureFixture[str]
):
    options = ["--texts", str(chats), "--max-new-tokens", "12"]
    assert main(["predict", str(run), *options]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "answer"
    assert lines == [talk[-1]["content"] for talk in TALKS]


@pytest.mark.slow
def test_eval_measures_the_answers_of_another_file(
    run: Path, chats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    options = ["--data", str(chats), "--output", str(tmp_path / "figures")]
    assert main(["eval", str(run), *options]) == 0
    assert "perplexity" in capsys.readouterr().out
    found = json.loads((tmp_path / "figures" / "evaluation.json").read_text())
    assert found["tuned"]["examples"] == len(TALKS)
    assert found["tuned"]["perplexity"] < 1.5
    assert not list((tmp_path / "figures").glob("*.png"))
