"""The folder of a run: configuration, metrics, models, curve, results."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from zojax.lm.models import Params
from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._card import CARD, model_card
from zojax.lm.training._curve import draw_curve, draw_rates
from zojax.lm.training._options import from_json
from zojax.lm.training._score_file import place_of_score
from zojax.lm.training._start_files import START_FILES
from zojax.lm.training._tuned import Tuned

CONFIG, _DATA = "config.json", "data.json"
_METRICS, _RESULTS = "metrics.jsonl", "results.json"
RATES, RATES_CURVE = "learning_rate.json", "learning_rate.png"
TUNED, BEST, CURVE, EVALUATIONS = "model", "best", "curve.png", "evaluations"
EVENTS = "tensorboard"
LOG, LOSSES, CHECKPOINTS = "trajectory.log", "losses.bin", "checkpoints"
REWARDS, SAMPLES = "rewards.jsonl", "samples.jsonl"
# The version of the folder's format. Version 1, which was not recorded in config.json, had an
# optimizer state that did not count skipped steps, and no file of the losses since the last line.
# Version 2 had the prompt and the words of Rotten Tomatoes for files without label words.
FORMAT = 3
_PACKAGES = ("zojax", "jax", "jaxlib", "optax", "flax", "tokenizers", "transformers", "numpy")


class RunFolder:
    """Writes a run's files.

    Args:
      folder: Made if it does not exist. Files of an older run in it are removed, other files stay.
      config: Written immediately, unless the run is resumed.
      resume: Keep the files that the run needs to resume.
      writes: Whether this process is the one that writes; otherwise the folder is only read.
      logged: Called with each line of metrics.jsonl that is written.
    """

    def __init__(
        self,
        folder: Path,
        config: FinetuneConfig,
        *,
        resume: bool = False,
        writes: bool = True,
        logged: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.folder, self.writes, self._config = folder, writes, config
        self._logged = logged
        if not writes:
            return
        folder.mkdir(parents=True, exist_ok=True)
        # A run that goes on keeps its models until it has new ones.
        files: tuple[str, ...] = (_RESULTS, CURVE)
        folders: tuple[str, ...] = ()
        if not resume:
            # The configuration goes first: a folder without it is not taken for a run.
            names = (CONFIG, _DATA, *START_FILES, RATES, RATES_CURVE, _METRICS, LOG, LOSSES)
            files = (*names, REWARDS, SAMPLES, *files)
            folders = (CHECKPOINTS, EVALUATIONS, EVENTS, TUNED, BEST)
        for name in files:
            (folder / name).unlink(missing_ok=True)
        for name in folders:
            shutil.rmtree(folder / name, ignore_errors=True)
        if not resume or load_config(folder).steps != config.steps:
            _write_json(
                folder / CONFIG, {"format": FORMAT, **as_json(config), "versions": versions()}
            )

    def log(self, **metrics: Any) -> None:
        """Add a line to metrics.jsonl."""
        if not self.writes:
            return
        with (self.folder / _METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")
        if self._logged is not None:
            self._logged(metrics)

    def write_data(self, report: dict[str, Any]) -> None:
        """Write data.json: what was read."""
        if self.writes:
            _write_json(self.folder / _DATA, report)

    def write_samples(self, step: int, samples: Sequence[dict[str, Any]]) -> None:
        """Add what the model writes after a step to samples.jsonl, unless it is there."""
        path = self.folder / SAMPLES
        if not self.writes or not samples:
            return
        known = path.read_text(encoding="utf-8") if path.is_file() else ""
        # A crash may have truncated the last line.
        whole = known[: known.rfind("\n") + 1]
        begins = f'{{"step": {step}, '
        kept = [line for line in whole.splitlines() if not line.startswith(begins)]
        lines = [json.dumps({"step": step, **each}, ensure_ascii=False) for each in samples]
        _replace(path, "".join(f"{line}\n" for line in (*kept, *lines)))

    def write_rates(self, found: dict[str, Any]) -> None:
        """Write learning_rate.json and its picture: the rates that a search has tried."""
        if self.writes:
            _write_json(self.folder / RATES, found)
            draw_rates(self.folder / RATES_CURVE, found["rates"], found["losses"], found["rate"])

    def write_results(self, results: dict[str, Any]) -> None:
        """Write results.json."""
        if self.writes:
            _write_json(self.folder / _RESULTS, results)

    def save(self, tuned: Tuned, params: Params, part: str, step: int) -> None:
        """Write the model or the adapter of a step, with its card, into the subfolder ``part``."""
        if self.writes:
            tuned.save(params, self.folder / part)
        self.write_card(part, tuned.model.kind, step)

    def remove(self, part: str) -> None:
        """Remove the model in the subfolder ``part``, if there is one."""
        if self.writes:
            shutil.rmtree(self.folder / part, ignore_errors=True)

    def write_card(
        self,
        part: str,
        kind: Literal["causal", "masked"],
        step: int,
        test: dict[str, float] | None = None,
    ) -> None:
        """Write the card of the model in ``part``, with its test scores if they are known."""
        if self.writes:
            dev, now = dev_scores(self.folder, step), versions()
            card = model_card(
                self._config,
                kind=kind,
                step=step,
                dev=dev,
                test=test,
                versions=now,
                place=place_of_score(self.folder / part),
            )
            _replace(self.folder / part / CARD, card)

    def draw_curve(self, title: str, objective: str) -> None:
        """Plot the lines that :meth:`log` wrote."""
        if self.writes:
            draw_curve(self.folder / CURVE, title, self.read_metrics(), objective)

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read the lines that :meth:`log` wrote."""
        return read_metrics(self.folder)

    def keep_metrics(self, of: Callable[[int], bool]) -> None:
        """Rewrite metrics.jsonl with its valid lines, in the order of their steps.

        Args:
          of: Whether to keep the lines of a step.
        """
        lines = [line for line in self.read_metrics() if of(line["step"])]
        lines.sort(key=lambda line: line["step"])
        text = "".join(json.dumps(line) + "\n" for line in lines)
        if self.writes:
            _replace(self.folder / _METRICS, text)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read the lines of metrics.jsonl."""
    path = folder / _METRICS
    if not path.is_file():
        return []
    lines: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        # A crash may have truncated the last line. Lines that are no valid record are ignored.
        with contextlib.suppress(ValueError, RecursionError):
            metrics = json.loads(line)
            if isinstance(metrics, dict) and _are_metrics(metrics):
                lines.append(metrics)
    return lines


def dev_scores(folder: Path, step: int) -> dict[str, float]:
    """The scores on dev after a step, by name; empty if dev was not measured then."""
    found: dict[str, float] = {}
    for line in read_metrics(folder):
        if line["step"] == step:
            scores = {name: line[name] for name in line if name.startswith("dev_")}
            found |= {name.removeprefix("dev_"): value for name, value in scores.items()}
    return found


def read_results(folder: Path, where: str) -> dict[str, Any]:
    """Read results.json; empty if there is none.

    Args:
      folder: A run's folder.
      where: The beginning of the message of an error.

    Raises:
      ValueError: It is not a JSON object.
    """
    path = folder / _RESULTS
    if not path.is_file():
        return {}
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        results.get("complete")
    except (ValueError, RecursionError, AttributeError) as error:
        raise ValueError(
            f"{where}: {path} must be a run's results, got something else ({error!r}). "
            "Remove the file: a resumed run writes it again."
        ) from error
    return results


def recorded_versions(folder: Path) -> dict[str, str]:
    """The versions of packages that a run was made with, in a folder that has a configuration."""
    return json.loads((folder / CONFIG).read_text(encoding="utf-8"))["versions"]


def load_config(folder: str | Path) -> FinetuneConfig:
    """Read the configuration of a run, to run it again.

    Args:
      folder: A run's folder.

    Raises:
      FileNotFoundError: The folder has no config.json.
      ValueError: The file is not JSON, its format is not that of this version, or a setting is
        unknown to this version or has the wrong type.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"load_config: there is no {path}. Give the folder of a run, as finetune printed it."
        )
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        writer = settings.pop("versions")["zojax"]
        found = settings.pop("format", 1)
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise ValueError(
            f"load_config: {path} must be a run's settings, as finetune writes them, got something "
            f"else ({error!r})."
        ) from error
    if found != FORMAT:
        raise ValueError(
            f"load_config: the format of {path} must be {FORMAT}, got {found}, that of zojax "
            f"{writer}, and this is zojax {metadata.version('zojax')}. Resume the run with the "
            "version that wrote it, or start a new one."
        )
    return from_json(settings, str(path))


def _are_metrics(line: dict[str, Any]) -> bool:
    numbers = [value for value in line.values() if value is not None]
    valid = all(type(value) is float or _is_count(value) for value in numbers)
    return valid and _is_count(line.get("step"))


def _is_count(value: Any) -> bool:
    """Whether ``value`` is an int small enough for a plot, whose axes are int64."""
    return type(value) is int and abs(value) < 1 << 62


def as_json(config: FinetuneConfig) -> dict[str, Any]:
    """Convert the settings to the types of JSON; paths become strings."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def versions() -> dict[str, str]:
    """The versions of the packages that determine a run's bits."""
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _write_json(path: Path, content: Any) -> None:
    _replace(path, json.dumps(content, indent=2, default=str) + "\n")


def _replace(path: Path, text: str) -> None:
    """Replace a file atomically: a crash leaves the old content or the new one."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
