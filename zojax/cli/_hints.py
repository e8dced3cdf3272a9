"""What a user may have meant by a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Names that other programs give to what is an option here, and the option's.
SYNONYMS = {
    "alpha-lora": "alpha",
    "bs": "batch-size",
    "bsz": "batch-size",
    "batch": "batch-size",
    "epsilon": "eps",
    "epochs": "steps",
    "eval-steps": "eval-every",
    "logging-steps": "log-every",
    "lora-alpha": "alpha",
    "lora-r": "rank",
    "lora-rank": "rank",
    "lr": "learning-rate",
    "lr-scheduler": "schedule",
    "lr-scheduler-type": "schedule",
    "max-len": "max-length",
    "max-seq-len": "max-length",
    "max-seq-length": "max-length",
    "max-steps": "steps",
    "model-name": "model",
    "model-name-or-path": "model",
    "model-path": "model",
    "mu": "eps",
    "num-epochs": "steps",
    "num-steps": "steps",
    "num-train-epochs": "steps",
    "o": "output",
    "optim": "optimizer",
    "out": "output",
    "out-dir": "output",
    "output-dir": "output",
    "per-device-eval-batch-size": "eval-batch-size",
    "per-device-train-batch-size": "batch-size",
    "precision": "dtype",
    "prompt": "template",
    "queries": "num-queries",
    "resume-from-checkpoint": "resume",
    "save-dir": "output",
    "seq-len": "max-length",
    "task-name": "task",
    "test-file": "test",
    "torch-dtype": "dtype",
    "train-file": "train",
    "validation": "dev",
    "validation-file": "dev",
    "verbalizer": "label-words",
    "wd": "weight-decay",
    "zo-eps": "eps",
}


def closest(name: str, names: Iterable[str]) -> str | None:
    """The name that is spelt most like ``name``, or None if none is."""
    found = difflib.get_close_matches(name.lower(), [*names], 1, 0.7)
    return found[0] if found else None


def meant(name: str, names: Iterable[str]) -> str:
    """A sentence that asks whether another name was meant, after a space; empty without one."""
    found = closest(name, names)
    return f" Did you mean {found}?" if found else ""


def meant_option(flag: str, flags: Iterable[str]) -> str:
    """The same of an option, which may also have the name that it has in other programs."""
    flags = [*flags]
    name = flag.lstrip("-").replace("_", "-").lower()
    other = f"--{SYNONYMS.get(name, name)}"
    if other not in flags:
        return meant(f"--{name}", flags)
    note = " (Epochs are counted in steps.)" if "epochs" in name else ""
    return f" Did you mean {other}?{note}"
