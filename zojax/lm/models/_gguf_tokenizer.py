"""The tokenizer of a GGUF file, made from the file's vocabulary.

References:
  Byte pairs: Sennrich et al., 2016, arXiv:1508.07909. SentencePiece: Kudo and Richardson, 2018,
  arXiv:1808.06226.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zojax.lm.models._tokenizer import Tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

_PREFIX = "tokenizer.ggml."
SPECIAL_TOKENS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "pad": "padding_token_id",
}
"""Special tokens -> their settings."""

# llama.cpp's types of tokens.
_NORMAL, _CONTROL, _USER_DEFINED, _BYTE = 1, 3, 4, 6
_SPACE = "▁"


def read_tokenizer(metadata: Mapping[str, Any], file: Path) -> Tokenizer:
    """Make the tokenizer of a file's metadata, which splits a text as the model's own does.

    Args:
      metadata: The metadata of the file.
      file: The file, for messages.

    Cost: with SentencePiece's 262,144 tokens some seconds, for the merges are worked out.

    Raises:
      ValueError: The tokenizer is of another kind, or has an unknown setting.
    """
    given = {
        name.removeprefix(_PREFIX): value
        for name, value in metadata.items()
        if name.startswith(_PREFIX)
    }
    kind = given.get("model")
    if kind not in _KINDS:
        raise ValueError(
            f"load: {_PREFIX}model must be one of {', '.join(_KINDS)}, got {kind!r} in {file}. "
            "Choose another file."
        )
    needed, settings, make = _KINDS[kind]
    lacking = sorted({*needed, *SPECIAL_TOKENS.values()} - given.keys())
    if lacking:
        names = ", ".join(_PREFIX + name for name in lacking)
        raise ValueError(f"load: {file} lacks the metadata {names}. Choose another file.")
    known = {"model", "tokens", "token_type", *needed, *settings}
    unknown = [name for name in given if name not in known and not name.endswith("_token_id")]
    if unknown:
        raise ValueError(
            f"load: a tokenizer of the kind {kind} has the settings {', '.join(sorted(known))}, "
            f"got {_PREFIX}{unknown[0]} besides in {file}. Choose another file."
        )
    for name, allowed in settings.items():
        if given.get(name) not in allowed:
            raise ValueError(
                f"load: {_PREFIX}{name} must be {' or '.join(map(repr, allowed))}, got "
                f"{given.get(name)!r} in {file}. Choose another file."
            )
    tokens: list[str] = given["tokens"]
    special = {name: tokens[given[setting]] for name, setting in SPECIAL_TOKENS.items()}
    backend = make(given, file)
    template = metadata.get("tokenizer.chat_template")
    files = {} if template is None else {"chat_template.jinja": template.encode()}
    return Tokenizer(backend, special, template, files)


def _byte_level(given: Mapping[str, Any], file: Path) -> Backend:
    """SmolLM's: splits off every digit, then splits by GPT-2's pattern; pairs of bytes."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers

    tokens: list[str] = given["tokens"]
    _check_types(given, (_NORMAL, _CONTROL), file)
    merges = [tuple(merge.split(" ")) for merge in given["merges"]]
    backend = Backend(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    backend.decoder = decoders.ByteLevel()
    _add_tokens(backend, given)
    return backend


def _sentencepiece(given: Mapping[str, Any], file: Path) -> Backend:
    """SentencePiece's pairs: of neighbours, the two that make the token of the best score merge.

    A space is a ▁. User-defined tokens are cut out of the text first; what no token has becomes
    bytes.
    """
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers, processors

    tokens: list[str] = given["tokens"]
    types = _check_types(given, (_NORMAL, _CONTROL, _USER_DEFINED, _BYTE), file)
    scores = {
        token: score
        for token, score, kind in zip(tokens, given["scores"], types, strict=True)
        if kind == _NORMAL
    }
    backend = Backend(
        models.BPE(
            {token: i for i, token in enumerate(tokens)},
            _merges(scores),
            unk_token=tokens[given["unknown_token_id"]],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    backend.normalizer = normalizers.Replace(" ", _SPACE)
    backend.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    if given["add_bos_token"]:
        bos = tokens[given["bos_token_id"]]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A",
            pair=f"{bos} $A {bos} $B",
            special_tokens=[(bos, given["bos_token_id"])],
        )
    _add_tokens(backend, given)
    return backend


def _merges(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """All pairs of tokens that make a token, those of the best score first."""
    merges: list[tuple[str, str]] = []
    for token in sorted(scores, key=lambda token: -scores[token]):
        for i in range(1, len(token)):
            left, right = token[:i], token[i:]
            if left in scores and right in scores:
                merges.append((left, right))
    return merges


def _check_types(given: Mapping[str, Any], known: tuple[int, ...], file: Path) -> list[int]:
    types: list[int] = given["token_type"]
    if not {*types} <= {*known}:
        raise ValueError(
            f"load: the types of tokens must be among {known} for a tokenizer of the kind "
            f"{given['model']}, got {sorted({*types})} in {file}. Choose another file."
        )
    return types


def _add_tokens(backend: Backend, given: Mapping[str, Any]) -> None:
    """Add the tokens that are cut out of a text before it is split.

    User-defined ones are looked for in the normalized text, as SentencePiece does.
    """
    from tokenizers import AddedToken

    kinds = list(zip(given["tokens"], given["token_type"], strict=True))
    backend.add_special_tokens(
        [AddedToken(token, normalized=False) for token, kind in kinds if kind == _CONTROL]
    )
    backend.add_tokens(
        [AddedToken(token, normalized=True) for token, kind in kinds if kind == _USER_DEFINED]
    )


# Kind -> the metadata that it needs, its settings and their supported values, and its maker.
_Make = Callable[[Mapping[str, Any], Path], "Backend"]
_KINDS: dict[str, tuple[tuple[str, ...], dict[str, tuple[Any, ...]], _Make]] = {
    "gpt2": (
        ("tokens", "token_type", "merges"),
        {
            "pre": ("smollm",),
            "add_space_prefix": (False,),
            "add_bos_token": (False,),
            "add_eos_token": (False, None),
        },
        _byte_level,
    ),
    "llama": (
        ("tokens", "token_type", "scores"),
        {
            "pre": ("default", None),
            "add_space_prefix": (False,),
            "add_bos_token": (True, False),
            "add_eos_token": (False, None),
            "add_sep_token": (False, None),
            "remove_extra_whitespaces": (False, None),
        },
        _sentencepiece,
    ),
}
