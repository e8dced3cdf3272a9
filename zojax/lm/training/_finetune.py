"""A fine-tuning run from its configuration to its results."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Generator
from pathlib import Path
from typing import Literal

from zojax.lm.processes import Spread
from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._begin import Begun
from zojax.lm.training._best import Best, to_host
from zojax.lm.training._checkpoints import require_orbax
from zojax.lm.training._curve import require_matplotlib
from zojax.lm.training._data import Prepared, prepare
from zojax.lm.training._evaluation import ScoresByStep, dev_metrics
from zojax.lm.training._folding import standing
from zojax.lm.training._identity import header_of
from zojax.lm.training._lock import FolderLock
from zojax.lm.training._majority import majority_metrics
from zojax.lm.training._observer import Observer, Observers
from zojax.lm.training._output import absolute, output_folder
from zojax.lm.training._reader import NonFiniteLossError
from zojax.lm.training._recovery import Recovery
from zojax.lm.training._resolve import resolve
from zojax.lm.training._result import Result, result_as_json, scores_as_json
from zojax.lm.training._resume import to_resume
from zojax.lm.training._reward_totals import refuse_failure, totals_of
from zojax.lm.training._run_folder import (
    BEST,
    EVENTS,
    TUNED,
    RunFolder,
)
from zojax.lm.training._set_up import set_up
from zojax.lm.training._start_files import write_start
from zojax.lm.training._start_folder import with_folder
from zojax.lm.training._tensorboard import TensorBoard
from zojax.lm.training._training import Ending, Training
from zojax.lm.training._tries import require_one_clock
from zojax.lm.training._tuned import load_to_tune, spread_of

# The folder of a process that neither writes nor resumes: a path that cannot exist.
_NOWHERE = Path(os.devnull, "nowhere")


def finetune(
    config: FinetuneConfig,
    observer: Observer | None = None,
    *,
    report: Literal["all", "best", "last"] = "all",
) -> Result:
    """Fine-tune a model, measure it, and write a run folder.

    The folder has ``config.json`` (all that is needed to run it again), ``metrics.jsonl``,
    ``results.json``, ``curve.png``, the tuned model in ``model/``, and in ``best/`` the model of
    the step that scored best on dev, if that is neither the last nor step 0 with nothing fitted
    before it. Where tuning starts from, in a task with classes, is in ``start.json``, with
    ``start.safetensors`` if something was fitted. A run that was stopped
    is resumed by ``FinetuneConfig(resume=folder)`` from ``trajectory.log`` and ``checkpoints/``;
    its result has the same bits as that of an uninterrupted run: see zojax.trajectory.

    Args:
      config: The run's configuration.
      observer: Called as the run progresses.
      report: Which parameters to measure on the test examples: ``"all"``, those before the first
        step, after the last step and of the best step on dev; ``"best"`` or ``"last"``, only
        those. Measuring many test examples takes long.

    Returns:
      Test scores of the start, the tuned and the best parameters, and where the files are.

    Raises:
      FileExistsError: The output folder contains something that must not be replaced, or another
        run is writing there.
      NonFiniteLossError: The loss, a slope or the gradient was not finite; the best parameters
        before that step are saved.
      OSError: A file cannot be written, for example because the disk is full.
      ValueError: A setting, a row of data or a weight is wrong, or the run to resume is damaged or
        has another base model.
    """
    before = time.perf_counter()
    if report not in ("all", "best", "last"):
        raise ValueError(f"finetune: report must be one of all, best, last, got {report!r}.")
    require_matplotlib()
    require_orbax()
    require_one_clock(config)
    resume = config.resume is not None
    config = to_resume(config) if resume else absolute(resolve(with_folder(config)))
    spread = spread_of(config)
    reads = spread.writes or resume
    folder = output_folder(config) if reads else _NOWHERE
    observer = _observed(config, observer or Observer(), folder, spread)

    # Whatever is wrong with the data is said before the model loads, which may take minutes.
    observer.status("reading the data")
    with contextlib.closing(prepare(config)) as prepared:
        observer.data(prepared.report)
        return _finetune(prepared, observer, folder, spread, before, report, resume=resume)


def _finetune(
    prepared: Prepared,
    observer: Observer,
    folder: Path,
    spread: Spread,
    before: float,
    report: Literal["all", "best", "last"],
    *,
    resume: bool,
) -> Result:
    """Fine-tune on data that is read; ``before`` is when the run began, by time.perf_counter."""
    config = prepared.config
    ready = set_up(config, prepared, observer, spread, resume=resume)
    config, begun, tuned, data, optimizer, program, *_ = ready
    params = tuned.model.params
    header = header_of(config, optimizer, tuned.base(params))
    lock = FolderLock(folder) if spread.writes else contextlib.nullcontext()
    with lock, _note_on_resuming(folder):
        if spread.writes:
            output_folder(config)  # again: another run may have written there before the lock
        run = RunFolder(folder, config, resume=resume, writes=spread.writes, logged=observer.logged)
        run.write_data(prepared.report.as_json())
        if begun.start is not None and spread.writes:
            write_start(folder, begun.start, begun.score)
        if ready.rate is not None:
            run.write_rates(ready.rate.as_dict())
        loaded, compiled = time.perf_counter(), program.compiled.seconds

        totals = totals_of(data.task, observer.status, spread, observer.compiled)
        observer.status(f"measuring {config.model} before the first step")
        on_test = ScoresByStep(totals, data.test)
        zero_shot = None
        if report == "all":
            zero_shot = on_test.of(0, params)
            observer.measured(begun.name, zero_shot)
        training = Training(config, tuned, data, optimizer, totals, observer, spread, program)
        dev = training.measure(params)
        training.sample(run, 0)
        refuse_failure(config, data.task, dev)
        majority = majority_metrics(data.task, data.dev)
        shares = {"dev": majority.get("dev_majority"), "test": prepared.report.majority}
        start = begun.measured(dev, zero_shot, shares, observer)
        if not run.read_metrics():
            run.log(step=0, **dev_metrics(dev), **majority)
        best = Best(0, dev, to_host(tuned.moving(params)))
        recovery = Recovery(config, tuned, optimizer, header, run, spread)
        ending = _train(config, training, begun, recovery, run, best, observer, spread)
        last = ending.last
        last = last._replace(params=standing(config, last.params, last.state))

        observer.status("saving the model")
        run.save(tuned, spread.local(last.params), TUNED, last.step)
        best_params = tuned.full(best.params, last.params)
        # The model before the first step is saved if it is not that of a folder: a fitted start.
        best_is_new = best.step != last.step and (best.step != 0 or begun.score is not None)
        if best_is_new:
            run.save(tuned, spread.local(best_params), BEST, best.step)
        else:  # one of before the run was resumed
            run.remove(BEST)
        tuned_scores = best_scores = None
        if not ending.signal:
            observer.status("measuring the tuned model")
            if report != "best":
                tuned_scores = on_test.of(last.step, last.params)
            if report != "last":
                best_scores = on_test.of(best.step, spread.placed(best_params))
        result = Result(
            folder=folder,
            model_folder=folder / TUNED,
            steps=last.step,
            best_step=best.step,
            skipped=ending.skipped,
            signal=ending.signal,
            start=start,
            zero_shot=zero_shot,
            tuned=tuned_scores,
            best=best_scores,
            seconds={
                "total": time.perf_counter() - before,
                "load": loaded - before - begun.seconds - ready.search_seconds - compiled,
                "start": begun.seconds - begun.compile_seconds,
                "search": ready.search_seconds,
                "compile": begun.compile_seconds + totals.seconds + training.compile_seconds,
                "steps": last.seconds,
            },
        )
        run.write_results(result_as_json(result))
        run.write_card(TUNED, tuned.model.kind, last.step, scores_as_json(tuned_scores))
        if best_is_new:
            run.write_card(BEST, tuned.model.kind, best.step, scores_as_json(best_scores))
    return result


def _observed(config: FinetuneConfig, observer: Observer, folder: Path, spread: Spread) -> Observer:
    """The run's observer, and event files if it asks for them."""
    if not (config.tensorboard and spread.writes):
        return observer
    return Observers(observer, TensorBoard(folder / EVENTS))


