"""Rotary position embeddings: the wavelengths of a head's features, scaled as a model asks.

References:
  Su et al., 2021, arXiv:2104.09864. YaRN: Peng et al., 2023, arXiv:2309.00071.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array


@dataclass(frozen=True)
class Rotary:
    """How fast each pair of features turns.

    Attributes:
      frequencies: Radians per position, one for each pair of features (D / 2 numbers).
      factor: Multiplies sines and cosines; 1 except for YaRN.
    """

    frequencies: tuple[float, ...]
    factor: float = 1.0

    def table(self, positions: Array) -> tuple[Array, Array]:
        """Sines and cosines, float32 [B, T, D / 2], for int32 [B, T] positions."""
        frequencies = jnp.asarray(self.frequencies, jnp.float32)
        angles = positions[..., None].astype(jnp.float32) * frequencies[None, None]
        return jnp.sin(angles) * self.factor, jnp.cos(angles) * self.factor


def rotate(x: Array, table: tuple[Array, Array]) -> Array:
    """Rotate [B, T, heads, D] by each token's position; features i and i + D / 2 are a pair."""
    sin, cos = (part[:, :, None] for part in table)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    rotated = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)


def rotary(settings: Mapping[str, Any], head_dim: int, max_length: int, source: str) -> Rotary:
    """Read the settings of transformers' ``rope_parameters``.

    Args:
      settings: ``rope_type`` and ``rope_theta``, and the settings of the type.
      head_dim: D, the number of features of a head.
      max_length: The model's longest sequence, the default of
        ``original_max_position_embeddings``.
      source: The model's folder, for messages.

    Raises:
      ValueError: The type or one of its settings is unknown, or a setting is missing.
    """
    kind = settings.get("rope_type", settings.get("type", "default"))
    if kind not in _SCALED:
        raise ValueError(
            f"load: rope_type must be one of {', '.join(_SCALED)}, got {kind!r} in {source}. "
            "Choose another model."
        )
    known, needed, scale = _SCALED[kind]
    given = {name: x for name, x in settings.items() if x is not None}
    if given.get("partial_rotary_factor") == 1.0:
        del given["partial_rotary_factor"]
    unknown = sorted(given.keys() - {"rope_type", "type", "rope_theta", *known, *needed})
    missing = [name for name in needed if name not in given]
    if unknown or missing:
        raise ValueError(
            f"load: rotary positions of the type {kind} take {', '.join((*needed, *known))}, got "
            f"{', '.join(unknown) or 'nothing'} besides, and {', '.join(missing) or 'nothing'} "
            f"missing, in {source}. Choose another model."
        )
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    plain = np.float32(1.0) / np.float32(settings["rope_theta"]) ** exponents
    frequencies, factor = scale(plain, {"original_max_position_embeddings": max_length, **given})
    return Rotary(tuple(float(x) for x in frequencies), factor)


_Scaled = tuple[np.ndarray, float]


def _default(plain: np.ndarray, _: Mapping[str, Any]) -> _Scaled:
    return plain, 1.0


def _linear(plain: np.ndarray, settings: Mapping[str, Any]) -> _Scaled:
    return plain / np.float32(settings["factor"]), 1.0


def _llama3(plain: np.ndarray, settings: Mapping[str, Any]) -> _Scaled:
    """Long waves are slowed down, short ones kept, those between interpolated (Llama 3.1)."""
    low, high = settings["low_freq_factor"], settings["high_freq_factor"]
    turns = settings["original_max_position_embeddings"] * plain / (2 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return (1 - kept) * plain / settings["factor"] + kept * plain, 1.0


def _yarn(plain: np.ndarray, settings: Mapping[str, Any]) -> _Scaled:
    """YaRN, equations 17 to 19 and 22."""
    factor, longest = settings["factor"], settings["original_max_position_embeddings"]
    size, base = 2 * len(plain), settings["rope_theta"]

    def feature(turns: float) -> float:
        """The index of the feature that makes this many turns in the longest sequence."""
        return size * math.log(longest / (turns * 2 * math.pi)) / (2 * math.log(base))

    first, last = feature(settings.get("beta_fast", 32)), feature(settings.get("beta_slow", 1))
    if settings.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, size - 1)
    ramp = (np.arange(len(plain), dtype=np.float32) - first) / max(last - first, 0.001)
    slowed = np.clip(ramp, 0.0, 1.0)
    attention = settings.get("attention_factor")
    if attention is None:
        scale, scale_all = settings.get("mscale"), settings.get("mscale_all_dim")
        attention = _temperature(factor, scale or 1) if not (scale and scale_all) else (
            _temperature(factor, scale) / _temperature(factor, scale_all)
        )  # fmt: skip
    return plain / factor * slowed + plain * (1 - slowed), float(attention)


def _temperature(factor: float, scale: float) -> float:
    return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0


_YARN = ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate")
_LONGEST = "original_max_position_embeddings"
# Type -> the settings that it may have, those that it must have, and its formula.
_SCALED: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[..., _Scaled]]] = {
    "default": ((), (), _default),
    "linear": ((_LONGEST,), ("factor",), _linear),
    "llama3": ((), ("factor", "low_freq_factor", "high_freq_factor", _LONGEST), _llama3),
    "yarn": ((_LONGEST, *_YARN), ("factor",), _yarn),
}
