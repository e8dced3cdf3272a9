"""Selects the objective of a task by its kind."""

from __future__ import annotations

from zojax.lm.models import LanguageModel
from zojax.lm.tasks._classification import Classification
from zojax.lm.tasks._generation import Generation
from zojax.lm.tasks._multiple_choice import MultipleChoice
from zojax.lm.tasks._tokens import PromptTokens

Objective = Classification | MultipleChoice | Generation
_OBJECTIVES: dict[str, type[Objective]] = {
    "classification": Classification,
    "multiple_choice": MultipleChoice,
    "generation": Generation,
}


def objective(model: LanguageModel, tokens: PromptTokens) -> Objective:
    """Return a task's objective, with ``loss(params, batch)`` and ``totals(params, batch)``."""
    return _OBJECTIVES[tokens.task.kind](model, tokens)
