"""Tables that are put together of several results."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from _make.notebooks import notebooks
from _make.results import RESULTS, ROOT, read, row, runs, shown, table

PAGES = ("README.md", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").glob("**/*.md"))))


def ways() -> list[str]:
    """What each way brings: the main job, SmolLM2, and the memory of a step."""
    main, best = "main job, test", "best step on dev"
    nine, subspace = "nine_optimizers.json", "subspace.json"
    adam = row(nine, "adam")
    constant = row("main_job.json", "label words, a constant rate")
    probe = row("other_ways.json", "main job, linear probe")
    adam_lora = row("other_ways.json", "main job, Adam, LoRA")
    brings = "test, best on dev"
    mezo = row(subspace, "opt-mini, words, mezo")
    inside = row(subspace, "opt-mini, words, subspace(zo_adamu)")
    small_probe = row("other_ways.json", "SmolLM2-135M, linear probe")
    lora = row("memory_other_ways.json", "opt-13b, adam")["memory, GB"]
    rows: list[tuple[str, Any, Any, dict[str, Any] | None, float | None]] = [
        ("as it is (zero-shot)", row(nine, "none")["last step"], 0, _of_smollm2("zero-shot"), None),
        (
            "a threshold between the label words",
            None,
            None,
            {**_of_smollm2("zero-shot, threshold"), "forward passes": None},
            _memory("inference"),
        ),
        (
            "a linear probe",
            probe[brings],
            probe["forward passes"],
            {"test, best step on dev": small_probe[brings], **small_probe},
            _memory("inference"),
        ),
        ("`mezo`", mezo[best], constant["forward passes"], _of_smollm2("MeZO"), _memory("mezo")),
        (
            "`zo_adamu`",
            constant[best],
            constant["forward passes"],
            _of_smollm2("ZO-AdaMU"),
            _memory("zo_adamu"),
        ),
        ("`subspace(zo_adamu)`", inside[best], constant["forward passes"], None, None),
        (
            "Adam with LoRA",
            adam_lora[brings],
            adam_lora["forward passes"],
            _of_smollm2("Adam, LoRA"),
            lora,
        ),
        ("Adam, all weights", adam[best], 3 * adam["steps"], None, _memory("adam")),
    ]
    return table(
        [
            {
                "way": way,
                main: accuracy,
                "passes": passes,
                "SmolLM2, test": small and small["test, best step on dev"],
                "its passes": small and small["forward passes"],
                "a step of OPT-13B": None if size is None else f"{size:.1f} GB",
            }
            for way, accuracy, passes, small, size in rows
        ]
    )


def _memory(method: str) -> float:
    return row("memory_by_model.json", f"opt-13b, {method},")["memory, GB"]


def _of_smollm2(method: str) -> dict[str, Any]:
    """Of the runs of a method the one that came highest on dev."""
    found = [r for r in read("smollm2.json")["rows"] if r["method"] == method]
    best = max(found, key=lambda r: max(map(float, str(r["dev over the steps"]).split(","))))
    passes = 3 if method.startswith("Adam") else 2
    return {**best, "forward passes": passes * best["steps"]}


def rates_tried() -> list[str]:
    """Rates of MeZO on SmolLM2 after a hundred steps: from too small to too large."""
    mezo = [run for run in runs("smollm2_runs.jsonl") if run["method"] == "MeZO"]
    return table(
        [
            {
                "rate": f"{run['learning_rate']:.0e}",
                "dev, percent": f"{100 * run['dev']:.1f}",
                "dev loss": f"{run['dev_loss']:.3g}",
            }
            for run in sorted(mezo, key=lambda run: run["learning_rate"])
            if run["steps"] == 100
        ]
    )


def costs() -> list[str]:
    """What a step of the methods to begin with takes."""
    names = (
        "mezo",
        "mezo, num_queries=4",
        "subspace(zo_adamu), rank 16",
        "zo_adamu",
        "zo_adam",
    )
    beyond = "beyond a forward pass, in parameters"
    methods = {r["method"]: r for r in read("methods.json")["rows"]}
    return table(
        [
            {key: methods[name][key] for key in ("method", "forward passes", beyond)}
            for name in names
        ]
    )


def _rewarded() -> dict[str, Any]:
    """A run of SmolLM2 that was rewarded for JSON."""
    wanted = {"model": "smollm2-135m", "reward": "JSON", "method": "es", "seed": 0}
    [run] = [run for run in runs("rewards_runs.jsonl") if wanted.items() <= run.items()]
    return run


def reward_texts() -> list[str]:
    """What it wrote to prompts that it was not tuned on, before and after."""
    run = _rewarded()
    texts = zip(run["prompts"], run["before"], run["after"], strict=True)
    return table([{"prompt": p, "before": _as_code(b), "after": _as_code(a)} for p, b, a in texts])


def _as_code(text: str) -> str:
    """A text in Markdown in one line, its own backticks as they are."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return f"{fence}{space}{' '.join(text.split())}{space}{fence}"


def reward_before() -> str:
    """The reward of fresh prompts before that."""
    return f"{_rewarded()['start']:.2f}"


def reward_after() -> str:
    """The same after it."""
    return f"{_rewarded()['test']:.2f}"


def index() -> list[str]:
    """Every result: its file, the command that made it, and the page that shows it."""
    rows: list[dict[str, Any]] = []
    for path in sorted(RESULTS.glob("*.json")):
        result = read(path.name)
        pages = [p for p in PAGES if f"<!-- results: {path.name} -->" in _text(p)]
        rows.append(
            {
                "result": result["title"],
                "file": f"`{path.name}`",
                "made by": f"`{result['command']}`",
                "shown in": ", ".join(_link(p) for p in pages if p != "docs/results.md") or "below",
            }
        )
    return table(rows)


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def _link(page: str) -> str:
    title = next(line for line in _text(page).splitlines() if line.startswith("# "))
    return f"[{title.removeprefix('# ')}]({page.removeprefix('docs/')})"


def unshown() -> list[str]:
    """The results that no other page shows."""
    others = "".join(_text(page) for page in PAGES if page != "docs/results.md")
    lines: list[str] = []
    for path in sorted(RESULTS.glob("*.json")):
        if f"<!-- results: {path.name} -->" not in others:
            lines += [*shown(path.name), ""]
    return lines[:-1]


def minutes() -> str:
    """How long the main job took on the machine that measured it, in whole minutes."""
    seconds = [run["seconds"] for run in runs("main_job_runs.jsonl")]
    return f"{round(min(seconds) / 60)} to {round(max(seconds) / 60)}"


def times_of_adam() -> str:
    """Memory of Adam with all weights over that of mezo, at the longest rows that were measured."""
    rows = read("memory_by_length.json")["rows"]
    longest = {r["method"]: r["memory, GB"] for r in rows if r["length"] == rows[-1]["length"]}
    return f"{longest['adam'] / longest['mezo']:.0f}"


TABLES: dict[str, Callable[[], list[str]]] = {
    "ways": ways,
    "rates tried": rates_tried,
    "costs": costs,
    "reward texts": reward_texts,
    "index of results": index,
    "other results": unshown,
    "notebooks": notebooks,
}


def reward_steps() -> str:
    """How many steps that took."""
    return str(_rewarded()["steps"])


NUMBERS: dict[str, Callable[[], str]] = {
    "steps of the reward": reward_steps,
    "the reward before": reward_before,
    "the reward after": reward_after,
    "minutes of the main job": minutes,
    "memory of Adam over mezo at 2048 tokens": times_of_adam,
}
