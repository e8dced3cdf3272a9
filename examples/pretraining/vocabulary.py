"""The byte-level BPE vocabulary that both models share, but for their special tokens."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pretraining.corpus import Corpus, rotten_tomatoes_style

VOCAB_SIZE = 10_240
PAD_ID, END_ID = 1, 2  # <pad> and </s>, in OPT as in RoBERTa


def train_bpe(corpus: Corpus, special_tokens: Sequence[str]) -> Tokenizer:
    """Train the vocabulary; the special tokens take its first ids."""
    reviews = [review.text for review in corpus.reviews[:8000]]
    texts = reviews + [rotten_tomatoes_style(text) for text in reviews[:4000]]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *corpus.news, *corpus.sentences], trainer)
    return tokenizer


def check_label_words(tokenizer: PreTrainedTokenizerFast) -> None:
    """Check that the demo's label words are one token each, also after the prompt."""
    for word in (" great", " terrible", " good", " bad"):
        (token,) = tokenizer(word, add_special_tokens=False).input_ids
        prompted = tokenizer("it works . It was" + word, add_special_tokens=False).input_ids
        if prompted[-1] != token:
            raise ValueError(f"the tokenizer joins {word!r} with the prompt")
