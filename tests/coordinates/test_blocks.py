"""Blocks of real models, found from their paths."""

import jax
import jax.numpy as jnp
import pytest

from zojax.coordinates import find_blocks, slash_paths
from zojax.lm.models import workload

pytestmark = pytest.mark.quick

FLOAT = jax.ShapeDtypeStruct((4, 4), jnp.float32)


def names(params, blocks="layers"):
    found = find_blocks("test", params, blocks)
    leaves = sorted(leaf for block in found for leaf in block.leaves)
    assert leaves == list(range(len(jax.tree.leaves(params))))
    return [block.name for block in found]


@pytest.mark.parametrize(
    ("model", "layers"),
    [("opt-1.3b", 24), ("opt-350m", 24), ("roberta-base", 12), ("llama-2-7b", 32)],
)
def test_one_block_for_each_layer_and_the_two_ends(model, layers):
    params = workload(model, batch=1, length=8, scan_layers=False).params
    # The projections of OPT-350M and the head of OPT-1.3B, which is tied, are at the ends too.
    assert names(params) == ["embeddings", *(f"layers_{i}" for i in range(layers)), "head"]


def test_stacked_layers_have_no_blocks():
    params = workload("opt-125m", batch=1, length=8, layers=2).params
    message = r"own, got layers/\S+, which has those of all layers.*load\(..., scan_layers=False\)"
    with pytest.raises(ValueError, match=message):
        names(params)


def test_layers_are_in_the_order_of_their_numbers_whatever_the_names():
    layer = {"fc1": FLOAT, "fc2": FLOAT}
    assert names({"wte": FLOAT, "h": {str(i): layer for i in range(12)}, "ln_f": FLOAT}) == [
        "embeddings",
        *(f"h/{i}" for i in range(12)),
        "head",
    ]
    assert names({"Block_1": layer, "Embed_0": FLOAT, "Block_0": layer, "head": FLOAT}) == [
        "embeddings",
        "Block_0",
        "Block_1",
        "head",
    ]
    assert names([{"embed": FLOAT, "layers": [layer, layer]}]) == [
        "embeddings",
        "0/layers/0",
        "0/layers/1",
    ]
    # One layer alone, whose own parts are numbered too.
    assert names({"embed": FLOAT, "layers": {"0": layer}}) == ["embeddings", "layers/0"]


LAYERS = {str(i): {"fc1": FLOAT, "fc2": FLOAT} for i in range(3)}


def ends(params):
    """What comes before the layers and after them."""
    paths = slash_paths(params)
    found = {block.name: block.leaves for block in find_blocks("test", params, "layers")}
    return [[paths[leaf] for leaf in found.get(name, [])] for name in ("embeddings", "head")]


@pytest.mark.parametrize(
    "before",
    [
        *("embed", "Embed_0", "embed_in", "word_embeddings", "tok_embeddings", "wte", "project_in"),
        *("input_norm", "word_embeddings_layernorm", "embeddings/LayerNorm", "embeddings/norm/0"),
    ],
)
@pytest.mark.parametrize(
    "after",
    [
        *("head", "lm_head/dense", "LMHead", "final_layer_norm", "ln_f", "norm", "LayerNorm"),
        *("project_out", "qa_outputs", "classifier/layers/0", "pooler/dense", "unembed"),
    ],
)
def test_names_tell_what_is_before_the_layers_and_after(before, after):
    params = {"model": {"layers": LAYERS}, before: FLOAT, after: FLOAT}
    assert ends(params) == [[before], [after]]
    # Of the names that the layers share with all else none tells anything.
    params = {"classifier": {"layers": LAYERS, before: FLOAT, after: FLOAT}}
    assert ends(params) == [[f"classifier/{before}"], [f"classifier/{after}"]]


@pytest.mark.parametrize(
    "name",
    [
        "embed_out",  # GPT-NeoX's head, by its name an embedding
        "LayerNorm_0",  # linen's number tells when it was made, not where it is applied
        "Dense_0",
        "cls_token",
        "final_embed",
        "adapter",
        "relative_bias/0",
    ],
)
def test_a_name_that_could_be_before_the_layers_or_after_is_refused(name):
    params = {"embed_in": FLOAT, "layers": LAYERS, name: FLOAT}
    with pytest.raises(
        ValueError, match=rf"test: the parameters outside .* got \['{name}.*\. Give"
    ):
        find_blocks("test", params, "layers")


