"""Rewards that have a name. They run in the processes of :mod:`zojax.lm.rewards._worker`.

Each makes a ``reward(completion, row)``, and imports nothing but the standard library before it is
called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

Reward = Callable[[str, dict[str, Any]], float]


def exact(column: str) -> Reward:
    """1 where the completion is a column's text, but for white space around it; otherwise 0."""
    return lambda completion, row: float(completion.strip() == str(row[column]).strip())


def regex(pattern: str) -> Reward:
    """1 where a regular expression is found in the completion, otherwise 0."""
    compiled = re.compile(pattern)
    return lambda completion, row: float(compiled.search(completion) is not None)  # noqa: ARG005


def words(number: int) -> Reward:
    """The ratio of the number of words to the number asked for, the smaller over the larger."""

    def reward(completion: str, row: dict[str, Any]) -> float:
        del row
        count = len(completion.split())
        return min(count, number) / max(count, number)

    return reward


def json_schema(path: str) -> Reward:
    """1 for JSON that fits a schema, ½ for other JSON, 0 for what is none."""
    from jsonschema.validators import validator_for

    schema = json.loads(Path(path).read_text(encoding="utf-8"))
    validator = validator_for(schema)(schema)

    def reward(completion: str, row: dict[str, Any]) -> float:
        del row
        try:
            value = json.loads(completion)
        except (ValueError, RecursionError):
            return 0.0
        return 1.0 if validator.is_valid(value) else 0.5

    return reward
