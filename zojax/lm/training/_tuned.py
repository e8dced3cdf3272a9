"""What a run tunes: all parameters of a model, or an adapter with the model frozen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import optax

import zojax
from zojax.lm.adapters import Adapter, HeadTuning, LoRA, Prefix, VirtualTokens, save_adapter
from zojax.lm.adapters import load_adapter as _load_adapter
from zojax.lm.models import LanguageModel, Params, load
from zojax.lm.processes import Spread
from zojax.lm.training._config import AdapterConfig, AdapterName, FinetuneConfig
from zojax.sharding import read_mesh

_ONE_DEVICE = Spread()

_KINDS: Mapping[AdapterName, tuple[type[Adapter], tuple[str, ...]]] = {
    "lora": (LoRA, ("rank", "alpha", "targets")),
    "prefix": (Prefix, ("length",)),
    "virtual_tokens": (VirtualTokens, ("length", "init")),
    "head": (HeadTuning, ()),
}


@dataclass(frozen=True)
class Tuned:
    """A model in training.

    Attributes:
      model: The model, with its adapter if there is one.
      adapter: The adapter, or None if all parameters of the model are trainable.
      name: The name or folder that the base model was loaded from.
    """

    model: LanguageModel
    adapter: Adapter | None
    name: str

    def at(self, params: Params) -> Tuned:
        """The same model with other parameters, or with the same ones on other devices."""
        return dataclasses.replace(self, model=dataclasses.replace(self.model, params=params))

    def trainable(self, params: Params) -> Params:
        """The trainable part of ``params``."""
        return params if self.adapter is None else params["adapter"]

    def base(self, params: Params) -> Params:
        """The part of ``params`` that was loaded: everything except an adapter."""
        return params if self.adapter is None else params["model"]

    def full(self, trainable: Params, params: Params) -> Params:
        """``params`` with its trainable part replaced by ``trainable``."""
        return trainable if self.adapter is None else {**params, "adapter": trainable}

    def only(self, tx: optax.GradientTransformationExtraArgs) -> Any:
        """Restrict ``tx`` to the trainable part of the parameters."""
        return tx if self.adapter is None else zojax.select(tx, "adapter/*")

    def save(self, params: Params, folder: Path) -> None:
        """Write the model or, if there is an adapter, the adapter alone.

        Raises:
          OSError: A file cannot be written, for example because the disk is full.
        """
        from safetensors import SafetensorError

        try:
            if self.adapter is None:
                self.model.save(params, folder)
            else:
                save_adapter(self.adapter, self.model, params, folder)
        except SafetensorError as error:
            raise OSError(f"finetune: {folder} could not be written ({error}).") from error


def spread_of(config: FinetuneConfig) -> Spread:
    """The devices of a run.

    Raises:
      ValueError: The run's mesh has more devices than there are, or there are several processes.
    """
    if config.mesh is None:
        return Spread.of(config.parallel)
    return Spread.of(None, read_mesh("finetune", config.mesh, config.layout))


def spread_of_saved(config: FinetuneConfig) -> Spread:
    """The mesh of a run that is over, where there are as many devices; otherwise one device."""
    if config.mesh is None:
        return _ONE_DEVICE
    axes = read_mesh("finetune", config.mesh, config.layout)
    enough = math.prod(axes.values()) <= jax.device_count()
    return Spread.of(None, axes) if enough else _ONE_DEVICE


def make_adapter(config: AdapterConfig) -> Adapter | None:
    """Make the adapter of ``config``; None if it asks for no adapter.

    Raises:
      ValueError: A setting is wrong, or is not a setting of this adapter.
    """
    settings = dataclasses.asdict(config)
    kind = settings.pop("adapter")
    given = {name: value for name, value in settings.items() if value is not None}
    build, takes = _KINDS.get(kind, (None, ()))
    foreign = sorted(given.keys() - set(takes))
    if foreign:
        raise ValueError(
            f"finetune: adapter {kind} must not be given {', '.join(foreign)}. It takes "
            f"{', '.join(takes) or 'no settings'}."
        )
    return None if build is None else build(**given)


def load_to_tune(config: FinetuneConfig, spread: Spread = _ONE_DEVICE) -> Tuned:
    """Load the model of ``config``, and add a newly initialized adapter if it asks for one.

    Args:
      config: The run's configuration.
      spread: The devices that get the parameters.
    """
    adapter = make_adapter(config.tuned)
    model = _load(config, config.model, spread)
    if adapter is not None:
        model = adapter.adapt(model, config.seed)
    tuned = Tuned(model, adapter, config.model)
    return tuned.at(spread.placed(model.params))


def load_saved(config: FinetuneConfig, folder: Path, spread: Spread = _ONE_DEVICE) -> LanguageModel:
    """Load the model that :meth:`Tuned.save` wrote in a run of ``config``."""
    if config.tuned.adapter == "none":
        return _load(dataclasses.replace(config, from_pt=False), folder, spread)
    model = _load_adapter(_load(config, config.model, spread), folder)[1]
    return dataclasses.replace(model, params=spread.placed(model.params))


def load_model(config: FinetuneConfig, spread: Spread = _ONE_DEVICE) -> LanguageModel:
    """Load the model of ``config`` as it is, without an adapter."""
    return _load(config, config.model, spread)


def _load(config: FinetuneConfig, name: str | Path, spread: Spread) -> LanguageModel:
    model = load(
        name,
        dtype=config.dtype,
        from_pt=config.from_pt,
        implementation=config.implementation,
        layout=spread.layout if spread.shards_model else None,
        # Its blocks are layers, so each layer needs leaves of its own.
        scan_layers=config.optimizer != "zo_sgd_blockwise",
    )
    names = ("num_attention_heads", "num_key_value_heads")
    heads = {name: getattr(model.config, name, None) for name in names}
    spread.require_heads(**{name: number for name, number in heads.items() if number})
    return model
