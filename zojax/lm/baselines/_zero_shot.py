"""Zero-shot: the untuned model, with the prompt alone."""

from __future__ import annotations

import time

from zojax.lm.baselines._measured import Measured, load_untuned, measure, prepare_untuned
from zojax.lm.training import FinetuneConfig, Observer, load_data


def zero_shot(config: FinetuneConfig, observer: Observer | None = None) -> Measured:
    """Measure a model before any tuning.

    The scores are those that :func:`zojax.lm.training.finetune` reports before its first step.

    Args:
      config: The model, the data and the seed; settings of training are ignored.
      observer: Called as the measurement progresses.

    Returns:
      Scores on dev and test.

    Cost: a forward pass for each dev and test example, or for each of its candidates.

    Raises:
      ValueError: The configuration has an adapter, or a setting or a row of data is wrong.
    """
    begin = time.perf_counter()
    observer = observer or Observer()
    prepared = prepare_untuned("zero_shot", config)
    model = load_untuned(config, observer)
    data = load_data(prepared, model)
    observer.status(f"measuring {config.model}")
    found = measure(model, data.task, data.dev, data.test, observer, begin=begin, chosen={})
    observer.measured("zero-shot", found.test)
    return found
