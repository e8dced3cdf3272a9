"""A whole fine-tuning run, and its evaluation afterwards."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zojax.parallel._spread import Spread
from zojax.training._config import FinetuneConfig
from zojax.training._curve import require_matplotlib
from zojax.training._data import load_data
from zojax.training._evaluation import Scores, evaluate
from zojax.training._loop import NonFiniteLossError
from zojax.training._observer import Observer
from zojax.training._optimizer import make_optimizer, resolve
from zojax.training._run_folder import (
    BEST,
    TUNED,
    RunFolder,
    load_config,
    output_folder,
)
from zojax.training._step import CompiledByShape
from zojax.training._training import Best, Training, to_host
from zojax.training._tuned import load_saved, load_to_tune


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
      folder: The run's folder.
      model_folder: The tuned model, in transformers' layout.
      steps: Steps taken.
      best_step: The step whose parameters did best on dev; 0 for those it began with.
      zero_shot: Test scores before the first step.
      tuned: Test scores after the last step; None for an interrupted run.
      best: Test scores of the parameters of ``best_step``; None for an interrupted run.
      seconds: Where the time went: ``total``, and of it ``load``, ``compile``, ``steps``.
    """

    folder: Path
    model_folder: Path
    steps: int
    best_step: int
    zero_shot: Scores
    tuned: Scores | None
    best: Scores | None
    seconds: dict[str, float]


def finetune(config: FinetuneConfig, observer: Observer | None = None) -> Result:
    """Fine-tune a model, measure it, and write a run folder.

    The folder has ``config.json`` (all that is needed to run it again), ``metrics.jsonl``,
    ``results.json``, ``curve.png``, the tuned model in ``model/``, and in ``best/`` the model of
    the step that did best on dev, where that is neither the first nor the last.

    Args:
      config: What to do.
      observer: Hears how it goes.

    Returns:
      Test scores of the zero-shot, the tuned and the best parameters.

    Raises:
      FileExistsError: The output folder holds something that must not be replaced.
      NonFiniteLossError: Training broke down; the best parameters before that are saved.
      ValueError: A setting, a row of data or a weight is wrong.
    """
    begin = time.perf_counter()
    observer = observer or Observer()
    config = _absolute(resolve(config))
    require_matplotlib()
    spread = Spread.of(config.parallel)
    folder = output_folder(config) if spread.writes else Path()

    observer.status(f"loading {config.model}")
    tuned = load_to_tune(config)
    tuned = tuned.at(spread.replicated(tuned.model.params))
    params = tuned.model.params
    data = load_data(config, tuned.model)
    optimizer = make_optimizer(config, tuned.moving(params))
    optimizer = optimizer._replace(tx=tuned.only(optimizer.tx))
    spread.require(
        batch_size=min(config.batch_size, len(data.train)),
        losses=optimizer.forward_passes if optimizer.zeroth_order else 0,
        in_place=optimizer.in_place,
    )
    run = RunFolder(folder, config, writes=spread.writes)
    loaded = time.perf_counter()

    totals = CompiledByShape(
        data.task.totals, "the forward pass", observer.status, place=spread.shared_rows
    )
    observer.status(f"measuring {config.model} before the first step")
    zero_shot = evaluate(totals, params, data.test)
    observer.measured("zero-shot", zero_shot)
    dev = evaluate(totals, params, data.dev)
    run.log(step=0, dev_accuracy=dev.accuracy, dev_loss=dev.loss)
    best = Best(0, dev, to_host(tuned.moving(params)))

    training = Training(config, tuned, data, optimizer, totals, observer, spread)
    try:
        last, interrupted = training.run(run, best)
    except NonFiniteLossError as error:
        if best.step:
            # The loop has taken the memory of the parameters that an adapter stands beside.
            tuned = tuned if tuned.adapter is None else load_to_tune(config)
            run.save(tuned, tuned.whole(best.params, tuned.model.params), BEST)
            error.add_note(f"The best parameters before it, of step {best.step}, are in {folder}.")
        run.write_results({"failed": str(error), "best_step": best.step})
        raise
    finally:
        observer.stopped()
        run.draw_curve(f"{config.optimizer} on {config.model}")

    observer.status("saving the model")
    run.save(tuned, spread.local(last.params), TUNED)
    best_params = tuned.whole(best.params, last.params)
    best_is_new = best.step not in (0, last.step)
    if best_is_new:
        run.save(tuned, spread.local(best_params), BEST)
    tuned_scores = best_scores = None
    if not interrupted:
        observer.status("measuring the tuned model")
        tuned_scores = evaluate(totals, last.params, data.test)
        best_scores = zero_shot if best.step == 0 else tuned_scores
        if best_is_new:
            best_scores = evaluate(totals, spread.replicated(best_params), data.test)
    result = Result(
        folder=folder,
        model_folder=folder / TUNED,
        steps=last.step,
        best_step=best.step,
        zero_shot=zero_shot,
        tuned=tuned_scores,
        best=best_scores,
        seconds={
            "total": time.perf_counter() - begin,
            "load": loaded - begin,
            "compile": totals.seconds + training.compile_seconds,
            "steps": last.seconds,
        },
    )
    run.write_results(_as_json(result))
    return result


def evaluate_run(folder: str | Path, observer: Observer | None = None) -> dict[str, Scores]:
    """Measure a run's saved models on its test examples again.

    Args:
      folder: A run's folder.
      observer: Hears how it goes.

    Returns:
      Test scores of ``"tuned"``, and of ``"best"`` where the run has saved it apart.
    """
    observer = observer or Observer()
    folder = Path(folder)
    config = load_config(folder)
    parts = {"tuned": folder / TUNED, "best": folder / BEST}
    saved = {name: part for name, part in parts.items() if part.is_dir()}
    if not saved:
        raise FileNotFoundError(
            f"evaluate_run: there is no saved model in {folder}. The run broke down early."
        )
    models = {name: load_saved(config, part) for name, part in saved.items()}
    data = load_data(config, next(iter(models.values())))
    totals = CompiledByShape(data.task.totals, "the forward pass", observer.status)
    scores: dict[str, Scores] = {}
    for name, model in models.items():
        observer.status(f"measuring {saved[name]}")
        scores[name] = evaluate(totals, model.params, data.test)
        observer.measured(name, scores[name])
    return scores


def _absolute(config: FinetuneConfig) -> FinetuneConfig:
    """Make paths absolute, so that the run's configuration holds from any folder."""
    data = config.data
    paths = {
        name: path and path.expanduser().absolute()
        for name, path in (("train", data.train), ("dev", data.dev), ("test", data.test))
    }
    is_folder = Path(config.model).is_dir()
    is_file = data.task is not None and data.task.endswith(".toml")
    return dataclasses.replace(
        config,
        model=str(Path(config.model).absolute()) if is_folder else config.model,
        data=dataclasses.replace(
            data, task=str(Path(data.task or "").absolute()) if is_file else data.task, **paths
        ),
    )


def _as_json(result: Result) -> dict[str, Any]:
    def scores(value: Scores | None) -> dict[str, float] | None:
        return value and value._asdict()

    return {
        "steps": result.steps,
        "best_step": result.best_step,
        "test": {
            "zero_shot": scores(result.zero_shot),
            "tuned": scores(result.tuned),
            "best": scores(result.best),
        },
        "seconds": {name: round(value, 2) for name, value in result.seconds.items()},
    }
