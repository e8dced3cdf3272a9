"""The identity of a run: the header of its log has all that determines its parameters."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import jax

from zojax.lm.models import Params
from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._optimizer import Optimizer
from zojax.lm.training._run_folder import as_json, versions
from zojax.trajectory import Header, fingerprint, key_parts

# Settings that decide where and how often files are written, but change no parameter.
# A budget may be extended; what it was planned for stays.
_IRRELEVANT = (
    *("output", "overwrite", "resume", "log_every", "keep"),
    *("steps", "passes", "minutes", "tensorboard"),
    *("workers", "worker_seconds"),
)


def header_of(config: FinetuneConfig, optimizer: Optimizer, base: Params) -> Header:
    """Make the header of a run's log from its resolved configuration and its base parameters.

    Cost: reads every base parameter once, for its hash.
    """
    settings = {name: value for name, value in as_json(config).items() if name not in _IRRELEVANT}
    settings["planned_steps"] = config.num_planned
    key, key_impl = key_parts(jax.random.key(config.seed))
    return Header(
        optimizer=config.optimizer,
        settings=settings,
        key=key,
        key_impl=key_impl,
        base=fingerprint(base),
        data_seed=config.seed,
        fields=optimizer.fields,
        dtype=config.slopes,
        versions={**versions(), "backend": jax.default_backend()},
    )


def same_run(found: Header, expected: Header, where: str) -> None:
    """Refuse a log of another run or of another base model.

    Raises:
      ValueError: The headers differ in more than the versions of packages.
    """
    if found.base != expected.base:
        raise ValueError(
            f"{where}: the base model must be the one that the run began with, with parameters of "
            f"SHA-256 {found.base[:12]}..., got {expected.base[:12]}.... Load that model, in that "
            "dtype."
        )
    if identity(found) != identity(expected):
        raise ValueError(
            f"{where}: the log must be of a run with the settings in config.json, got one of a run "
            f"with the settings {dict(found.settings)}."
        )


def identity(header: Header) -> str:
    """SHA-256 of everything that must be equal when a run is resumed."""
    content: dict[str, Any] = dataclasses.asdict(header)
    del content["versions"]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
