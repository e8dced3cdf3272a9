"""A tokenizer from ``tokenizer.json``, by the package ``tokenizers`` alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from zojax.lm.models._files import find

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

TOKENIZER = "tokenizer.json"
_CONFIG, _SPECIAL = "tokenizer_config.json", "special_tokens_map.json"
# Files of a tokenizer besides these, which are saved with the model unchanged.
_OTHERS = (
    *("vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "added_tokens.json"),
    *("chat_template.jinja", "chat_template.json"),
)
_SPECIAL_TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


class AnyTokenizer(Protocol):
    """What is used of a tokenizer: :class:`Tokenizer` has it, and transformers' tokenizers do."""

    @property
    def bos_token_id(self) -> Any: ...
    @property
    def eos_token_id(self) -> Any: ...
    @property
    def mask_token_id(self) -> Any: ...
    @property
    def chat_template(self) -> Any: ...
    def __len__(self) -> int: ...
    def __call__(
        self, text: Any, *, add_special_tokens: bool = True, verbose: bool = True
    ) -> Any: ...
    def decode(
        self,
        token_ids: Any,
        *,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool = False,
    ) -> Any: ...
    def get_vocab(self) -> dict[str, int]: ...
    def save_pretrained(self, save_directory: Any) -> Any: ...


class Encoding(dict[str, Any]):
    """``input_ids``: the ids of a text, or of each of several texts."""

    @property
    def input_ids(self) -> Any:
        """The ids of a text, or of each of several texts."""
        return self["input_ids"]


class Tokenizer:
    """Texts to token ids and back, called as transformers' tokenizers are.

    Attributes:
      backend: The tokenizer of the package ``tokenizers``.
      special_tokens: ``"bos"``, ``"eos"``, ``"pad"`` … -> the token.
      chat_template: The Jinja template of a chat, or None.
    """

    def __init__(
        self,
        backend: Backend,
        special_tokens: Mapping[str, str],
        chat_template: str | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        backend.no_padding()
        backend.no_truncation()
        self.backend = backend
        self.special_tokens = dict(special_tokens)
        self.chat_template = chat_template
        self._files = dict(files or {})

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        add_special_tokens: bool = True,
        verbose: bool = True,  # noqa: ARG002 - see its description
    ) -> Encoding:
        """Encode a text, or several.

        Args:
          text: A str, or a sequence of them.
          add_special_tokens: Put the special tokens around the text that ``tokenizer.json`` names.
          verbose: Taken because transformers' tokenizers warn of long texts; this one never does.

        Returns:
          ``input_ids``: a list of ids, or a list of such lists.
        """
        if isinstance(text, str):
            ids: Any = self.backend.encode(text, add_special_tokens=add_special_tokens).ids
        else:
            rows = self.backend.encode_batch(list(text), add_special_tokens=add_special_tokens)
            ids = [row.ids for row in rows]
        return Encoding(input_ids=ids)

    def decode(
        self,
        token_ids: Any,
        *,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool = False,  # noqa: ARG002 - see its description
    ) -> str:
        """Decode ids to a text.

        Args:
          token_ids: The ids.
          skip_special_tokens: Leave the special tokens out.
          clean_up_tokenization_spaces: Taken because transformers' tokenizers may remove spaces
            before punctuation; this one returns the text as ``tokenizer.json`` decodes it.
        """
        ids = [int(token) for token in token_ids]
        return self.backend.decode(ids, skip_special_tokens=skip_special_tokens)

    def get_vocab(self) -> dict[str, int]:
        """Every token, as it is written in the vocabulary, and its id."""
        return self.backend.get_vocab(with_added_tokens=True)

    def __len__(self) -> int:
        """The number of tokens."""
        return self.backend.get_vocab_size(with_added_tokens=True)

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write ``tokenizer.json`` and its configuration, for transformers 4 and 5."""
        folder = Path(save_directory)
        for name, content in self._files.items():
            (folder / name).write_bytes(content)
        (folder / TOKENIZER).write_text(self.backend.to_str(pretty=True), encoding="utf-8")
        config = json.loads(self._files.get(_CONFIG, b"{}"))
        # What transformers 5 writes and 4 cannot read.
        if config.get("tokenizer_class") in (None, "TokenizersBackend"):
            config["tokenizer_class"] = "PreTrainedTokenizerFast"
        if not isinstance(config.get("extra_special_tokens", {}), dict):
            config["additional_special_tokens"] = config.pop("extra_special_tokens")
        config |= {f"{name}_token": token for name, token in self.special_tokens.items()}
        text = json.dumps(config, indent=2, ensure_ascii=False)
        (folder / _CONFIG).write_text(text + "\n", encoding="utf-8")

    def _id(self, name: str) -> int | None:
        token = self.special_tokens.get(name)
        return None if token is None else self.backend.token_to_id(token)

    @property
    def bos_token_id(self) -> int | None:
        """The token that begins a sequence, or None."""
        return self._id("bos")

    @property
    def eos_token_id(self) -> int | None:
        """The token that ends a sequence, or None."""
        return self._id("eos")

    @property
    def pad_token_id(self) -> int | None:
        """The token of padding, or None."""
        return self._id("pad")

    @property
    def mask_token_id(self) -> int | None:
        """The token of a blank, or None."""
        return self._id("mask")


def read_tokenizer(source: str) -> Tokenizer:
    """Read the tokenizer of a folder or a hub name.

    Without a ``tokenizer.json`` it is made from the older files of the folder by transformers.

    Raises:
      FileNotFoundError: There is no ``tokenizer.json``, and transformers is not installed.
      ValueError: ``tokenizer.json`` is damaged.
    """
    from tokenizers import Tokenizer as Backend

    files: dict[str, bytes] = {}
    for name in (_CONFIG, _SPECIAL, *_OTHERS):
        file = find(source, name)
        if file is not None:
            files[name] = Path(file).read_bytes()
    file = find(source, TOKENIZER)
    if file is None:
        backend = _converted(source)
    else:
        try:
            backend = Backend.from_file(file)
        except Exception as error:  # tokenizers raises plain Exceptions
            raise ValueError(f"load: {file} is damaged ({error}). Copy it again.") from error
    config = {**json.loads(files.get(_SPECIAL, b"{}")), **json.loads(files.get(_CONFIG, b"{}"))}
    special = {name: _content(config.get(f"{name}_token")) for name in _SPECIAL_TOKENS}
    return Tokenizer(
        backend,
        {name: token for name, token in special.items() if token is not None},
        _chat_template(config, files),
        files,
    )


def _chat_template(config: Mapping[str, Any], files: Mapping[str, bytes]) -> str | None:
    """The template of a chat, from a file of its own or from the configuration."""
    if "chat_template.jinja" in files:
        return files["chat_template.jinja"].decode()
    template = config.get("chat_template")
    if isinstance(template, list):  # several, with names
        named = {each["name"]: each["template"] for each in template}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _content(token: Any) -> str | None:
    """A special token, written as a str or with its settings."""
    return token.get("content") if isinstance(token, dict) else token


def _converted(source: str) -> Backend:
    try:
        from transformers import AutoTokenizer
    except ModuleNotFoundError as error:
        raise FileNotFoundError(
            f"load: {source} has no {TOKENIZER}. To convert the tokenizer's other files, install "
            "transformers: pip install transformers."
        ) from error
    tokenizer: Any = AutoTokenizer.from_pretrained(source)
    if not tokenizer.is_fast:
        raise FileNotFoundError(
            f"load: {source} has no {TOKENIZER}, and transformers cannot make one from the "
            "tokenizer's other files."
        )
    return tokenizer.backend_tokenizer
