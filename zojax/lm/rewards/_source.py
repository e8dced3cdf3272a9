"""Which reward is asked for: a function of the user's own file, or one that has a name."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

_FUNCTIONS = Path(__file__).with_name("_functions.py")
_ROOT = Path(__file__).parents[3]
_ANSWER = "answer"


@dataclass(frozen=True)
class Source:
    """A reward, as a process loads it.

    Attributes:
      name: The function.
      path: Its file; None for one of a module.
      module: Its module; None for one of a file.
      arguments: What is given to the function, which then makes the reward; None if it is one.
      columns: The columns that every row must have.
      processes: Most processes that it may run in; None for any number.
      text: How it is asked for, with absolute paths.
    """

    name: str
    path: Path | None = None
    module: str | None = None
    arguments: tuple[Any, ...] | None = None
    columns: tuple[str, ...] = ()
    processes: int | None = None
    text: str = ""

    def as_json(self) -> dict[str, Any]:
        """What a process is told."""
        return {
            "name": self.name,
            "path": None if self.path is None else str(self.path),
            "module": self.module,
            "root": str(_ROOT),
            "arguments": self.arguments,
        }


def read_reward(where: str, text: str) -> Source:
    """Find the reward that a text names, and check all that can be checked without running it.

    Args:
      where: The beginning of the message of an error.
      text: ``FILE.py:function``, or the name of a reward of zojax with what it needs after a colon.

    Raises:
      FileNotFoundError: There is no such file.
      ImportError: jsonschema is not installed.
      ValueError: There is no such function or name, or what it needs is missing or wrong.
    """
    name, colon, rest = text.partition(":")
    if name in _NAMED:
        return _NAMED[name](where, text, rest if colon else None)
    file, _, function = text.rpartition(":")
    if text.endswith(".py"):
        file, function = text, ""
    if not file.endswith(".py"):
        near = difflib.get_close_matches(name, [*_NAMED], 1, 0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"{where}: reward must be FILE.py:function, or one of {', '.join(USES.values())}, got "
            f"{text!r}.{hint}"
        )
    return _of_file(where, Path(file).expanduser().absolute(), function)


def _of_file(where: str, path: Path, function: str) -> Source:
    if not path.is_file():
        raise FileNotFoundError(f"{where}: reward must be in a file that exists, got {path}.")
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"{where}: reward must be in a Python file, got {path} ({error})."
        ) from error
    # A name that is bound in another way, by an import say, is found when the file is run.
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    others = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    if function in {*functions, *others}:
        return Source(function, path, text=f"{path}:{function}")
    near = difflib.get_close_matches(function, functions, 1, 0.5) or functions[:1]
    hint = f" Did you mean {path.name}:{near[0]}?" if near else " It has no functions."
    got = f"{path.name}:{function}" if function else f"{path.name} alone"
    raise ValueError(f"{where}: reward must name a function of {path}, got {got}.{hint}")


def _needed(where: str, text: str, rest: str | None) -> str:
    if not rest:
        name = text.partition(":")[0]
        raise ValueError(f"{where}: reward {name} must be given as {USES[name]}, got {text!r}.")
    return rest


def _exact(where: str, text: str, rest: str | None) -> Source:
    column = _ANSWER if rest is None else _needed(where, text, rest)
    return Source(
        "exact", _FUNCTIONS, arguments=(column,), columns=(column,), text=f"exact:{column}"
    )


def _regex(where: str, text: str, rest: str | None) -> Source:
    pattern = _needed(where, text, rest)
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"{where}: reward regex must be a regular expression, got {pattern!r} ({error})."
        ) from error
    return Source("regex", _FUNCTIONS, arguments=(pattern,), text=text)


def _words(where: str, text: str, rest: str | None) -> Source:
    number = _needed(where, text, rest)
    if not number.isdecimal() or not 1 <= int(number) < 1 << 31:
        raise ValueError(f"{where}: reward words must be a number of words >= 1, got {number!r}.")
    return Source("words", _FUNCTIONS, arguments=(int(number),), text=text)


def _json_schema(where: str, text: str, rest: str | None) -> Source:
    path = Path(_needed(where, text, rest)).expanduser().absolute()
    if not path.is_file():
        raise FileNotFoundError(f"{where}: reward json_schema must be a file, got {path}.")
    if util.find_spec("jsonschema") is None:
        raise ImportError(
            f'{where}: reward json_schema needs jsonschema: pip install "zojax[rewards]".'
        )
    _check_schema(where, path)
    return Source("json_schema", _FUNCTIONS, arguments=(str(path),), text=f"json_schema:{path}")


def _check_schema(where: str, path: Path) -> None:
    import json

    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
        validator_for(schema).check_schema(schema)
    except (ValueError, RecursionError, SchemaError, AttributeError, TypeError) as error:
        said = str(error).splitlines()[0] if str(error) else repr(error)
        raise ValueError(
            f"{where}: reward json_schema must be a JSON schema, got {path} ({said})."
        ) from error


def _classifier(where: str, text: str, rest: str | None) -> Source:
    run, label = _needed(where, text, rest), None
    if not Path(run).expanduser().is_dir():
        run, _, label = run.rpartition(":")
    folder = Path(run).expanduser().absolute()
    if not run or not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{where}: reward classifier must be the folder of a run, as finetune printed it, got "
            f"{rest!r}."
        )
    # By its name alone: that module is built upon this one.
    return Source(
        "class_reward",
        module="zojax.lm.prediction",
        arguments=(str(folder), label),
        processes=1,
        text=f"classifier:{folder}" + ("" if label is None else f":{label}"),
    )


_NAMED: dict[str, Callable[[str, str, str | None], Source]] = {
    "exact": _exact,
    "regex": _regex,
    "words": _words,
    "json_schema": _json_schema,
    "classifier": _classifier,
}
USES = {
    "exact": "exact:COLUMN",
    "regex": "regex:PATTERN",
    "words": "words:NUMBER",
    "json_schema": "json_schema:FILE",
    "classifier": "classifier:RUN:LABEL",
}
"""How each reward that has a name is asked for."""

NAMES: Sequence[str] = tuple(_NAMED)
