"""A step whose members an engine writes for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import zojax.asking
from zojax.lm.adapters import LoRA
from zojax.lm.engines._as_lora import as_lora
from zojax.lm.engines._engine import Completions, Decoding, Engine, Prompt
from zojax.lm.engines._members import written
from zojax.lm.models import LanguageModel, Params


class EngineStep(NamedTuple):
    """What :func:`engine_step` gives."""

    params: Params  # after the step
    state: Any  # of the optimizer, after the step
    losses: list[float | None]  # of each member; None where the engine could not serve it
    completions: Completions  # of each member


def engine_step(
    tuner: zojax.asking.AskTell,
    state: Any,
    params: Params,
    *,
    engine: Engine,
    model: LanguageModel,
    prompts: Sequence[Prompt],
    cost: Callable[[list[str]], float],
    adapter: LoRA | None = None,
    decoding: Decoding | None = None,
    folder: str | Path | None = None,
    log: zojax.asking.StepLog | None = None,
) -> EngineStep:
    """One step of a population: members go to an engine as adapters, their costs are told.

    Args:
      tuner: ``zojax.ask_tell(tx)``.
      state, params: Of its last step.
      engine: Writes the completions. It has the model's own weights, which never change.
      model: The model without an adapter; its shapes and names are read, so that
        ``zojax.lm.models.load(folder, weights=False)`` will do where ``adapter`` is given.
      prompts: What is gone on with: B lists of token ids.
      cost: From the B completions of a member to a number, lower is better; NaN drops its query.
      adapter: The LoRA of which ``params`` are the values, ``adapter.initial``'s tree: members are
        values of it. None where ``params`` are the weights themselves: members are what their
        points add to them, products of thin factors, as ``zojax.subspace`` without ``refresh``
        makes them of the dense modules' kernels.
      decoding: How completions are written; the number of the step is added to its seed.
      folder: Where adapters are written for the time of the step, as for :func:`written`.
      log: As for ``tuner.tell``.

    Returns:
      Parameters and state after the step, and what the members wrote.

    Cost: one completion of each prompt for each member, and what :func:`written` writes.

    Raises:
      EngineError: No member was served.
      ValueError: A point is no low-rank adapter of the model's dense modules.
    """
    points = tuner.ask(state, params)
    trees: list[Any]
    if adapter is not None:
        kind, trees = adapter, [point.params(params) for point in points]
    else:
        pairs = [as_lora(point.adapter(params), model) for point in points]
        kind, trees = pairs[0][0], [tree for _, tree in pairs]
    decoding = decoding or Decoding()
    decoding = dataclasses.replace(decoding, seed=decoding.seed + points[0].step)
    with written(kind, model, trees, folder) as members:
        completions = engine.complete(prompts, members, decoding)
    losses = [None if texts is None else float(cost(texts)) for texts in completions]
    told = dict(zip(points, losses, strict=True))
    after: Any
    after, state = tuner.tell(state, params, told, log=log)
    return EngineStep(after, state, losses, completions)
