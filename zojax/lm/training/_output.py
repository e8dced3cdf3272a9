"""Where a run writes: checked before any work, because a run may take hours."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

from zojax.lm.rewards import read_reward
from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._lock import LOCK
from zojax.lm.training._run_folder import CONFIG


def absolute(config: FinetuneConfig) -> FinetuneConfig:
    """Make paths absolute, so that the run's configuration is valid in any working directory."""
    data = config.data
    paths = {
        name: path and path.expanduser().absolute()
        for name, path in (("train", data.train), ("dev", data.dev), ("test", data.test))
    }
    reward = config.scoring.reward
    if reward is not None:
        reward = read_reward("finetune", reward).text
    is_folder = Path(config.model).is_dir()
    is_file = data.task is not None and data.task.endswith(".toml")
    return dataclasses.replace(
        config,
        model=str(Path(config.model).absolute()) if is_folder else config.model,
        scoring=dataclasses.replace(config.scoring, reward=reward),
        data=dataclasses.replace(
            data, task=str(Path(data.task or "").absolute()) if is_file else data.task, **paths
        ),
    )


def output_folder(config: FinetuneConfig) -> Path:
    """Return the absolute path of the run's folder.

    Raises:
      FileExistsError: The folder is not empty, and is not a run that may be overwritten or resumed.
    """
    name = f"{time.strftime('%Y-%m-%d-%H%M%S')}-{config.optimizer}"
    folder = (config.output or Path("runs") / name).expanduser().absolute()
    if folder.is_file():
        raise FileExistsError(f"finetune: output must be a folder, got the file {folder}.")
    if folder.is_dir() and any(path.name != LOCK for path in folder.iterdir()):
        if not (folder / CONFIG).is_file():
            raise FileExistsError(
                f"finetune: output must be a new or empty folder, or a run, got {folder}. "
                "Choose another folder."
            )
        if not config.overwrite and config.resume is None:
            raise FileExistsError(
                f"finetune: there is a run in {folder}. Choose another folder, or overwrite it."
            )
    _require_writable(folder)
    return folder


def _require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written, without leaving anything behind.

    Permissions alone do not say: a file system may be read-only, or full.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise type(error)(
            f"finetune: output must be a folder that can be written, got {folder} ({error}). "
            "Choose another one with --output (output)."
        ) from error