def _train(
    config: FinetuneConfig,
    training: Training,
    begun: Begun,
    recovery: Recovery,
    run: RunFolder,
    best: Best,
    observer: Observer,
    spread: Spread,
) -> Ending:
    """Train; however training ends, write the curve and finish the log and the checkpoints."""
    try:
        ending = training.run(run, recovery, best)
        recovery.wait()
    except NonFiniteLossError as error:
        if best.step or begun.score is not None:
            tuned = begun.tuned
            if tuned.reloads:
                # The loop has donated the frozen parameters' buffers, so the model is loaded again.
                tuned = load_to_tune(config, spread).starting(begun.score, spread)
            run.save(tuned, tuned.full(best.params, tuned.model.params), BEST, best.step)
            error.add_note(
                f"The best parameters before that, of step {best.step}, are in {run.folder}."
            )
        run.write_results({"failed": str(error), "best_step": best.step})
        _draw(config, run)
        raise
    finally:
        observer.stopped()
        recovery.close()
    _draw(config, run)
    return ending


@contextlib.contextmanager
def _note_on_resuming(folder: Path) -> Generator[None]:
    """Add to an error of writing a file a note on how to resume the run."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        error.add_note(
            f"The run's progress is in {folder}. Once that can be written again, resume the run:\n"
            f"    {shlex.join(['zojax', 'finetune', '--resume', str(folder)])}"
        )
        raise


def _draw(config: FinetuneConfig, run: RunFolder) -> None:
    title = f"{config.optimizer} on {config.model}"
    run.draw_curve(title, config.objective if config.scoring.reward is None else "reward")
