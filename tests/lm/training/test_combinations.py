"""``finetune`` for every model with every adapter, and for each task and optimizer."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
import pytest
from sets import slow_except
from tiny_models import FAMILIES, masked_tokenizer_of, tokenizer_of, write_tiny_model

import zojax.lm.models
from zojax.lm.adapters import load_adapter
from zojax.lm.tasks import load_task, task_names
from zojax.lm.training import (
    AdapterConfig,
    AdapterName,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    OptimizerName,
    evaluate_run,
    finetune,
    load_to_tune,
)

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

ADAPTERS = get_args(AdapterName)
BLOCKWISE, WITH_LAYERS = "zo_sgd_blockwise", ("none", "lora", "prefix")
OPTIMIZERS = get_args(OptimizerName)
ROWS = Path(__file__).parents[1] / "tasks" / "data"
# Those whose rows are in files here; the others read packages, and run with them.
TASKS = [name for name in task_names() if (ROWS / f"{name}.jsonl").is_file()]
CAUSAL_TASKS = [name for name in TASKS if load_task(name).masked_template is None]


def combinations() -> list[tuple[str, str, str, str]]:
    """Every model with every adapter that has layers where an optimizer tunes by the layer.

    Tasks and optimizers take turns.
    """
    both = [name for name in TASKS if name not in CAUSAL_TASKS]
    causal, masked = itertools.cycle(CAUSAL_TASKS + both), itertools.cycle(reversed(both))
    optimizers = itertools.cycle(OPTIMIZERS)
    every = [
        (model, next(masked if model == "roberta" else causal), adapter, next(optimizers))
        for model in FAMILIES
        for adapter in ADAPTERS
    ]
    return [one for one in every if one[-1] != BLOCKWISE or one[-2] in WITH_LAYERS]


def test_the_combinations_cover_everything():
    _, tasks, _, optimizers = (set(column) for column in zip(*combinations(), strict=True))
    assert (tasks, optimizers) == (set(TASKS), set(OPTIMIZERS))


@pytest.fixture(scope="module")
def folders(tiny_opt: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    tokenizer = tokenizer_of(tiny_opt)
    masked = masked_tokenizer_of(tiny_opt)
    return {
        family: write_tiny_model(
            tmp_path_factory.mktemp("models") / family,
            family,
            masked if family == "roberta" else tokenizer,
            max_position_embeddings=258,
        )
        for family in FAMILIES
    }


def configuration(folder: Path, task: str, output: Path, **settings: Any) -> FinetuneConfig:
    rows = ROWS / f"{task}.jsonl"
    return FinetuneConfig(
        model=str(folder),
        steps=2,
        batch_size=1,
        eval_batch_size=4,
        eval_every=2,
        output=output,
        data=DataConfig(task=task, train=rows, test=rows, max_length=256, num_buckets=1),
        **settings,
    )


CASES = {"-".join(combination): combination for combination in combinations()}


# By default one of those with one adapter for each model.
@pytest.mark.parametrize(
    ("model", "task", "adapter", "optimizer"),
    slow_except(CASES, *list(CASES)[:: len(ADAPTERS) + 1][-1:]),
)
def test_a_run(
    model: str,
    task: str,
    adapter: Any,
    optimizer: Any,
    folders: dict[str, Path],
    tmp_path: Path,
):
    hyper = HyperParameters(learning_rate=0.1)
    tuned = AdapterConfig(adapter)
    config = configuration(
        folders[model], task, tmp_path / "run", optimizer=optimizer, hyper=hyper, tuned=tuned
    )
    result = finetune(config)
    assert result.steps == 2
    assert np.isfinite(result.tuned.loss)
    assert (result.tuned.f1 is not None) == (load_task(task).kind == "generation")
    assert evaluate_run(result.folder)["tuned"].scores == result.tuned
    fresh = load_to_tune(config)
    layers = {"scan_layers": optimizer != BLOCKWISE}
    if adapter == "none":
        saved = zojax.lm.models.load(result.model_folder, **layers).params
    else:
        untuned = zojax.lm.models.load(folders[model], **layers)
        saved = load_adapter(untuned, result.model_folder)[1].params
        jax.tree.map(np.testing.assert_array_equal, saved["model"], untuned.params)
    moved = [fresh.trainable(params) for params in (saved, fresh.model.params)]
    # A conservative step stays where neither end is better.
    if optimizer != "zo_sgd_conservative":
        assert any(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x != y).any()), *moved)))


def test_what_cannot_work_says_why(folders: dict[str, Path], tmp_path: Path):
    for task in CAUSAL_TASKS:
        with pytest.raises(ValueError, match=f"Task {task}: .*[Tt]ake a causal model"):
            finetune(configuration(folders["roberta"], task, tmp_path / "run"))
    for task, objective, reason in (
        ("squad", "accuracy", "a task that chooses, got squad, a task of generation. Take f1"),
        (
            "sst2",
            "f1",
            "a task that generates text, got sst2, a task of classification. Take accuracy",
        ),
    ):
        with pytest.raises(ValueError, match=f"objective {objective} must be for {reason}"):
            finetune(configuration(folders["opt"], task, tmp_path / "run", objective=objective))
    config = configuration(
        folders["opt"], "sst2", tmp_path / "run", tuned=AdapterConfig("prefix", rank=4)
    )
    with pytest.raises(ValueError, match=r"prefix must not be given rank\. It takes length"):
        finetune(config)
    assert not (tmp_path / "run").exists()
