"""The models of a finished run, measured again."""

from __future__ import annotations

from pathlib import Path

from zojax.lm.training._data import load_data
from zojax.lm.training._evaluation import CompiledTotals, Scores, evaluate
from zojax.lm.training._observer import Observer
from zojax.lm.training._run_folder import BEST, TUNED, load_config
from zojax.lm.training._tuned import load_saved, spread_of_saved


def evaluate_run(folder: str | Path, observer: Observer | None = None) -> dict[str, Scores]:
    """Measure the models that a run has saved on its test examples again.

    A run on a mesh is measured on a mesh like it where there are as many devices, otherwise on one.

    Args:
      folder: A run's folder.
      observer: Called as the evaluation progresses.

    Returns:
      Test scores of ``"tuned"``, and of ``"best"`` if the run has saved it separately.
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
    data = load_data(config, next(iter(models.values())))
    totals = CompiledTotals(data.task, observer.status, spread, observer.compiled)
    scores: dict[str, Scores] = {}
    for name, model in models.items():
        observer.status(f"measuring {saved[name]}")
        scores[name] = evaluate(totals, model.params, data.test)
        observer.measured(name, scores[name])
    return scores
