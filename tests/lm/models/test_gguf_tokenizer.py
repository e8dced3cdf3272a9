"""Tokenizers made from a GGUF file's vocabulary, against the rules of their kind spelled out."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import regex
from gguf_files import TOKENIZERS

import zojax.lm.models
from zojax.lm.models import _packages
from zojax.lm.models._gguf_file import read_file
from zojax.lm.models._gguf_tokenizer import read_tokenizer

TRICKY = [
    "",
    " ",
    "the theme, hello",
    "  the   the",
    "12 the 1234th, 3.14 and 1,000",
    "a\n\nb\n c\t\td \n ",
    "it's, IT'S, they'll 'twas 's",
    "naïve café — “quoted” … ½ ² ٣",
    "👩‍👩‍👧 🇫🇷 👍🏽!!!",
    "日本語 123 한국어",
    "def f(x):\n    return x**2  # 2nd",
    "\u00a0the\u3000the\r\nthe \v",
    "e\u0301 \ufeff \x00",
    # What SentencePiece's own characters and tokens become.
    "▁ the▁▁ ▁x",
    "<0x41> <b>b</b> <b",
    "aaaaaaaab aabaaab",
]


def tokenizer_of(architecture: str) -> zojax.lm.models.Tokenizer:
    settings = {f"tokenizer.ggml.{name}": x for name, x in TOKENIZERS[architecture].items()}
    return read_tokenizer(settings, Path("a.gguf"))


def encode(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def letters_of_bytes() -> dict[int, str]:
    """GPT-2's letter of each byte: itself where it can be printed, otherwise one from 256 on."""
    printed = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printed]
    return {byte: chr(byte) for byte in printed} | {
        byte: chr(256 + i) for i, byte in enumerate(others)
    }


def byte_level_ids(vocabulary: dict[str, int], ranks: Any, text: str) -> list[int]:
    """Tokenise by llama.cpp's rules for the pre-tokeniser ``smollm``, spelled out."""
    pieces = [text]
    words = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
    for pattern in (r"\p{N}", words):
        # What lies between two matches is a piece too.
        pieces = [part for piece in pieces for part in regex.split(f"({pattern})", piece) if part]
    letters = letters_of_bytes()
    ids: list[int] = []
    for piece in pieces:
        parts = [letters[byte] for byte in piece.encode()]
        while len(parts) > 1:
            pairs = [ranks.get(pair, len(ranks)) for pair in itertools.pairwise(parts)]
            i = int(np.argmin(pairs))
            if pairs[i] == len(ranks):
                break
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        ids.extend(vocabulary[part] for part in parts)
    return ids


def sentencepiece(given: Mapping[str, Any]) -> Callable[[str], list[int]]:
    """Tokenise by SentencePiece's rules for byte pairs, spelled out; control tokens are text."""
    tokens, types = given["tokens"], given["token_type"]
    ids = {token.replace(" ", "▁"): i for i, token in enumerate(tokens)}
    scores = {t: s for t, s, kind in zip(tokens, given["scores"], types, strict=True) if kind == 1}
    defined = {t.replace(" ", "▁") for t, kind in zip(tokens, types, strict=True) if kind == 4}
    longest = max(map(len, defined))

    def encode(text: str) -> list[int]:
        text = text.replace(" ", "▁")
        parts: list[str] = []
        while text:
            sizes = [n for n in range(longest, 0, -1) if text[:n] in defined]
            size = min(sizes[0], len(text)) if sizes else 1
            parts.append(text[:size])
            text = text[size:]
        while True:
            pairs = [
                (-scores[left + right], i)
                for i, (left, right) in enumerate(itertools.pairwise(parts))
                if left + right in scores and not {left, right} & defined
            ]
            if not pairs:
                break
            _, i = min(pairs)
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        found: list[int] = []
        for part in parts:
            known = part in defined or part in scores
            pieces = [part] if known else [f"<0x{byte:02X}>" for byte in part.encode()]
            found.extend(ids[piece] for piece in pieces)
        return found

    return encode


def check_byte_level(tokenizer: zojax.lm.models.Tokenizer) -> None:
    model = json.loads(tokenizer.backend.to_str())["model"]
    ranks = {tuple(merge): rank for rank, merge in enumerate(model["merges"])}
    for text in TRICKY:
        ids = encode(tokenizer, text)
        assert ids == byte_level_ids(model["vocab"], ranks, text), text
        assert tokenizer.decode(ids) == text


def check_sentencepiece(tokenizer: zojax.lm.models.Tokenizer, given: Mapping[str, Any]) -> None:
    draw, expected = random.Random(0), sentencepiece(given)
    drawn = ["".join(draw.choices(" \n\tabehltx1<>▁é", k=30)) for _ in range(200)]
    for text in [*TRICKY, *drawn]:
        ids = encode(tokenizer, text)
        assert ids == expected(text), text
        assert tokenizer.decode(ids) == text.replace("▁", " ")


def test_byte_level_tokens_are_llama_cpps():
    tokenizer = tokenizer_of("llama")
    check_byte_level(tokenizer)
    assert tokenizer.backend.encode(" the 112").tokens == ["Ġthe", "Ġ", "1", "1", "2"]
    ids = tokenizer("<|im_start|>the<|im_end|>")["input_ids"]
    tokens = [tokenizer.backend.id_to_token(token) for token in ids]
    assert tokens == ["<|im_start|>", "t", "he", "<|im_end|>"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the"
    special = {"bos": "<|im_start|>", "eos": "<|im_end|>", "pad": "<|im_end|>"}
    assert tokenizer.special_tokens == {**special, "unk": "<|endoftext|>"}


def test_pieces_are_sentencepieces():
    tokenizer = tokenizer_of("gemma3")
    check_sentencepiece(tokenizer, TOKENIZERS["gemma3"])
    ids = encode(tokenizer, "hello  hello\n\n日é")
    expected = ["hello", "  ", "hello", "\n\n", "日", "<0xC3>", "<0xA9>"]
    assert [TOKENIZERS["gemma3"]["tokens"][i] for i in ids] == expected
    assert tokenizer.special_tokens == {
        "bos": "<bos>", "eos": "<eos>", "pad": "<pad>", "unk": "<unk>"
    }  # fmt: skip


def test_a_text_begins_with_the_token_that_the_file_says():
    tokenizer = tokenizer_of("gemma3")
    ids = tokenizer("<start_of_turn>the")["input_ids"]
    assert [tokenizer.backend.id_to_token(i) for i in ids] == [
        "<bos>",
        "<start_of_turn>",
        "t",
        "he",
    ]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the"


@pytest.mark.slow
def test_the_real_smollm2s_tokens_are_llama_cpps():
    tokenizer = read_tokenizer(*metadata_of("smollm2-135m"))
    check_byte_level(tokenizer)
    for word in (" great", " terrible"):
        assert len(encode(tokenizer, word)) == 1


@pytest.mark.slow
def test_the_real_gemmas_pieces_are_sentencepieces():
    metadata, file = metadata_of("gemma-3-270m")
    names = ("tokens", "token_type", "scores")
    given = {name: metadata[f"tokenizer.ggml.{name}"] for name in names}
    tokenizer = read_tokenizer(metadata, file)
    check_sentencepiece(tokenizer, given)
    assert tokenizer("The film")["input_ids"] == [2, 818, 4103]


def metadata_of(name: str) -> tuple[dict[str, Any], Path]:
    try:
        files = _packages.files(name)
    except ImportError as error:
        pytest.skip(str(error))
    return read_file(files).metadata, files[0]
