"""Rebuilds a tuned model from its base model and the log of its run."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import jax

from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._card import CARD, model_card
from zojax.lm.training._defaults import DEFAULTS
from zojax.lm.training._observer import Observer
from zojax.lm.training._optimizer import optimizer_of
from zojax.lm.training._options import from_json
from zojax.lm.training._run_folder import CONFIG, LOG, load_config
from zojax.lm.training._score_file import Score, place_of_score
from zojax.lm.training._start import FITTED
from zojax.lm.training._start_files import read_start
from zojax.lm.training._tuned import load_to_tune, spread_of_saved
from zojax.trajectory import read_log, replay


@dataclass(frozen=True)
class Replayed:
    """The result of a replay.

    Attributes:
      folder: The folder of the tuned model in transformers' layout, or of the adapter.
      steps: Steps replayed.
      seconds: Time that the replay took, including one compilation.
    """

    folder: Path
    steps: int
    seconds: float


def replay_run(
    base: str,
    log: str | Path,
    output: str | Path,
    *,
    until: int | None = None,
    observer: Observer | None = None,
) -> Replayed:
    """Rebuild the model that a run had after a step, without data or forward passes.

    A run on a mesh is replayed on a mesh like it where there are as many devices, otherwise on one.

    Args:
      base: The base model of the run: opt-mini, a folder or a hub name.
      log: The run's ``trajectory.log``, or the run's folder.
      output: Where the model or the adapter is written; a new or empty folder.
      until: The step to rebuild; None means the last one of the log.
      observer: Called as the replay progresses.

    Raises:
      FileExistsError: ``output`` is not empty.
      FileNotFoundError: There is no log; first-order optimizers write none.
      ValueError: The log is damaged or ends before ``until``, or ``base`` is another model than
        the run's.
    """
    observer = observer or Observer()
    log, output = Path(log), Path(output).absolute()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"replay: output must be a new or empty folder, got {output}.")
    if (log / CONFIG).is_file():
        _refuse_first_order(load_config(log).optimizer)
        log = log / LOG
    found = read_log(log, until=until)
    config = from_json(dict(found.header.settings), str(log))
    _refuse_first_order(config.optimizer)
    config = dataclasses.replace(config, model=base)
    observer.status(f"loading {base}")
    spread = spread_of_saved(config)
    tuned = load_to_tune(config, spread).starting(_score(config, log.parent), spread)
    params = tuned.model.params
    key = found.header.prng_key()
    tx = optimizer_of(config, tuned, key).tx
    steps = len(found.scalars)
    observer.status(f"replaying {steps} steps of {config.optimizer}")
    begin = time.perf_counter()
    compiled = config.hyper.evaluation != "in_place"
    params = replay(tx, params, found, base=tuned.base(params), compiled=compiled)
    jax.block_until_ready(params)
    seconds = time.perf_counter() - begin
    tuned.save(params, output)  # pyright: ignore[reportArgumentType] - a tree of dicts
    card = model_card(
        config,
        kind=tuned.model.kind,
        step=steps,
        dev={},
        test=None,
        versions=found.header.versions,
        place=place_of_score(output),
    )
    (output / CARD).write_text(card, encoding="utf-8")
    return Replayed(output, steps, seconds)


def _score(config: FinetuneConfig, run: Path) -> Score | None:
    """The head or the bias that a run started with, which is beside its log."""
    if config.start not in FITTED:
        return None
    found = read_start(run)
    if found is None or found[1] is None:
        raise FileNotFoundError(
            f"replay: a run that started from {config.start} needs its start.json and "
            f"start.safetensors beside the log, got none in {run}. Copy them from the run's folder."
        )
    return found[1]


def _refuse_first_order(optimizer: str) -> None:
    able = [name for name in DEFAULTS if name not in ("adam", "sgd")]
    if optimizer not in able:
        raise ValueError(
            f"replay: the log must be of {', '.join(able)}, got {optimizer}, whose updates need "
            "gradients, which no log contains. Its runs are resumed from checkpoints."
        )
