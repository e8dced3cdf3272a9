"""Makes a configuration from plain values, such as those of a settings file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zojax.lm.settings import (
    AdapterConfig,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    RewardConfig,
)

_GROUPS = {
    "data": DataConfig,
    "scoring": RewardConfig,
    "tuned": AdapterConfig,
    "hyper": HyperParameters,
}


def configure(options: Mapping[str, Any]) -> FinetuneConfig:
    """Make a configuration from options by name, as the command line takes them.

    Args:
      options: Values by name, in plain types: numbers, strings, booleans, lists. ``None`` means
        that the option is not given. The group of an option (``data``, ``scoring``, ``tuned``,
        ``hyper``) is looked up.

    Raises:
      ImportError: msgspec is not installed.
      ValueError: An option does not exist, or its value has the wrong type.
    """
    given = {name: value for name, value in options.items() if value is not None}
    groups: dict[str, dict[str, Any]] = {
        group: {name: given.pop(name) for name in _names(kind) & given.keys()}
        for group, kind in _GROUPS.items()
    }
    known = _names(FinetuneConfig) - _GROUPS.keys()
    unknown = ", ".join(sorted(given.keys() - known))
    if unknown:
        everything = known.union(*map(_names, _GROUPS.values()))
        raise ValueError(
            f"configure: options must be finetune's, got {unknown}; there are "
            f"{', '.join(sorted(everything))}."
        )
    try:
        return _typed({**given, **groups})
    except ValueError as error:
        raise ValueError(f"configure: {str(error).rstrip('.')}.") from error


def from_json(settings: Mapping[str, Any], where: str) -> FinetuneConfig:
    """Make a configuration from its JSON form, where options stand in their groups.

    Args:
      settings: The settings. A missing setting takes its default; a missing group is an error.
      where: The file's name in error messages.

    Raises:
      ImportError: msgspec is not installed.
      ValueError: A setting is unknown or has the wrong type, or a group is missing.
    """
    try:
        for name, kind in {"": FinetuneConfig, **_GROUPS}.items():
            _known(settings[name] if name else settings, kind)
        return _typed(settings)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"load_config: {where} does not fit this version of zojax ({error})."
        ) from error


def _known(settings: Mapping[str, Any], kind: type) -> None:
    unknown = sorted(settings.keys() - _names(kind))
    if unknown:
        raise ValueError(f"unknown settings: {', '.join(unknown)}")


def _typed(settings: Mapping[str, Any]) -> FinetuneConfig:
    try:
        import msgspec
    except ModuleNotFoundError as error:
        raise ImportError('configure: it needs msgspec: pip install "zojax[demo]".') from error
    return msgspec.convert(settings, FinetuneConfig, dec_hook=_path)


def _names(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"expected {kind.__name__}, got {value!r}")
