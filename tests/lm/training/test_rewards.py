"""Runs that raise a reward: what they say and write, and all that a run can do besides."""

from __future__ import annotations

import dataclasses
import json
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from chats import chat, write_chat_model, write_rows

import zojax
from zojax.lm.models import load
from zojax.lm.prediction import load_run
from zojax.lm.training import (
    AdapterConfig,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    Observer,
    Result,
    RewardConfig,
    evaluate_run,
    finetune,
    load_config,
    prepare,
    replay_run,
)

# Programs that call Python are compiled anew in every run.
QUICKLY = {"xla_backend_optimization_level": 0}
PROMPTS = [{"prompt": f"a film {i}:", "worth": i % 3} for i in range(30)]


@pytest.fixture(autouse=True)
def compile_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zojax, "compiler_options", lambda: QUICKLY)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chat_model(tmp_path_factory.mktemp("models") / "chat")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    parts = {"train": PROMPTS[:16], "dev": PROMPTS[16:22], "test": PROMPTS[22:]}
    return {
        name: write_rows(folder / f"{name}.jsonl", [{**row, "split": name} for row in rows])
        for name, rows in parts.items()
    }


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``letters`` is a reward of the text; ``moody`` fails at some rows; every call is noted."""
    path = tmp_path_factory.mktemp("judge") / "judge.py"
    path.write_text(
        textwrap.dedent(
            f"""
            from pathlib import Path

            def letters(completion, row):
                with Path({str(path.with_name("calls"))!r}).open("a") as file:
                    file.write(row["split"] + "\\n")
                return sum(map(str.isalpha, completion)) / 10

            def moody(completion, row):
                if row["worth"] == 2:
                    raise ValueError("not this one")
                return letters(completion, row)

            def grim(completion, row):
                return "no number"
            """
        )
    )
    return path


@pytest.fixture
def calls(judge: Path) -> Callable[[], list[str]]:
    """The splits of the rows of all calls since it was last asked."""
    path = judge.with_name("calls")
    path.write_text("")

    def calls() -> list[str]:
        found = path.read_text().split()
        path.write_text("")
        return found

    return calls


@pytest.fixture
def base(model: Path, files: dict[str, Path], judge: Path) -> FinetuneConfig:
    return FinetuneConfig(
        model=str(model),
        steps=4,
        batch_size=4,
        eval_every=2,
        log_every=1,
        data=DataConfig(**files, num_buckets=1),
        scoring=RewardConfig(f"{judge}:letters", max_new_tokens=6, reward_processes=2),
        hyper=HyperParameters(population=6, eps=0.05, learning_rate=0.02),
    )


@pytest.fixture
def run(base: FinetuneConfig, tmp_path: Path) -> Callable[..., Result]:
    """Fine-tune with settings changed, into a folder of the test's own."""

    def run(observer: Observer | None = None, **changes: Any) -> Result:
        output = changes.pop("output", tmp_path / "run")
        scoring = dataclasses.replace(base.scoring, **changes.pop("scoring", {}))
        return finetune(
            dataclasses.replace(base, output=output, scoring=scoring, **changes), observer
        )

    return run


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Heard(Observer):
    def __init__(self) -> None:
        self.failures: list[str] = []
        self.advised: list[str] = []

    def reward_failed(self, message: str) -> None:
        self.failures.append(message)

    def advice(self, message: str) -> None:
        self.advised.append(message)


def test_a_run_says_and_keeps_what_it_raises(
    run: Callable[..., Result], calls: Callable[[], list[str]]
):
    heard = Heard()
    found = run(heard)
    assert load_config(found.folder).optimizer == "es"
    assert heard.failures == []
    metrics = lines(found.folder / "metrics.jsonl")
    assert [line["step"] for line in metrics] == [0, 1, 2, 3, 4]
    for line in metrics[1:]:
        assert line["reward"] == pytest.approx(-line["loss"])
        assert line["reward_best"] >= line["reward"]
        assert line["reward_spread"] > 0
        assert 0 < line["length"] <= 6
        assert line["failures"] == 0
        assert line["forward_passes"] == 6 * line["step"]
    measured = [line for line in metrics if "dev_reward" in line]
    assert [line["step"] for line in measured] == [0, 2, 4]
    best = max(measured, key=lambda line: line["dev_reward"])
    assert found.best_step == best["step"] > 0
    each = lines(found.folder / "rewards.jsonl")
    assert [line["step"] for line in each] == [1, 2, 3, 4]
    names = ("reward", "reward_best", "reward_spread", "length", "failures")
    assert [[x[name] for name in names] for x in each] == [
        [x[name] for name in names] for x in metrics[1:]
    ]
    samples = lines(found.folder / "samples.jsonl")
    assert [line["step"] for line in samples] == [0] * 4 + [2] * 4 + [4] * 4
    assert {line["row"].split(":")[0].split("/")[-1] for line in samples} == {"dev.jsonl"}
    for line in samples:
        assert line["reward"] == sum(map(str.isalpha, line["completion"])) / 10
        assert line["prompt"].startswith("a film")
    scores = json.loads((found.folder / "results.json").read_text())["test"]
    assert found.best is not None
    assert scores["best"]["reward"] == found.best.reward
    assert "judge.py:letters" in (found.folder / "model" / "README.md").read_text()
    assert (found.folder / "curve.png").is_file()
    assert {*calls()} == {"train", "dev", "test"}


