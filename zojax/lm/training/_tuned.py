"""What a run tunes: all parameters of a model, or an adapter with the model frozen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import zojax
from zojax.lm.adapters import Adapter, HeadTuning, LoRA, Prefix, VirtualTokens, save_adapter
from zojax.lm.adapters import load_adapter as _load_adapter
from zojax.lm.models import SCORE, LanguageModel, Params, load, with_score, without_score
from zojax.lm.processes import Spread
from zojax.lm.settings import START_NAMES, AdapterConfig, AdapterName, FinetuneConfig
from zojax.lm.training._integers import floats, with_integers
from zojax.lm.training._score_file import FILE, Score, read_score, write_score
from zojax.quantized import any_quantized, quantize
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
      given: Whether the initial values of the trainable part are not those that the seed gives.
    """

    model: LanguageModel
    adapter: Adapter | None
    name: str
    given: bool = False

    def at(self, params: Params) -> Tuned:
        """The same model with other parameters, or with the same ones on other devices."""
        return dataclasses.replace(self, model=dataclasses.replace(self.model, params=params))

    def trainable(self, params: Params) -> Params:
        """The trainable part of ``params``."""
        return params if self.adapter is None else params["adapter"]

    def moving(self, params: Params) -> Params:
        """The trainable part of ``params`` without the integers of quantized weights."""
        return floats(self.trainable(params))

    @property
    def reloads(self) -> bool:
        """Whether :meth:`full` needs what does not move, which the loop donates."""
        return self.adapter is not None or any_quantized(self.model.params)

    def base(self, params: Params) -> Params:
        """The part of ``params`` that the seed does not give: all, or all but a new adapter."""
        return params if self.adapter is None or self.given else params["model"]

    def full(self, moving: Params, params: Params) -> Params:
        """``params`` with what :meth:`moving` gave in its place, or all of its trainable part."""
        trainable = with_integers(moving, self.trainable(params))
        return trainable if self.adapter is None else {**params, "adapter": trainable}

    @property
    def branch(self) -> str | None:
        """The branch of the parameters that is tuned; None for all of them."""
        return None if self.adapter is None else "adapter"

    def only(self, tx: optax.GradientTransformationExtraArgs) -> Any:
        """Restrict ``tx`` to the trainable part of the parameters."""
        return tx if self.adapter is None else zojax.select(tx, "adapter/*")

    @property
    def tunes_scales(self) -> bool:
        """Whether weights are quantized, and no adapter is there to be tuned instead."""
        return self.adapter is None and any_quantized(self.model.params)

    def starting(self, score: Score | None, spread: Spread = _ONE_DEVICE) -> Tuned:
        """Add the head or the bias of classes that tuning starts from, as a trainable parameter."""
        if score is None:
            return self
        own = {name: jnp.asarray(leaf) for name, leaf in score.own.items()}
        part = None if self.adapter is None else "adapter"
        model, adapter = self.model, self.adapter
        if isinstance(adapter, HeadTuning) and "kernel" in own:
            # The head of the classes is the head that is tuned; nothing reads the other one.
            adapter = HeadTuning(labels=score.labels)
            model = dataclasses.replace(model, params={**model.params, "adapter": {}})
        model = with_score(model, own, score.labels, part)
        tuned = dataclasses.replace(self, model=model, adapter=adapter, given=True)
        return tuned.at(spread.placed(model.params))

    def save(self, params: Params, folder: Path) -> None:
        """Write the model or, if there is an adapter, the adapter alone.

        A bias of the classes is written beside either, and so is their head beside an adapter that
        is not itself a head.

        Raises:
          OSError: A file cannot be written, for example because the disk is full.
        """
        from safetensors import SafetensorError

        try:
            if self.adapter is None:
                self.model.save(params, folder)
            else:
                save_adapter(self.adapter, self.model, self._without_score(params), folder)
            if (own := self._beside(params)) is not None:
                write_score(Score(jax.tree.map(np.asarray, own), self.model.labels), folder / FILE)
        except SafetensorError as error:
            raise OSError(f"finetune: {folder} could not be written ({error}).") from error

    def _beside(self, params: Params) -> Params | None:
        """The head or the bias that the format of the model or of the adapter has no place for."""
        in_format = self.adapter is None or isinstance(self.adapter, HeadTuning)
        own = self.trainable(params).get(SCORE)
        return None if own is None or ("kernel" in own and in_format) else own

    def _without_score(self, params: Params) -> Params:
        if self._beside(params) is None:
            return params
        return {**params, "adapter": without_score(params["adapter"])}


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
    model, score = _load_base(config, config.model, spread)
    model = _quantized(config, model)
    folder = None if config.start in (None, *START_NAMES) else Path(config.start)
    if folder is not None and adapter is not None:
        found, model = _load_adapter(model, folder)
        _check_same(adapter, found, folder)
        adapter = found
        score = read_score(folder / FILE) if (folder / FILE).is_file() else score
    elif isinstance(adapter, HeadTuning) and score is not None and "kernel" in score.own:
        adapter = HeadTuning(labels=score.labels)
        model = adapter.adapt(model, config.seed)
    elif adapter is not None:
        model = adapter.adapt(model, config.seed)
    tuned = Tuned(model, adapter, config.model, given=folder is not None)
    return tuned.starting(score, spread) if score else tuned.at(spread.placed(model.params))


