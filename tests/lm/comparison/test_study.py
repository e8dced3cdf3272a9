"""From a file to the runs of a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from zojax.lm.comparison import Run, load_study

pytestmark = pytest.mark.quick

STUDY = """
title = "two methods"
models = ["opt-mini", "other"]
forward_passes = 100
seeds = [3, 4]

[options]
batch_size = 8
eps = 1e-3

[tasks.rotten-tomatoes]
[tasks.bare]
task = "rotten-tomatoes"
bare = true

[adapters.full]
[adapters.lora]
adapter = "lora"

[methods.zero-shot]
baseline = "zero-shot"

[methods.mezo]
optimizer = "mezo"
grid.learning_rate = [1e-5, 1e-4]
grid.num_queries = [1, 2]
[methods.mezo.with.lora]
eps = 1e-2
grid.learning_rate = [1e-3]

[methods.adam]
optimizer = "adam"
eps = 1
learning_rate = 1e-3
models = ["other"]
adapters = ["lora"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_cells_are_all_combinations_that_are_asked_for(tmp_path: Path):
    cells = list(load_study(written(tmp_path, STUDY)).cells())
    assert len(set(cells)) == len(cells)
    of_other = [(c.method, c.adapter) for c in cells if (c.model, c.task) == ("other", "bare")]
    assert of_other == [
        ("zero-shot", "full"),
        ("mezo", "full"),
        ("mezo", "lora"),
        ("adam", "lora"),
    ]
    assert not [c for c in cells if c.model == "opt-mini" and c.method == "adam"]


def test_the_nearer_option_wins(tmp_path: Path):
    cells = {(c.task, c.method, c.adapter): c for c in load_study(written(tmp_path, STUDY)).cells()}
    full = cells["bare", "mezo", "full"].candidates()
    assert [(point["learning_rate"], point["num_queries"]) for point in full] == [
        (1e-5, 1),
        (1e-5, 2),
        (1e-4, 1),
        (1e-4, 2),
    ]
    assert {key: full[0][key] for key in ("task", "bare", "eps", "batch_size", "optimizer")} == {
        "task": "rotten-tomatoes",
        "bare": True,
        "eps": 1e-3,
        "batch_size": 8,
        "optimizer": "mezo",
    }
    lora = cells["rotten-tomatoes", "mezo", "lora"].candidates()
    assert [(c["learning_rate"], c["num_queries"], c["eps"]) for c in lora] == [
        (1e-3, 1, 1e-2),
        (1e-3, 2, 1e-2),
    ]
    assert lora[0]["adapter"] == "lora"
    assert lora[0]["task"] == "rotten-tomatoes"


def run(folder: Path, text: str, **options: object) -> Run:
    cell = next(c for c in load_study(written(folder, text)).cells() if c.method == "mezo")
    return Run(cell, "report", {**cell.candidates()[0], **options}, {}, 0)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, 50),
        ({"num_queries": 3}, 16),
        ({"num_queries": 3, "difference": "forward"}, 25),
        ({"optimizer": "forward_gradient_sgd", "eps": None}, 33),
        ({"optimizer": "zo_sgd_conservative"}, 20),
        ({"optimizer": "adam", "eps": None, "num_queries": None}, 33),
        ({"optimizer": "sgd", "eps": None, "num_queries": None}, 33),
    ],
)
def test_a_budget_buys_steps_of_equal_cost(tmp_path: Path, options: dict[str, object], steps: int):
    config = run(tmp_path, STUDY, **options).config
    assert config.steps == steps
    assert config.eval_every == steps // 5


def test_a_budget_below_a_step_is_refused(tmp_path: Path):
    text = STUDY.replace("forward_passes = 100", "forward_passes = 1")
    with pytest.raises(
        ValueError, match=r"compare: forward_passes must be enough for a step, got 1; .* 2\."
    ):
        _ = run(tmp_path, text).config


def test_a_run_is_known_by_its_settings_and_not_by_its_name(tmp_path: Path):
    one = run(tmp_path, STUDY)
    assert run(tmp_path, STUDY.replace("two methods", "again")).key == one.key
    assert run(tmp_path, STUDY, weight_decay=0.1).key != one.key
    assert run(tmp_path, STUDY.replace("= 100", "= 200")).key != one.key
    assert Run(one.cell, "tune", one.options, {}, 1).key != one.key


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("forward_passes = 100", "forward_passes = 0", r"forward_passes must be >= 1, got 0\."),
        ("forward_passes = 100", "", r"the study must have forward_passes\."),
        ("forward_passes = 100", "passes = 100", r"may have .*, got passes\."),
        ("seeds = [3, 4]", "seeds = [3, 3]", r"seeds must have entries, each once, got \[3, 3\]"),
        ("seeds = [3, 4]", "seeds = ['3']", r"each of seeds must be a int, got '3'\."),
        ("seeds = [3, 4]", "report = 'first'", r"report must be one of best, last, got 'first'\."),
        ('optimizer = "mezo"', "", r"methods\.mezo must have either an optimizer or a baseline\."),
        ('"zero-shot"\n', '"zero"\n', r"methods\.zero-shot\.baseline must be one of .*'zero'"),
        ("= [1e-3]", "= 1e-3", r"grid\.learning_rate must be a list of values, got 0\.001"),
        ("grid.num_queries", "num_queries = 1\ngrid.num_queries", r"has num_queries both as an"),
        ("with.lora", "with.lara", r"methods\.mezo may have the adapters full, lora, got lara\."),
        ('models = ["other"]', 'models = ["more"]', r"the models opt-mini, other, got more\."),
        ("title", "title = 1\ntitle", r"is not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, message: str):
    assert old in STUDY
    path = written(tmp_path, STUDY.replace(old, new))
    with pytest.raises(ValueError, match=message) as error:
        load_study(path)
    assert str(error.value).startswith(f"load_study: {path}")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"load_study: there is no file"):
        load_study(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rat": 1}, r"configure: options must be finetune's, got learning_rat; there"),
        ({"batch_size": "8"}, r"configure: Expected `int`, got `str` - at `\$\.batch_size`\."),
        ({"eval_batch_size": 0}, r"finetune: eval_batch_size must be >= 1, got 0\.$"),
        ({"direction": "up"}, r"Invalid enum value 'up' - at `\$\.hyper\.direction`"),
    ],
)
def test_an_option_that_finetune_does_not_take_is_refused(
    tmp_path: Path, options: dict[str, object], message: str
):
    with pytest.raises(ValueError, match=message):
        _ = run(tmp_path, STUDY, **options).config
