"""Runs on chats, instructions and plain text: what is read and said, and all ways to tune."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chats import CHATML, chat, write_chat_model, write_rows
from tiny_models import tokenizer_of

from zojax.lm.baselines import zero_shot
from zojax.lm.sequences import SequenceSet
from zojax.lm.training import (
    AdapterConfig,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    Observer,
    Prepared,
    Result,
    Tick,
    finetune,
    prepare,
)

ANSWERS = ("great", "terrible, and long")
TRAIN = {
    "chat": [{"messages": chat(f"a film {i}", ANSWERS[i % 2], "sure?", "yes")} for i in range(40)],
    "instruction": [
        {"prompt": f"a film {i}:", "completion": f" {ANSWERS[i % 2]}"} for i in range(40)
    ],
    "text": [{"text": f"a film {i}. It was {ANSWERS[i % 2]} " * (1 + i % 5)} for i in range(40)],
}


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chat_model(tmp_path_factory.mktemp("models") / "chat")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    return {name: write_rows(folder / f"{name}.jsonl", rows) for name, rows in TRAIN.items()}


@pytest.fixture
def base(chat_model: Path) -> FinetuneConfig:
    return FinetuneConfig(
        model=str(chat_model),
        optimizer="mezo",
        steps=4,
        batch_size=8,
        eval_batch_size=16,
        eval_every=2,
        log_every=2,
        hyper=HyperParameters(learning_rate=1e-3),
    )


def sets_of(prepared: Prepared) -> dict[str, SequenceSet]:
    sets = prepared.sets.items()
    return {name: part for name, part in sets if isinstance(part, SequenceSet)}


def on(base: FinetuneConfig, train: Path, **data: Any) -> FinetuneConfig:
    data = {"num_buckets": 1, **data}
    return dataclasses.replace(base, data=DataConfig(train=train, **data))


@pytest.mark.quick
def test_a_report_says_what_the_rows_are(base: FinetuneConfig, files: dict[str, Path]):
    found = prepare(on(base, files["chat"]))
    assert found.report.lines() == [
        "kind       chat: the loss is on the assistant's turns, each with its end of turn",
        "data       train 24, dev 8, test 8 rows",
        f"           of 40 in {files['chat']}",
        "           dev and test split off from train",
        *found.report.lines()[4:5],
        "           0 of 40 rows are cut to 96 (--max-length)",
        *found.report.lines()[6:],
    ]
    assert found.report.lines()[4].startswith("tokens     median ")
    assert found.report.lines()[6].endswith(" tokens are learnt")
    assert found.config.data.kind == "chat"
    json.dumps(found.report.as_json())
    text = prepare(on(base, files["text"], max_length=20)).report.lines()
    assert text[0] == "kind       text: the loss is on every token"
    assert "pieces of at most 20 (--max-length)" in text[5]


@pytest.mark.quick
def test_rows_that_are_cut_left_out_joined_repeated_or_wrong(base: FinetuneConfig, tmp_path: Path):
    rows: list[Any] = [{"prompt": f"a film {i}", "completion": "great"} for i in range(20)]
    long = [{"prompt": "a film " * 9, "completion": "great"}]
    train = write_rows(tmp_path / "train.jsonl", [*rows, *long, {"prompt": "", "completion": "a"}])
    test = write_rows(tmp_path / "test.jsonl", rows[:2])
    config = on(base, train, test=test, max_length=16, dev_size=4)
    with pytest.raises(ValueError, match=r"1 of 24 rows is wrong:\n.*train\.jsonl:22: prompt must"):
        prepare(config)
    data = dataclasses.replace(config.data, skip_bad_rows=True)
    skipping = dataclasses.replace(config, data=data)
    lines = "\n".join(prepare(skipping).report.lines())
    assert "1 of 23 rows are cut to 16" in lines
    assert "1 rows are left out: no answer within 16 tokens" in lines
    assert "22 prompts and completions have no space between them" in lines
    assert "test texts are in train, too" in lines
    assert "1 rows that cannot be read:" in lines


@pytest.mark.quick
def test_a_text_file_is_split_by_its_pieces(base: FinetuneConfig, tmp_path: Path):
    book = tmp_path / "book.txt"
    book.write_text("".join(f"a film. It was great {i}\n" for i in range(60)))
    found = prepare(on(base, book, max_length=30))
    assert min(len(part) for part in found.sets.values()) >= 4
    pieces = [row.ids for part in sets_of(found).values() for row in part.rows]
    ids = [1, *tokenizer_of(Path(base.model))(book.read_text()).input_ids, 2]
    # Nothing is lost: each piece is a part of the text, and they have all of its tokens.
    starts = sorted(pieces, key=lambda piece: _place(ids, piece.tolist()))
    joined = [ids[0]] + [token for piece in starts for token in piece[1:].tolist()]
    assert joined == ids


def _place(ids: list[int], piece: list[int]) -> int:
    places = [i for i in range(len(ids)) if ids[i : i + len(piece)] == piece]
    assert places
    return places[0]


@pytest.mark.quick
def test_splits_depend_on_the_seed_and_test_does_not(base: FinetuneConfig, files: dict[str, Path]):
    def texts(seed: int) -> dict[str, list[bytes]]:
        found = prepare(dataclasses.replace(on(base, files["instruction"]), seed=seed))
        sets = sets_of(found)
        return {name: [text.ids.tobytes() for text in part.whole] for name, part in sets.items()}

    one, same, other = texts(0), texts(0), texts(1)
    assert one == same
    assert one["test"] == other["test"]
    assert {*one["dev"]} != {*other["dev"]}
    assert not {*one["train"]} & {*one["dev"], *one["test"]}
    few = prepare(on(base, files["instruction"], train_size=5, dev_size=3, test_size=2))
    assert {name: len(part) for name, part in few.sets.items()} == {
        "train": 5,
        "dev": 3,
        "test": 2,
    }


@pytest.mark.quick
def test_the_kind_may_be_named(base: FinetuneConfig, tmp_path: Path):
    rows = [{"messages": chat("a", "b"), "prompt": f"a {i}", "completion": "b"} for i in range(20)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    assert prepare(on(base, path)).config.data.kind == "chat"
    assert prepare(on(base, path, kind="instruction")).config.data.kind == "instruction"
    assert prepare(on(base, path, prompt_column="prompt")).config.data.kind == "instruction"
    text = prepare(on(base, path, kind="text", text_column="prompt"))
    assert text.config.data.kind == "text"


@pytest.mark.quick
def test_a_class_that_was_not_named_is_asked_for(base: FinetuneConfig, tmp_path: Path):
    rows = [{"text": f"a film {i}", "queue": "sales"} for i in range(20)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    message = r"has no column label; its columns are text, queue\..*--label-column.* with --kind"
    with pytest.raises(ValueError, match=message):
        prepare(on(base, path))
    assert prepare(on(base, path, kind="text")).report.kind == "text"


@pytest.mark.quick
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (dict(kind="chats"), "kind must be one of classification, instruction, chat, text, got"),
        (dict(kind="chat", task="boolq"), "kind must be left out with task, .* got chat and boolq"),
        (
            dict(kind="chat", label_column="a"),
            "label_column must be left out for rows of kind chat",
        ),
        (dict(kind="text", k_shot=4), "k_shot must be left out for rows of kind text"),
        (dict(chat_day="today"), "chat_day must be a day as in 2026-01-31, got 'today'"),
    ],
)
def test_options_of_other_kinds_are_refused(data: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=f"finetune: {message}"):
        FinetuneConfig(data=DataConfig(train=Path("rows.jsonl"), **data))


@pytest.mark.quick
def test_options_that_need_a_file(files: dict[str, Path], base: FinetuneConfig):
    with pytest.raises(ValueError, match="messages_column needs train"):
        FinetuneConfig(data=DataConfig(messages_column="talk"))
    with pytest.raises(ValueError, match="label_column must be left out for rows of kind chat"):
        prepare(on(base, files["chat"], messages_column="messages", label_column="a"))


@pytest.mark.quick
def test_models_and_objectives_that_do_not_fit(
    base: FinetuneConfig, files: dict[str, Path], tiny_opt: Path
):
    with pytest.raises(ValueError, match="need a causal model, got roberta-mini, a masked one"):
        prepare(dataclasses.replace(on(base, files["text"]), model="roberta-mini"))
    with pytest.raises(ValueError, match="chats need a model whose tokenizer has a chat template"):
        prepare(dataclasses.replace(on(base, files["chat"]), model=str(tiny_opt)))
    with pytest.raises(ValueError, match="objective must be loss for rows of kind text"):
        prepare(dataclasses.replace(on(base, files["text"]), objective="accuracy"))


@pytest.mark.quick
def test_the_day_of_a_template_is_kept(
    tmp_path: Path, base: FinetuneConfig, files: dict[str, Path]
):
    model = write_chat_model(tmp_path / "dated", "{{ strftime_now('%d %b') }}\n" + CHATML)
    config = dataclasses.replace(on(base, files["chat"], chat_day="2026-01-31"), model=str(model))
    found = prepare(config)
    assert found.config.data.chat_day == "2026-01-31"
    (ids, _), *_ = sets_of(found)["train"].rows
    assert tokenizer_of(model).decode(ids).startswith("31 Jan")
    today = prepare(dataclasses.replace(config, data=DataConfig(train=files["chat"])))
    assert today.config.data.chat_day is not None
    assert prepare(on(base, files["chat"])).config.data.chat_day is None


VARIANTS: dict[str, dict[str, Any]] = {
    "zo_adamu": dict(optimizer="zo_adamu"),
    "adam": dict(optimizer="adam"),
    "zo_sgd_blockwise": dict(optimizer="zo_sgd_blockwise"),
    "forward_gradient_sgd": dict(optimizer="forward_gradient_sgd"),
    "in place": dict(hyper=HyperParameters(learning_rate=1e-3, evaluation="in_place")),
    "lora": dict(tuned=AdapterConfig("lora", rank=2)),
    "prefix": dict(tuned=AdapterConfig("prefix", length=3)),
    "virtual tokens": dict(tuned=AdapterConfig("virtual_tokens", length=3)),
}


@pytest.mark.slow
@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_every_way_to_tune(
    variant: str, base: FinetuneConfig, files: dict[str, Path], tmp_path: Path
):
    config = dataclasses.replace(
        on(base, files["text"], max_length=96), output=tmp_path / "run", **VARIANTS[variant]
    )
    result = finetune(config, report="last")
    assert result.steps == 4
    assert result.tuned is not None
    assert result.tuned.perplexity is not None


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(TRAIN))
def test_parts_of_a_batch_make_the_same_run(
    kind: str, base: FinetuneConfig, files: dict[str, Path], tmp_path: Path
):
    config = on(base, files[kind], max_length=48)
    whole = finetune(dataclasses.replace(config, output=tmp_path / "whole"), report="last")
    parts = dataclasses.replace(config, micro_batch=2, output=tmp_path / "parts")
    assert losses(finetune(parts, report="last")) == pytest.approx(losses(whole), rel=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("standard_promotion")
def test_a_mesh_makes_the_same_run(base: FinetuneConfig, files: dict[str, Path], tmp_path: Path):
    config = dataclasses.replace(on(base, files["chat"], max_length=64), batch_size=9)
    one = finetune(dataclasses.replace(config, output=tmp_path / "one"), report="last")
    spread = dataclasses.replace(config, mesh="data=4,model=2", output=tmp_path / "mesh")
    assert losses(finetune(spread, report="last")) == pytest.approx(losses(one), rel=1e-4)


def losses(result: Result) -> list[float]:
    lines = (result.folder / "metrics.jsonl").read_text().splitlines()
    return [line[name] for line in map(json.loads, lines) for name in line if "loss" in name]


class Killed(BaseException):
    """What nobody handles."""


class Killer(Observer):
    def ticked(self, tick: Tick) -> None:
        if tick.step == 2:
            raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(TRAIN))
def test_a_killed_run_goes_on_to_the_same_bits(
    kind: str, base: FinetuneConfig, files: dict[str, Path], tmp_path: Path
):
    config = on(base, files[kind], max_length=48)
    whole = finetune(dataclasses.replace(config, output=tmp_path / "whole"), report="last")
    killed = dataclasses.replace(config, output=tmp_path / "killed")
    with pytest.raises(Killed):
        finetune(killed, Killer(), report="last")
    again = finetune(FinetuneConfig(resume=tmp_path / "killed"), report="last")
    assert losses(again) == losses(whole)
    one, other = ((r.model_folder / "model.safetensors").read_bytes() for r in (whole, again))
    assert one == other


@pytest.mark.slow
def test_an_untuned_model_is_measured_too(base: FinetuneConfig, files: dict[str, Path]):
    found = zero_shot(on(base, files["chat"]))
    assert found.test.metric_name == "perplexity"
    assert found.test.shown == f"{np.exp(found.test.loss):.4g}"
