"""The folder of a run: configuration, metrics, models, curve, results."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from zojax.models._language_model import Params
from zojax.training._config import AdapterConfig, DataConfig, FinetuneConfig, HyperParameters
from zojax.training._curve import draw_curve
from zojax.training._tuned import Tuned

_CONFIG, _METRICS, _RESULTS = "config.json", "metrics.jsonl", "results.json"
TUNED, BEST, CURVE = "model", "best", "curve.png"
_PARTS = {"data": DataConfig, "tuned": AdapterConfig, "hyper": HyperParameters}
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
      writes: Whether this process is the one that writes; otherwise nothing is done.
    """

    def __init__(self, folder: Path, config: FinetuneConfig, *, writes: bool = True) -> None:
        self.folder, self._writes = folder, writes
        if not writes:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name in (_CONFIG, _METRICS, _RESULTS, CURVE):
            (folder / name).unlink(missing_ok=True)
        for name in (TUNED, BEST):
            shutil.rmtree(folder / name, ignore_errors=True)
        settings = {**dataclasses.asdict(config), "versions": _versions()}
        _write_json(folder / _CONFIG, settings)

    def log(self, **metrics: Any) -> None:
        """Add a line to metrics.jsonl."""
        if not self._writes:
            return
        with (self.folder / _METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")

    def write_results(self, results: dict[str, Any]) -> None:
        """Write results.json."""
        if self._writes:
            _write_json(self.folder / _RESULTS, results)

    def save(self, tuned: Tuned, params: Params, part: str) -> None:
        """Write a model into a folder of its own."""
        if self._writes:
            tuned.save(params, self.folder / part)

    def draw_curve(self, title: str) -> None:
        """Draw what :meth:`log` wrote."""
        if self._writes:
            draw_curve(self.folder / CURVE, title, self.read_metrics())

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
      ValueError: It has settings that this version does not know.
    """
    path = Path(folder) / _CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"load_config: there is no {path}. Give the folder of a run, as finetune printed it."
        )
    settings = json.loads(path.read_text(encoding="utf-8"))
    del settings["versions"]
    try:
        parts = {
            name: part(**{k: _from_json(k, v) for k, v in settings.pop(name).items()})
            for name, part in _PARTS.items()
        }
        return FinetuneConfig(**parts, **{k: _from_json(k, v) for k, v in settings.items()})
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"load_config: {path} does not fit this version of zojax ({error})."
        ) from error


def _from_json(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and name in {"train", "dev", "test", "output"}:
        return Path(value)
    return value


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
