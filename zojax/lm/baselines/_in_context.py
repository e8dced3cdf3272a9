"""In-context learning: solved examples before each prompt."""

from __future__ import annotations

import time

import numpy as np

from zojax.lm import tasks
from zojax.lm.baselines._measured import Measured, load_untuned, measure, prepare_untuned
from zojax.lm.tasks import PromptSet, objective
from zojax.lm.training import FinetuneConfig, Observer, to_measure


def in_context(
    config: FinetuneConfig, observer: Observer | None = None, *, demonstrations: int = 32
) -> Measured:
    """Measure a model that reads solved training examples before each prompt.

    The demonstrations are sampled by :func:`zojax.lm.tasks.in_context` with the run's seed. Each
    example, solved or not, is truncated to ``data.max_length`` as in any run. A row may be as long
    as the model allows, and each prompt gets as many complete demonstrations as fit.

    Args:
      config: The model, the data and the seed; settings of training are ignored.
      observer: Called as the measurement progresses.
      demonstrations: How many to sample; MeZO uses 32.

    Returns:
      Scores on dev and test. ``chosen`` has the number of demonstrations that were sampled,
      ``drawn``, and the smallest and the mean number before a test prompt, ``fewest`` and ``mean``.

    Cost: a forward pass for each dev and test example, or for each of its candidates, over rows
      that contain the demonstrations too. A batch has about as many tokens as ``eval_batch_size``
      rows of ``data.max_length``.

    Raises:
      ValueError: The model is masked, ``demonstrations`` < 1, no demonstration fits before some
        prompt, the configuration has an adapter, or a setting or a row of data is wrong.

    References:
      Brown et al., 2020, arXiv:2005.14165. Malladi et al., 2023, arXiv:2305.17333.
    """
    begin = time.perf_counter()
    observer = observer or Observer()
    prepared = prepare_untuned("in_context", config)
    model = load_untuned(config, observer)
    tokens, sets = prepared.fitted_to(model)
    with_demonstrations = tasks.in_context(
        tokens, sets["train"].examples, model.max_length, count=demonstrations, seed=config.seed
    )
    dev, test = (PromptSet.of(sets[name].examples, with_demonstrations) for name in ("dev", "test"))
    counts = _counts(test)
    chosen = {
        "drawn": len(with_demonstrations.demonstrations),
        "fewest": int(counts.min()),
        "mean": round(float(counts.mean()), 2),
    }
    observer.status(
        f"measuring {config.model} with {chosen['mean']:g} of {chosen['drawn']} demonstrations, "
        f"at least {chosen['fewest']}"
    )
    longest = max(dev.lengths.max(), test.lengths.max())
    size = max(1, config.eval_batch_size * tokens.max_length // int(longest))
    on_dev, on_test = to_measure([dev, test], model.max_length, config.data.padded_lengths, size)
    found = measure(
        model,
        objective(model, with_demonstrations),
        on_dev,
        on_test,
        observer,
        begin=begin,
        chosen=chosen,
    )
    observer.measured("in-context", found.test)
    return found


def _counts(prompts: PromptSet) -> np.ndarray:
    """Count the demonstrations before each prompt."""
    demonstrations = [list(ids) for ids in prompts.tokens.demonstrations]
    counts: list[int] = []
    for first, *_ in prompts.rows:
        # The beginning-of-sequence token, if there is one, precedes the demonstrations.
        place = next(i for i in (0, 1) if _contains_at(i, first.ids, demonstrations[0]))
        count = 0
        for demonstration in demonstrations:
            if not _contains_at(place, first.ids, demonstration):
                break
            place += len(demonstration)
            count += 1
        counts.append(count)
    return np.array(counts)


def _contains_at(place: int, ids: list[int], part: list[int]) -> bool:
    return ids[place : place + len(part)] == part
