"""Chat templates as families of models have them, and tiny models with one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_models import write_tiny_model

# As in SmolLM2's tokenizer_config.json, but for the length of its system message.
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nhelp<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As in LLaMA 3's, which trims messages and writes no line break after them.
LLAMA = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
    "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim "
    "+ '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# As in Gemma's, which calls the assistant by another name and takes no system message.
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}"
    "{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + "
    "message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{'<start_of_turn>model\n'}}{% endif %}"
)
# As in Mistral's, which has no generation prompt and ends a turn with the end of sequence.
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}"
    "{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
# Roles in plain words: a line break is all that ends a turn.
PLAIN = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
# Leaves the thoughts of earlier answers out, as Qwen 3's does.
FORGETFUL = (
    "{% for m in messages %}{% set text = m.content if loop.last else m.content.split('</think>')"
    "[-1] %}<|im_start|>{{ m.role }}\n{{ text }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# What each writes after an answer.
ENDS = {
    CHATML: "<|im_end|>",
    LLAMA: "<|eot_id|>",
    GEMMA: "<end_of_turn>",
    MISTRAL: "</s>",
    PLAIN: "",
}
SPECIAL = (
    *("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eot_id|>", "<start_of_turn>", "<end_of_turn>"),
)


def chat(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    """A conversation whose messages are the user's and the assistant's in turn."""
    first = [] if system is None else [{"role": "system", "content": system}]
    roles = ("user", "assistant")
    return first + [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)]


def chat_tokenizer(template: str | None = CHATML) -> Any:
    """A byte-level tokenizer with the special tokens of all templates."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, trainers

    from zojax.lm.models import Tokenizer

    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", *SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(["user assistant a film. It was great"] * 9, trainer)
    special = dict(bos="<s>", eos="</s>", pad="<pad>")
    files = {} if template is None else {"chat_template.jinja": template.encode()}
    return Tokenizer(backend, special, template, files)


def write_chat_model(folder: Path, template: str | None = CHATML, **settings: Any) -> Path:
    """Write a random OPT of one layer whose tokenizer has a chat template."""
    sizes = dict(num_hidden_layers=1, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    sizes |= {"max_position_embeddings": 96, **settings}
    return write_tiny_model(folder, "opt", chat_tokenizer(template), **sizes)


def write_rows(path: Path, rows: Sequence[Any]) -> Path:
    """Write JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
