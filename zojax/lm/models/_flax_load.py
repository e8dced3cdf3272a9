"""Loads transformers' Flax classes of OPT and RoBERTa, which transformers 4.57 has last."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from jax.typing import DTypeLike

from zojax.lm.models import _flax_opt, _flax_roberta, _weights
from zojax.lm.models._class_architectures import class_architecture, class_labels
from zojax.lm.models._class_head import SCORE, score_shapes, scored
from zojax.lm.models._config import read_config
from zojax.lm.models._families import FAMILIES
from zojax.lm.models._files import config_file, find
from zojax.lm.models._flax_family import FlaxFamily
from zojax.lm.models._flax_network import FlaxNetwork
from zojax.lm.models._flax_quiet import quiet
from zojax.lm.models._language_model import LanguageModel
from zojax.lm.models._names import flax_names
from zojax.lm.models._promotion import lenient
from zojax.lm.models._save import Writer

_FAMILIES: dict[str, FlaxFamily] = {"opt": _flax_opt.FAMILY, "roberta": _flax_roberta.FAMILY}


def load(source: str, dtype: DTypeLike, from_pt: bool) -> LanguageModel:
    """Load a model of transformers' Flax class; see :func:`zojax.lm.models.load`."""
    import jax
    from flax.traverse_util import flatten_dict, unflatten_dict

    transformers = _import_transformers()
    file = config_file(source)
    labels = class_labels(read_config(file, source).values)
    with quiet(transformers):
        config: Any = transformers.AutoConfig.from_pretrained(source)
        family = _family(config.model_type, source)
        family.check(config, source)
        # transformers' own initialisation promotes bools with integers.
        with lenient():
            model = family.flax_class()(config, dtype=dtype, _do_init=False)
        tree: Any = model.params_shape_tree
        if labels:
            features = getattr(config, "word_embed_proj_dim", config.hidden_size)
            tree = score_shapes(tree, features, len(labels))
        flat: dict[Any, Any] = flatten_dict(tree)
        shapes = {
            path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype if path[0] == SCORE else dtype)
            for path, leaf in flat.items()
        }
        head = ".".join((*family.head[:-1], "weight"))
        places = flax_names(shapes)
        second = (
            {} if config.tie_word_embeddings or labels else dict(FAMILIES[config.model_type].untied)
        )
        places |= {new: places[name] for name, new in second.items()}
        params = _weights.collect(
            _weights.read(source, from_pt),
            shapes,
            places,
            base=model.base_model_prefix,
            unused=(head, ".".join(family.head)),
            overruled=second,
            source=source,
        )
        tokenizer = _tokenizer(transformers, source)
    generation = find(source, "generation_config.json")
    name = class_architecture(config.model_type) if labels else family.flax_class().__name__[4:]
    values = {**config.to_dict(), "architectures": [name]}
    network = FlaxNetwork(family, config, dtype)
    found = LanguageModel(
        params=unflatten_dict(params),
        config=config,
        tokenizer=tokenizer,
        kind=family.kind,
        hidden=network.hidden,
        logits=network.logits,
        sown=network.sown,
        init_cache=network.init_cache if family.kind == "causal" else None,
        prefix=None,
        write=Writer(
            places, values, None if generation is None else Path(generation).read_text("utf-8")
        ),
        max_length=network.max_length,
        module_names=lambda path, _: [(".".join(path), None)],
        source=source,
    )
    return scored(found, labels) if labels else found


def load_input(source: str) -> tuple[Any, Any, Literal["causal", "masked"], int]:
    """Load the configuration and the tokenizer; see :func:`zojax.lm.models.load_input`."""
    transformers = _import_transformers()
    config_file(source)
    with quiet(transformers):
        config: Any = transformers.AutoConfig.from_pretrained(source)
        family = _family(config.model_type, source)
        family.check(config, source)
        tokenizer = _tokenizer(transformers, source)
    return config, tokenizer, family.kind, family.max_length(config)


def _tokenizer(transformers: Any, source: str) -> Any:
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(source)
    # Otherwise decoding changes the text: " ." becomes "." by default.
    tokenizer.clean_up_tokenization_spaces = False
    return tokenizer


def _import_transformers() -> ModuleType:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise ImportError(
            "load: transformers' Flax classes need transformers: "
            'pip install "zojax[transformers]".'
        ) from error
    if int(transformers.__version__.split(".")[0]) >= 5:
        raise ImportError(
            f"load: transformers must be < 5 (the last with Flax classes) for "
            f'implementation="transformers", got {transformers.__version__}: pip install '
            '"zojax[transformers]", or leave implementation out.'
        )
    return transformers


def _family(model_type: str, source: str) -> FlaxFamily:
    if model_type not in _FAMILIES:
        raise ValueError(
            f"load: transformers' Flax classes must be of the family {' or '.join(_FAMILIES)}, got "
            f"model_type {model_type!r} in {source}. Leave implementation out."
        )
    return _FAMILIES[model_type]
