"""The models of a finished run, measured again."""

from __future__ import annotations

import contextlib
from pathlib import Path

from zojax.lm.models import LanguageModel
from zojax.lm.rewards import RewardTask
from zojax.lm.sequences import NextToken
from zojax.lm.settings import FinetuneConfig
from zojax.lm.tasks import Objective, PromptSet, objective, read_examples
from zojax.lm.training._data import load_data, prepare, prompt_tokens, view_of
from zojax.lm.training._evaluation import Evaluation, Measured, evaluate_classes
from zojax.lm.training._kind import sequence_kind
from zojax.lm.training._measured_batches import measure_rewards, measure_sequences, to_measure
from zojax.lm.training._observer import Observer
from zojax.lm.training._reward_data import read_reward_set, reward_task, scorer_of
from zojax.lm.training._reward_totals import totals_of
from zojax.lm.training._run_folder import BEST, TUNED, load_config
from zojax.lm.training._sequence_data import read_set, tokens_of
from zojax.lm.training._tuned import load_saved, spread_of_saved


def evaluate_run(
    folder: str | Path, observer: Observer | None = None, *, data: str | Path | None = None
) -> dict[str, Evaluation]:
    """Measure the models that a run has saved, on its test examples or on other labelled ones.

    A run on a mesh is measured on a mesh like it where there are as many devices, otherwise on one.

    Args:
      folder: A run's folder.
      observer: Called as the evaluation progresses.
      data: A file with the columns of the run's training rows, all of whose rows are measured; None
        for the run's own test examples.

    Returns:
      What ``"tuned"`` does, the model after the last step, and ``"best"`` if the run has saved it
      separately: the scores and, for a task with classes, which are taken for which.

    Raises:
      FileNotFoundError: The folder is not a run, it has no saved model, or there is no such file.
      ValueError: A row of the data is wrong, or a file of the run is damaged.
    """
    observer = observer or Observer()
    folder = Path(folder)
    config = load_config(folder)
    parts = {"tuned": folder / TUNED, "best": folder / BEST}
    saved = {name: part for name, part in parts.items() if part.is_dir()}
    if not saved:
        raise FileNotFoundError(
            f"evaluate_run: there is no saved model in {folder}: the run failed early."
        )
    spread = spread_of_saved(config)
    models = {name: load_saved(config, part, spread) for name, part in saved.items()}
    with contextlib.ExitStack() as until:
        task, examples = _examples(config, next(iter(models.values())), data, until)
        totals = totals_of(task, observer.status, spread, observer.compiled, confusion=True)
        found: dict[str, Evaluation] = {}
        for name, model in models.items():
            observer.status(f"measuring {saved[name]}")
            found[name] = evaluate_classes(totals, model.params, examples)
            observer.measured(name, found[name].scores)
        if isinstance(task, RewardTask) and task.scorer.first_failure is not None:
            observer.reward_failed(task.scorer.first_failure)
    return found


def _examples(
    config: FinetuneConfig,
    model: LanguageModel,
    data: str | Path | None,
    until: contextlib.ExitStack,
) -> tuple[Objective | NextToken | RewardTask, Measured]:
    """What measures, and what is measured; ``until`` ends the processes of a reward."""
    if data is None:
        own = load_data(until.enter_context(contextlib.closing(prepare(config))), model)
        return own.task, own.test
    sizes = (model.max_length, config.data.padded_lengths, config.eval_batch_size)
    if config.scoring.reward is not None:
        asked = tokens_of(config, model)
        prompts = read_reward_set(config, model, asked, Path(data))
        scorer = until.enter_context(contextlib.closing(scorer_of(config.scoring, "evaluate_run")))
        longest = model.max_length - config.scoring.most_new_tokens
        measured = measure_rewards([prompts], longest, *sizes[1:])[0]
        return reward_task(config, model, asked, scorer), measured
    if sequence_kind(config.data) is not None:
        texts = tokens_of(config, model)
        part = read_set(config, texts, Path(data))
        return NextToken(model, texts), measure_sequences([part], *sizes)[0]
    tokens = prompt_tokens(config, model)
    rows = PromptSet.of(read_examples(data, tokens.task), tokens)
    task = objective(model, tokens)
    return task, to_measure([rows], *sizes, view_of(task))[0]
