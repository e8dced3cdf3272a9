"""Which parameters of a run are saved where, and the model that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, get_args

from zojax.lm.models import LanguageModel
from zojax.lm.processes import Spread
from zojax.lm.sequences import SequenceTokens
from zojax.lm.settings import FinetuneConfig
from zojax.lm.tasks import PromptTokens
from zojax.lm.training._data import prompt_tokens
from zojax.lm.training._kind import sequence_kind
from zojax.lm.training._run_folder import BEST, TUNED, load_config, read_results
from zojax.lm.training._sequence_data import tokens_of
from zojax.lm.training._tuned import load_saved, load_to_tune, spread_of_saved

Which = Literal["best", "last"]


class Saved(NamedTuple):
    """A model that a run has saved, ready to read prompts."""

    config: FinetuneConfig  # of the run
    model: LanguageModel  # with its adapter, on the devices of `spread`
    tokens: PromptTokens | SequenceTokens  # of the run's task or rows
    spread: Spread  # the run's mesh where there are as many devices, otherwise one device


def check_which(where: str, which: str) -> None:
    """Refuse a name of parameters that there are not; ``where`` begins the message."""
    if which not in get_args(Which):
        raise ValueError(f"{where}: which must be best or last, got {which!r}.")


def load_from_run(folder: Path, which: Which, where: str) -> Saved:
    """Load the parameters of a run's best step on dev, or those after its last step.

    If no step was better than the parameters before the first step, those are the best ones.

    Args:
      folder: A run's folder.
      which: The parameters.
      where: The beginning of the message of an error.

    Raises:
      FileNotFoundError: The folder is not a run, or it has no such model.
      ValueError: ``which`` is unknown, or a file of the folder is damaged.
    """
    check_which(where, which)
    config = load_config(folder)
    spread = spread_of_saved(config)
    if which == "best" and _began_best(folder, where):
        model = load_to_tune(config, spread).model
    else:
        model = load_saved(config, saved_part(folder, which, where), spread)
    without_task = sequence_kind(config.data) is not None
    tokens = tokens_of(config, model) if without_task else prompt_tokens(config, model)
    return Saved(config, model, tokens, spread)


def saved_part(folder: Path, which: Which, where: str) -> Path:
    """The subfolder of a run with the parameters of its best step on dev, or of its last step.

    Raises:
      FileNotFoundError: There is no such model.
      ValueError: The best parameters are those before the first step, which are not saved.
    """
    if which == "best" and (folder / BEST).is_dir():
        return folder / BEST
    if which == "best" and _began_best(folder, where):
        raise ValueError(
            f"{where}: no step of the run {folder} scored better on dev than the base model. To "
            f"{where} the parameters after the last step, take which=last (--which last)."
        )
    if (folder / TUNED).is_dir():
        return folder / TUNED
    saved = f"Take which=best: {folder / BEST} is there." if (folder / BEST).is_dir() else ""
    raise FileNotFoundError(
        f"{where}: there is no saved model in {folder}: the run failed, or was killed. "
        + (saved or f"Resume a run that was killed:\n    zojax finetune --resume {folder}")
    )


def _began_best(folder: Path, where: str) -> bool:
    """Whether the parameters before the first step scored best on dev."""
    return not (folder / BEST).is_dir() and read_results(folder, where).get("best_step") == 0