def load_saved(config: FinetuneConfig, folder: Path, spread: Spread = _ONE_DEVICE) -> LanguageModel:
    """Load the model that :meth:`Tuned.save` wrote in a run of ``config``."""
    score = read_score(folder / FILE) if (folder / FILE).is_file() else None
    if config.tuned.adapter == "none":
        model, part = _load(dataclasses.replace(config, from_pt=False), folder, spread), None
    else:
        model, part = _load_adapter(load_base(config, spread), folder)[1], "adapter"
    if score is not None:
        own = {name: jnp.asarray(leaf) for name, leaf in score.own.items()}
        model = with_score(model, own, score.labels, part)
    return dataclasses.replace(model, params=spread.placed(model.params))


def load_base(config: FinetuneConfig, spread: Spread = _ONE_DEVICE) -> LanguageModel:
    """Load the model that the run's adapter is added to: without a head or a bias of classes."""
    return _quantized(config, _load_base(config, config.model, spread)[0])


def load_model(config: FinetuneConfig, spread: Spread = _ONE_DEVICE) -> LanguageModel:
    """Load the model of ``config`` as it is, without an adapter."""
    return _load(config, config.model, spread)


def _quantized(config: FinetuneConfig, model: LanguageModel) -> LanguageModel:
    """The model with the integers that the run asks for."""
    if config.quantize is None:
        return model
    return dataclasses.replace(model, params=quantize(model.params, config.quantize))


def _load_base(
    config: FinetuneConfig, name: str | Path, spread: Spread
) -> tuple[LanguageModel, Score | None]:
    """Load a model, and apart from it the head or the bias of classes that it comes with."""
    model, file = _load(config, name, spread), Path(name) / FILE
    if model.scores is None:
        return model, read_score(file) if file.is_file() else None
    own = {leaf: np.asarray(value) for leaf, value in model.params[SCORE].items()}
    plain = dataclasses.replace(model, params=without_score(model.params), scores=None, labels=())
    return plain, Score(own, model.labels)


def _check_same(asked: Adapter, found: Adapter, folder: Path) -> None:
    """Refuse to go on from an adapter that has other settings than the run's."""
    if isinstance(found, HeadTuning) and isinstance(asked, HeadTuning):
        return  # the classes' names are those of the head, which are compared elsewhere
    if found != asked:
        raise ValueError(
            f"finetune: start must be the folder of an adapter like the run's, {asked}, got "
            f"{found} in {folder}. Give its settings, or another folder."
        )


def _load(config: FinetuneConfig, name: str | Path, spread: Spread) -> LanguageModel:
    return load(
        name,
        dtype=config.dtype,
        from_pt=config.from_pt,
        implementation=config.implementation,
        layout=spread.layout if spread.shards_model else None,
        # Its blocks are layers, so each layer needs leaves of its own.
        scan_layers=config.optimizer != "zo_sgd_blockwise",
    )
