"""In-context learning: solved examples before each prompt."""

from __future__ import annotations

import time

import numpy as np

from zojax.lm import tasks
from zojax.lm.baselines._measured import Measured, load_untuned, measure
from zojax.lm.tasks import PromptSet, objective
from zojax.lm.training import FinetuneConfig, Observer, load_prompts, to_measure


def in_context(
    config: FinetuneConfig, observer: Observer | None = None, *, demonstrations: int = 32
) -> Measured:
    """Measure a model that reads solved training examples before each prompt.

    The demonstrations are drawn by :func:`zojax.lm.tasks.in_context` with the run's seed. Each
    example, solved or not, is cut to ``data.max_length`` as in any run, and the whole row is as
    long as the model can read: a prompt takes as many whole demonstrations as fit.

    Args:
      config: The model, the data and the seed; what is said of training is not read.
      observer: Hears how it goes.
      demonstrations: How many to draw; MeZO takes 32.

    Returns:
      Scores on dev and test; ``chosen`` has the demonstrations that were ``drawn``, and how many
      of them stood before a test prompt, the ``fewest`` and the ``mean``.

    Cost: a forward pass for each dev and test example, or for each of its candidates, over rows
      that are as many times longer as there are demonstrations. A batch has about as many tokens
      as ``eval_batch_size`` rows of ``data.max_length``.

    Raises:
      ValueError: The model is masked, ``demonstrations`` < 1, no demonstration fits before some
        prompt, there is an adapter, or a setting or a row of data is wrong.

    References:
      Brown et al., 2020, arXiv:2005.14165. Malladi et al., 2023, arXiv:2305.17333.
    """
    begin = time.perf_counter()
    observer = observer or Observer()
    model = load_untuned("in_context", config, observer)
    tokens, splits = load_prompts(config, model)
    shown = tasks.in_context(
        tokens, splits["train"], model.max_length, count=demonstrations, seed=config.seed
    )
    dev, test = (PromptSet.of(splits[name], shown) for name in ("dev", "test"))
    counts = _counts(test)
    chosen = {
        "drawn": len(shown.demonstrations),
        "fewest": int(counts.min()),
        "mean": round(float(counts.mean()), 2),
    }
    observer.status(
        f"measuring {config.model} with {chosen['mean']:g} of {chosen['drawn']} demonstrations, "
        f"{chosen['fewest']} at least"
    )
    longest = max(dev.lengths.max(), test.lengths.max())
    size = max(1, config.eval_batch_size * tokens.max_length // int(longest))
    on_dev, on_test = to_measure([dev, test], model.max_length, config.data.num_buckets, size)
    found = measure(
        model,
        objective(model, shown),
        on_dev,
        on_test,
        observer,
        begin=begin,
        chosen=chosen,
    )
    observer.measured("in-context", found.test)
    return found


def _counts(prompts: PromptSet) -> np.ndarray:
    """How many demonstrations stand before each prompt."""
    demonstrations = [list(ids) for ids in prompts.tokens.demonstrations]
    counts: list[int] = []
    for first, *_ in prompts.rows:
        # What begins every row comes before the demonstrations, where there is such a token.
        place = next(i for i in (0, 1) if _stands_at(i, first.ids, demonstrations[0]))
        count = 0
        for demonstration in demonstrations:
            if not _stands_at(place, first.ids, demonstration):
                break
            place += len(demonstration)
            count += 1
        counts.append(count)
    return np.array(counts)


def _stands_at(place: int, ids: list[int], part: list[int]) -> bool:
    return ids[place : place + len(part)] == part
