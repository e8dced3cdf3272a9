"""The folder of a run: configuration, metrics, models, curve, results."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from zojax.training._config import FinetuneConfig
from zojax.training._options import from_json

_CONFIG, _METRICS, _RESULTS = "config.json", "metrics.jsonl", "results.json"
TUNED, BEST, CURVE = "model", "best", "curve.png"
_PACKAGES = ("zojax", "jax", "jaxlib", "optax", "flax", "transformers", "numpy")


def output_folder(config: FinetuneConfig) -> Path:
    """Return where the run goes, absolute.

    Raises:
      FileExistsError: The folder is not empty, and it is not a run that may be overwritten.
    """
    name = f"{time.strftime('%Y-%m-%d-%H%M%S')}-{config.optimizer}"
    folder = (config.output or Path("runs") / name).expanduser().absolute()
    if folder.is_file():
        raise FileExistsError(f"finetune: output must be a folder, got the file {folder}.")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / _CONFIG).is_file():
            raise FileExistsError(
                f"finetune: output must be a new or empty folder, or a run, got {folder}. "
                "Choose another folder."
            )
        if not config.overwrite:
            raise FileExistsError(
                f"finetune: there is a run in {folder}. Choose another folder, or overwrite it."
            )
    return folder


class RunFolder:
    """Writes a run's files.

    Args:
      folder: Made where it is missing; an older run's files in it are removed, no others.
      config: Written at once.
    """

    def __init__(self, folder: Path, config: FinetuneConfig) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (_CONFIG, _METRICS, _RESULTS, CURVE):
            (folder / name).unlink(missing_ok=True)
        for name in (TUNED, BEST):
            shutil.rmtree(folder / name, ignore_errors=True)
        self.folder = folder
        settings = {**dataclasses.asdict(config), "versions": _versions()}
        _write_json(folder / _CONFIG, settings)

    def log(self, **metrics: Any) -> None:
        """Add a line to metrics.jsonl."""
        with (self.folder / _METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")

    def write_results(self, results: dict[str, Any]) -> None:
        """Write results.json."""
        _write_json(self.folder / _RESULTS, results)

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read what :meth:`log` wrote."""
        path = self.folder / _METRICS
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def load_config(folder: str | Path) -> FinetuneConfig:
    """Read the configuration of a run, to run it again.

    Args:
      folder: A run's folder.

    Raises:
      FileNotFoundError: There is no config.json.
      ValueError: It is no JSON, or has settings that this version does not know, or of the wrong
        kind.
    """
    path = Path(folder) / _CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"load_config: there is no {path}. Give the folder of a run, as finetune printed it."
        )
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        del settings["versions"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise ValueError(
            f"load_config: {path} must be a run's settings, as finetune writes them, got something "
            f"else ({error!r})."
        ) from error
    return from_json(settings, str(path))


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
