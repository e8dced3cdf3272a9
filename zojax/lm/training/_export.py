"""Exports the tuned model of a run as a folder that other programs read."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from zojax.lm.adapters import load_adapter, merge
from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._card import CARD, model_card
from zojax.lm.training._observer import Observer
from zojax.lm.training._run_folder import (
    BEST,
    dev_scores,
    load_config,
    read_results,
    recorded_versions,
)
from zojax.lm.training._saved import Which, check_which, saved_part
from zojax.lm.training._score_file import FILE, place_of_score, read_score
from zojax.lm.training._tuned import Tuned, load_base, spread_of_saved


def export_run(
    folder: str | Path,
    output: str | Path,
    *,
    which: Which = "best",
    merge_adapter: bool = False,
    observer: Observer | None = None,
) -> Path:
    """Export the tuned model of a run as a complete folder.

    A whole model has the format of transformers' PyTorch models, a LoRA that of peft, another
    adapter zojax's own. Each has a model card, ``README.md``.

    Args:
      folder: A run's folder.
      output: A new or empty folder.
      which: ``"best"`` for the parameters of the step that scored best on dev, ``"last"`` for those
        after the last step.
      merge_adapter: Merge a LoRA or an untied head into the base model, and export one whole model.
      observer: Called as the export progresses.

    Returns:
      The absolute path of ``output``.

    Cost: copies the files, or, to merge, loads the base model and adds the adapter to it.

    Raises:
      FileExistsError: ``output`` is not empty.
      FileNotFoundError: ``folder`` is not a run, or it has no such model.
      ValueError: No step of the run is better than the base model, or there is nothing that can be
        merged.
    """
    observer = observer or Observer()
    folder, output = Path(folder), Path(output).expanduser().absolute()
    config = load_config(folder)
    check_which("export", which)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"export: output must be a new or empty folder, got {output}.")
    if merge_adapter and config.tuned.adapter == "none":
        raise ValueError(
            f"export: merge must be left out for a run without an adapter, got one for {folder}, "
            "which tuned all parameters of the model."
        )
    results = read_results(folder, "export")
    part = saved_part(folder, which, "export")
    observer.status(f"exporting {part}")
    if merge_adapter:
        _merge(config, folder, part, results, output)
    else:
        shutil.copytree(part, output, dirs_exist_ok=True)
    return output


def _merge(
    config: FinetuneConfig, run: Path, part: Path, results: dict[str, Any], output: Path
) -> None:
    base = load_base(config, spread_of_saved(config))
    adapter, model = load_adapter(base, part)
    merged = dataclasses.replace(base, params=merge(adapter, model.params))
    score = read_score(part / FILE) if (part / FILE).is_file() else None
    # The head of the classes, beside the adapter until now, becomes part of the model.
    whole = Tuned(merged, None, config.model).starting(score)
    whole.save(whole.model.params, output)
    best = part.name == BEST
    step = results.get("best_step" if best else "steps", config.num_steps)
    test = results.get("test", {}).get("best" if best else "tuned")
    card = model_card(
        config,
        kind=base.kind,
        step=step,
        dev=dev_scores(run, step),
        test=test,
        versions=recorded_versions(run),
        place=place_of_score(output),
        merged=True,
    )
    (output / CARD).write_text(card, encoding="utf-8")