STACKED = {"layers": LAYERS}
AMBIGUOUS = {
    "encoder and decoder": (
        {"shared": FLOAT, "encoder": STACKED, "decoder": STACKED, "lm_head": FLOAT},
        r"\['decoder/layers/\* \(3\)', 'encoder/layers/\* \(3\)'\]",
    ),
    "one layer in the encoder": (
        {"encoder": {"layers": {"0": FLOAT}}, "decoder": STACKED},
        r"outside of the layers decoder/layers/\* .* got \['encoder/layers/0'\]",
    ),
    "T5": (
        {
            name: {"block": {str(i): {"layer": {"0": FLOAT, "1": FLOAT}} for i in range(2)}}
            for name in ("encoder", "decoder")
        },
        r"\['decoder/block/\* \(2\)', 'encoder/block/\* \(2\)'\]",
    ),
    "norms between linen's layers": (
        {f"{name}_{i}": FLOAT for name in ("Dense", "LayerNorm") for i in range(2)},
        r"\['Dense_\* \(2\)', 'LayerNorm_\* \(2\)'\]",
    ),
    "UNet": (
        {f"{name}_blocks": {str(i): FLOAT for i in range(3)} for name in ("input", "output")},
        r"'input_blocks/\* \(3\)', 'output_blocks/\* \(3\)'",
    ),
    "a tuple of unlike parts": ((FLOAT, [FLOAT, FLOAT], FLOAT), r"'\* \(3\)', '1/\* \(2\)'"),
    "layers within one numbered part": (
        {"tower_0": {"layers": LAYERS}, "head": FLOAT},
        r"'tower_\* \(1\)', 'tower_0/layers/\* \(3\)'",
    ),
}


@pytest.mark.parametrize(("params", "message"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_several_stacks_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        find_blocks("test", params, "layers")
    assert find_blocks("test", params, lambda path, leaf: 0) != []


def test_large_embeddings_and_heads_are_no_layers():
    large = jax.ShapeDtypeStruct((1000, 1000), jnp.float32)
    params = {"embeddings": [large, large], "layers": [FLOAT, FLOAT], "heads": [large, large]}
    assert names(params) == ["embeddings", "layers/0", "layers/1", "head"]
    params = {"Embed_0": large, "Block_0": FLOAT, "Block_1": FLOAT, "lm_head": large}
    assert names(params) == ["embeddings", "Block_0", "Block_1", "head"]


@pytest.mark.parametrize("family", ["opt", "roberta", "gpt_neox", "bert", "bloom", "distilbert"])
def test_models_of_transformers(family):
    """Their paths, as far as they differ in what is around the layers."""
    around = {
        "opt": (
            ["model/decoder/embed_positions", "model/decoder/project_in"],
            ["lm_head", "model/decoder/final_layer_norm", "model/decoder/project_out"],
        ),
        "roberta": (["roberta/embeddings/LayerNorm"], ["lm_head/dense", "lm_head/layer_norm"]),
        "gpt_neox": (["gpt_neox/embed_in"], ["gpt_neox/final_layer_norm"]),
        "bert": (
            ["bert/embeddings/LayerNorm", "bert/embeddings/word_embeddings"],
            ["bert/pooler/dense", "cls/predictions/bias"],
        ),
        "bloom": (
            ["transformer/word_embeddings", "transformer/word_embeddings_layernorm"],
            ["transformer/ln_f"],
        ),
        "distilbert": (["distilbert/embeddings/LayerNorm"], ["classifier", "pre_classifier"]),
    }
    stacks = {
        "opt": "model/decoder/layers",
        "roberta": "roberta/encoder/layer",
        "gpt_neox": "gpt_neox/layers",
        "bert": "bert/encoder/layer",
        "bloom": "transformer/h",
        "distilbert": "distilbert/transformer/layer",
    }
    before, after = around[family]
    params = dict.fromkeys((*before, *after), FLOAT)
    params[stacks[family]] = LAYERS
    found = ends(params)
    assert found == [sorted(before), sorted(after)]


def test_blocks_by_a_function():
    params = {"a": {"x": FLOAT, "y": FLOAT}, "b": {"x": FLOAT}}
    assert names(params, lambda path, leaf: path.rsplit("/", 1)[1]) == ["x", "y"]
    assert names(params, lambda path, leaf: leaf.ndim) == ["2"]
    # Numbers order the blocks, whatever the order of the names.
    assert names(params, lambda path, leaf: 10 - (path[0] == "b")) == ["9", "10"]
    assert names(params, lambda path, leaf: path[0] == "a") == ["True", "False"]


def test_a_function_sees_no_values_while_nothing_is_traced_either():
    with pytest.raises(TypeError):
        find_blocks("test", {"a": jnp.ones(3)}, lambda path, leaf: int(leaf[0]))
    assert names({"a": 1.0, "b": 2.0}, lambda path, leaf: str(leaf.dtype)) == ["float32"]


def test_what_has_no_layers_is_refused():
    with pytest.raises(
        ValueError, match=r"test: no parameter's path has a numbered layer. The fir"
    ):
        find_blocks("test", {"a": FLOAT}, "layers")
    with pytest.raises(ValueError, match="numbered layer"):
        find_blocks("test", [FLOAT], "layers")
    with pytest.raises(TypeError, match='test: blocks must be "layers" or a function, got 3'):
        find_blocks("test", {"a": FLOAT}, 3)
