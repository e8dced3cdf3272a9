"""The process that a reward runs in: reads requests and answers them, a line of JSON each.

It is started by its path, and imports nothing but the standard library and what the reward itself
imports: so it is there in a moment, and holds no second copy of anything.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import io
import json
import math
import numbers
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MOST = 200  # characters of a message


def main() -> None:
    """Load a reward, say how that went, and answer requests until there are no more."""
    answers, requests = _private_streams()
    request = json.loads(next(requests))
    try:
        reward = load(request)
        batched = takes_lists(reward)
    except BaseException as error:  # a user's file may raise anything, and may exit
        _answer(answers, {"error": _message(error)})
        return
    _answer(answers, {"batched": batched})
    # Read in a thread, so that the end of the program that asks ends this one, whatever it does.
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, waiting), daemon=True).start()
    while True:
        request = json.loads(waiting.get())
        scores = score_here(reward, batched, request["completions"], request["rows"])
        _answer(answers, {"scores": scores})


def load(source: dict[str, Any]) -> Callable[..., Any]:
    """Return the reward: a function of a file or of a module, or what one makes of arguments."""
    here = str(Path(__file__).parent)
    sys.path[:] = [place for place in sys.path if place != here]
    if source["path"]:
        path = Path(source["path"])
        sys.path.insert(0, str(path.parent))  # the file may import its neighbours
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    else:
        sys.path.append(source["root"])
        module = importlib.import_module(source["module"])
    found = getattr(module, source["name"])
    return found if source["arguments"] is None else found(*source["arguments"])


def takes_lists(reward: Callable[..., Any]) -> bool:
    """Whether a reward takes all completions at once: its first parameter is ``completions``."""
    return next(iter(inspect.signature(reward).parameters), "") == "completions"


def score_here(
    reward: Callable[..., Any],
    batched: bool,
    completions: list[str],
    rows: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Call a reward in this process: for each completion its ``score``, or the ``error``."""
    if batched:
        return _batch(reward, completions, rows)
    return [_one(reward, text, row) for text, row in zip(completions, rows, strict=True)]


def _one(reward: Callable[..., Any], completion: str, row: dict[str, Any]) -> dict[str, Any]:
    try:
        return _checked(reward(completion, row))
    except (Exception, SystemExit) as error:
        return {"error": _message(error)}


def _batch(
    reward: Callable[..., Any], completions: list[str], rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    count = len(completions)
    try:
        found = reward(completions, rows)
        if not hasattr(found, "__len__") or isinstance(found, str | bytes | dict):
            wrong = f"returned {_shown(found)}, and must return a list of {count} numbers"
            return [{"error": wrong}] * count
        values = [*found]
    except (Exception, SystemExit) as error:
        return [{"error": _message(error)}] * count
    if len(values) != count:
        wrong = f"returned {len(values)} numbers, and must return {count}, one for each completion"
        return [{"error": wrong}] * count
    return [_checked(value) for value in values]


def _checked(value: Any) -> dict[str, Any]:
    """A score, or what is wrong with what a reward has returned."""
    is_number = isinstance(value, numbers.Real) or getattr(value, "shape", None) == ()
    if not is_number:
        return {"error": f"returned {_shown(value)}, and must return a number"}
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        return {"error": f"returned {_shown(value)}, and must return a number ({error})"}
    if not math.isfinite(number):
        return {"error": f"returned {number}, and must return a finite number"}
    return {"score": number}


def _message(error: BaseException) -> str:
    line = ""
    trace = error.__traceback__
    while trace is not None:  # the last line of the user's own file says most
        path = Path(trace.tb_frame.f_code.co_filename)
        if path != Path(__file__) and path.is_file():
            line = f" ({path.name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' if text else ''}{text[:_MOST]}{line}"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # the value's own code
        text = "something"
    return f"{type(value).__name__} {text if len(text) <= _MOST else text[:_MOST] + '…'}"


def _private_streams() -> tuple[io.TextIOWrapper, io.TextIOWrapper]:
    """Where answers go and requests come from, which is not where the reward prints or reads."""
    answers, requests = os.dup(1), os.dup(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    return os.fdopen(answers, "w", encoding="utf-8"), os.fdopen(requests, encoding="utf-8")


def _read(requests: io.TextIOWrapper, waiting: queue.SimpleQueue[str]) -> None:
    for line in requests:
        waiting.put(line)
    os._exit(0)


def _answer(answers: io.TextIOWrapper, content: dict[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