@pytest.mark.slow
def test_eval_and_predict_work_on_it(
    run: Callable[..., Result], files: dict[str, Path], base: FinetuneConfig
):
    found = run()
    again = evaluate_run(found.folder)
    assert {name: each.scores for name, each in again.items()}["tuned"] == found.tuned
    other = evaluate_run(found.folder, data=files["dev"])["tuned"].scores
    metrics = lines(found.folder / "metrics.jsonl")[-1]
    assert (other.reward, other.examples) == (metrics["dev_reward"], 6)
    run_of = load_run(found.folder, which="last")
    written = run_of.generate([row["prompt"] for row in PROMPTS[16:22]])
    assert written[:4] == [
        line["completion"] for line in lines(found.folder / "samples.jsonl") if line["step"] == 4
    ]
    assert base.scoring.most_new_tokens == 6


def arrays(folder: Path) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(load(folder).params)]


@pytest.mark.slow
def test_a_resumed_run_is_the_same_and_asks_for_no_reward_again(
    run: Callable[..., Result], calls: Callable[[], list[str]], tmp_path: Path
):
    whole = run(steps=6, output=tmp_path / "whole")
    part = run(steps=3, output=tmp_path / "part")
    shutil.rmtree(part.folder / "checkpoints")  # so that the log alone is left
    calls()
    resumed = finetune(FinetuneConfig(resume=part.folder, steps=6))
    asked = calls()
    # Of training rows, those of steps 4 to 6: at most one for each member and prompt.
    assert 0 < asked.count("train") <= 3 * 6 * 4
    for one, other in zip(arrays(resumed.model_folder), arrays(whole.model_folder), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("rewards.jsonl", "samples.jsonl"):
        assert lines(resumed.folder / name)[-4:] == lines(whole.folder / name)[-4:]
    for one, other in zip(
        lines(resumed.folder / "metrics.jsonl"), lines(whole.folder / "metrics.jsonl"), strict=True
    ):
        shared = one.keys() & other.keys() - {"seconds"}
        assert {"reward", "loss"} <= shared or one["step"] == 0
        assert {name: one[name] for name in shared} == {name: other[name] for name in shared}
    assert resumed.best_step == whole.best_step


@pytest.mark.slow
def test_the_log_alone_rebuilds_it(
    run: Callable[..., Result], model: Path, calls: Callable[[], list[str]], tmp_path: Path
):
    found = run()
    calls()
    replayed = replay_run(str(model), found.folder, tmp_path / "replayed")
    for one, other in zip(arrays(replayed.folder), arrays(found.model_folder), strict=True):
        np.testing.assert_array_equal(one, other)
    assert calls() == []


@pytest.mark.parametrize("failure", ["drop", pytest.param(-1.0, marks=pytest.mark.slow)])
def test_failures_are_counted_and_the_first_names_its_row(
    run: Callable[..., Result], judge: Path, failure: Any
):
    heard = Heard()
    found = run(heard, scoring=dict(reward=f"{judge}:moody", reward_failure=failure))
    [message] = heard.failures
    assert "jsonl:" in message
    assert "ValueError: not this one (judge.py, line " in message
    metrics = lines(found.folder / "metrics.jsonl")
    assert sum(line.get("failures", 0) for line in metrics) > 0
    assert [line["dev_failures"] for line in metrics if "dev_failures" in line] == [2] * 3
    assert all(np.isfinite(line["loss"]) for line in metrics[1:])
    assert found.skipped == 0
    dropped = [line for line in lines(found.folder / "samples.jsonl") if line["reward"] is None]
    assert dropped


@pytest.mark.slow
def test_a_reward_that_fails_everywhere_is_refused(run: Callable[..., Result], judge: Path):
    scoring = dict(reward=f"{judge}:grim")
    message = (
        r"finetune: reward must score completions, got a failure at each of those to 6 prompts of "
        r"dev\. First the reward failed at .*jsonl:\d+: returned str 'no number'"
    )
    with pytest.raises(ValueError, match=message):
        run(scoring=scoring)
    # With a score for that it is as good as any other.
    found = run(scoring={**scoring, "reward_failure": 0.0}, overwrite=True)
    assert found.best is not None
    assert (found.best.reward, found.best.failures) == (0.0, 8)


@pytest.mark.slow
def test_texts_may_be_drawn_several_for_a_prompt(run: Callable[..., Result]):
    found = run(scoring=dict(temperature=1.0, top_p=0.9, samples=2))
    assert found.best is not None
    assert found.best.examples == 8
    samples = [line for line in lines(found.folder / "samples.jsonl") if line["step"] == 0]
    assert len(samples) == 8
    assert len({line["completion"] for line in samples}) > 4


@pytest.mark.slow
def test_members_one_after_the_other_are_scored_alike(
    run: Callable[..., Result], base: FinetuneConfig, tmp_path: Path
):
    """One call from the device for each member, in the memory of one."""
    together = run(output=tmp_path / "together")
    hyper = dataclasses.replace(base.hyper, batched=False)
    alone = run(output=tmp_path / "alone", hyper=hyper)
    one, other = (lines(each.folder / "rewards.jsonl")[0] for each in (together, alone))
    assert one == pytest.approx(other)


WAYS: dict[str, dict[str, Any]] = {
    "lora that decays to its start": dict(
        tuned=AdapterConfig("lora", rank=2),
        hyper=HyperParameters(population=4, weight_decay=0.1),
    ),
    "a subspace": dict(hyper=HyperParameters(population=4, subspace_rank=2, weight_decay=0.1)),
    "another optimizer": dict(
        optimizer="mezo", hyper=HyperParameters(num_queries=2, direction="low_rank", eps=0.05)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_it_is_tuned_in_every_way(run: Callable[..., Result], way: str):
    found = run(steps=2, **WAYS[way])
    assert len(lines(found.folder / "rewards.jsonl")) == 2
    assert evaluate_run(found.folder)["tuned"].scores == found.tuned


@pytest.mark.slow
def test_conversations_are_gone_on_with(
    run: Callable[..., Result], base: FinetuneConfig, tmp_path: Path
):
    talks = [chat(f"film {i}?", "good", "sure?", "yes") for i in range(20)]
    rows = [{"messages": talk, "split": "any"} for talk in talks]
    train = write_rows(tmp_path / "talks.jsonl", rows)
    prepared = prepare(dataclasses.replace(base, data=DataConfig(train=train)))
    prepared.close()
    assert prepared.config.data.kind == "chat"
    found = run(data=DataConfig(train=train, num_buckets=1), steps=2)
    [sample, *_] = lines(found.folder / "samples.jsonl")
    # Up to the question: the answer at the end is what is to be written.
    assert sample["prompt"].endswith("sure?<|im_end|>\n<|im_start|>assistant\n")


def test_the_report_says_what_scores(base: FinetuneConfig):
    prepared = prepare(base)
    prepared.close()
    said = "\n".join(prepared.report.lines())
    assert "prompts to go on with, scored by " in said
    assert "a completion of a prompt, up to 6 tokens" in said
    assert prepared.report.rows == {"train": 16, "dev": 6, "test": 8}


@pytest.mark.slow
def test_advice_is_about_the_reward(run: Callable[..., Result]):
    heard = Heard()
    run(
        heard,
        steps=6,
        eval_every=1,
        hyper=HyperParameters(population=2, eps=1e-6, learning_rate=0.0),
    )
    [message] = heard.advised
    assert message.startswith("no higher reward on dev since step 0. Where the members' rewards")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(optimizer="adam"), "optimizer must be one that uses loss differences with a reward"),
        (dict(objective="f1"), "objective must be left out with reward"),
        (dict(micro_batch=2), "micro_batch must be left out with reward"),
        (dict(data=DataConfig()), "reward needs train, a file of prompts"),
        (dict(parallel="data"), "must be for a step inside JAX"),
        (
            dict(scoring=dict(max_new_tokens=96)),
            "must be less than the 96 positions",
        ),
        (dict(scoring=dict(max_new_tokens=92)), r"prompt must have 1 … 4 tokens, got \d+"),
        (dict(scoring=dict(reward="exact:best")), "has no column best"),
        (dict(scoring=dict(samples=2)), "samples must be 1 at temperature 0"),
        (dict(scoring=dict(top_p=0.5)), "top_p must be 1 at temperature 0"),
        (dict(scoring=dict(reward_failure="0")), "reward_failure must be drop or a finite number"),
        (dict(scoring=dict(reward_seconds=0.0)), "reward_seconds must be positive"),
        (dict(scoring=dict(reward=None)), "reward_processes needs reward, got 2 without one"),
    ],
)
def test_what_does_not_go_together_is_refused(
    run: Callable[..., Result], changes: dict[str, Any], message: str
):
    with pytest.raises(ValueError, match=rf"(?s)finetune: .*{message}"):
        run(**changes)
