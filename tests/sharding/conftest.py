"""A small OPT to shard."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from opt_config import write_config

from zojax.lm import models


class Problem(NamedTuple):
    """A model of random weights, and a batch, in the host's memory."""

    params: Any
    tokens: np.ndarray
    loss: Any  # (params, tokens) -> float32 []


@pytest.fixture(scope="session")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """An OPT of one layer, no shape of which is another's part or a batch's."""
    config = write_config(
        tmp_path_factory.mktemp("config"),
        num_hidden_layers=1,
        num_attention_heads=8,
        vocab_size=520,
    )
    work = models.workload(config, batch=8, length=12)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: rng.normal(0.0, 0.1, leaf.shape).astype(np.float32), work.params
    )
    return Problem(params, rng.integers(0, 512, (8, 12)).astype(np.int32), work.loss)
