"""What a run moves: all of a model, or an adapter beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optax

import zojax
from zojax.lm.adapters import Adapter, HeadTuning, LoRA, Prefix, VirtualTokens, save_adapter
from zojax.lm.adapters import load_adapter as _load_adapter
from zojax.lm.models import LanguageModel, Params, load
from zojax.lm.training._config import AdapterConfig, AdapterName, FinetuneConfig

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
      model: With the adapter, where there is one.
      adapter: Or None, where all of the model moves.
      name: What the base model was loaded from.
    """

    model: LanguageModel
    adapter: Adapter | None
    name: str

    def at(self, params: Params) -> Tuned:
        """The same model with other parameters, or the same ones elsewhere."""
        return dataclasses.replace(self, model=dataclasses.replace(self.model, params=params))

    def moving(self, params: Params) -> Params:
        """The part of ``params`` that training changes."""
        return params if self.adapter is None else params["adapter"]

    def base(self, params: Params) -> Params:
        """The part of ``params`` that was loaded: all but an adapter."""
        return params if self.adapter is None else params["model"]

    def whole(self, moving: Params, params: Params) -> Params:
        """``params`` with another ``moving`` part."""
        return moving if self.adapter is None else {**params, "adapter": moving}

    def only(self, tx: optax.GradientTransformationExtraArgs) -> Any:
        """``tx`` for the moving part alone."""
        return tx if self.adapter is None else zojax.select(tx, "adapter/*")

    def save(self, params: Params, folder: Path) -> None:
        """Write the model, or the adapter alone.

        Raises:
          OSError: It cannot be written; the disk is full, say.
        """
        from safetensors import SafetensorError

        try:
            if self.adapter is None:
                self.model.save(params, folder)
            else:
                save_adapter(self.adapter, params, folder, base=self.name)
        except SafetensorError as error:
            raise OSError(f"finetune: {folder} could not be written ({error}).") from error


def make_adapter(config: AdapterConfig) -> Adapter | None:
    """The adapter that ``config`` describes, or None for none.

    Raises:
      ValueError: A setting is wrong, or one that the adapter does not take.
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


def load_to_tune(config: FinetuneConfig) -> Tuned:
    """Load the model of ``config`` and put a fresh adapter beside it, if there is to be one."""
    adapter = make_adapter(config.tuned)
    model = load(config.model, dtype=config.dtype, from_pt=config.from_pt)
    if adapter is not None:
        model = adapter.adapt(model, config.seed)
    return Tuned(model, adapter, config.model)


def load_saved(config: FinetuneConfig, folder: Path) -> LanguageModel:
    """Load what :meth:`Tuned.save` wrote in a run of ``config``."""
    if config.tuned.adapter == "none":
        return load(folder, dtype=config.dtype)
    base = load(config.model, dtype=config.dtype, from_pt=config.from_pt)
    return _load_adapter(base, folder)[1]
