"""The settings of rotary positions, which transformers 4 and transformers 5 spell differently.

Version 4 reads ``rope_theta`` and ``rope_scaling``, version 5 ``rope_parameters``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def one_spelling(
    old: Mapping[str, Any], new: Mapping[str, Any], base: float, source: str
) -> dict[str, Any]:
    """Join the settings of both versions.

    Args:
      old: ``rope_theta``, which may be None, and what ``rope_scaling`` has.
      new: What ``rope_parameters`` has.
      base: The default of ``rope_theta``.
      source: The model's folder, for messages.

    Raises:
      ValueError: A setting has a value in each that is not the other one: it is not known which of
        them the writer meant.
    """
    before, after = _named(old), _named(new)
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            raise ValueError(
                f"load: {name} must be the same in rope_parameters and in rope_scaling or "
                f"rope_theta, got {after[name]!r} and {before[name]!r} in {source}. Remove the one "
                "that is wrong."
            )
    return {"rope_theta": base, **before, **after}


def _named(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not null; older files call the type ``type``."""
    named = {name: value for name, value in settings.items() if value is not None}
    if "type" in named:
        kind = named.pop("type")
        named.setdefault("rope_type", kind)
    return named


def both_spellings(values: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration whose rotary positions both transformers 4 and transformers 5 read.

    Version 4 reads ``rope_theta`` and ``rope_scaling``, version 5 ``rope_parameters``.
    """
    values = dict(values)
    new = values.get("rope_parameters")
    if new is None and "rope_theta" in values:
        full = {"rope_theta": values["rope_theta"], **(values.get("rope_scaling") or {})}
        full["rope_type"] = full.pop("type", full.get("rope_type", "default"))
        values["rope_parameters"] = full
        if "rope_local_base_freq" in values:
            local = {"rope_theta": values["rope_local_base_freq"], "rope_type": "default"}
            values["rope_parameters"] = {"full_attention": full, "sliding_attention": local}
    elif new is not None:
        full = new.get("full_attention", new)
        scaling = {name: x for name, x in full.items() if name != "rope_theta"}
        plain = scaling.get("rope_type", "default") == "default"
        values["rope_theta"] = full["rope_theta"]
        values["rope_scaling"] = None if plain else scaling
        if "sliding_attention" in new:
            values["rope_local_base_freq"] = new["sliding_attention"]["rope_theta"]
    return values
