"""The parts of a run's configuration that say what is tuned, and by which settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zojax.lm.settings._names import AdapterName, DirectionName, SlopeRuleName


@dataclass(frozen=True)
class AdapterConfig:
    """The adapter to tune, if any; settings that are not given take the adapter's own default."""

    adapter: AdapterName = "none"
    """none tunes all parameters; the others add a few trainable parameters to a frozen model."""
    rank: int | None = None
    """Columns of each low-rank product (lora)."""
    alpha: float | None = None
    """α; each product is scaled by α / rank (lora)."""
    targets: tuple[str, ...] | None = None
    """Names of the dense modules that get a product; without them, queries and values (lora)."""
    length: int | None = None
    """Trainable positions (prefix, virtual_tokens)."""
    init: Literal["tokens", "random"] | None = None
    """Whether the initial values are embeddings of tokens or random (virtual_tokens)."""


@dataclass(frozen=True)
class HyperParameters:
    """The optimizer's settings; those that are not given take the optimizer's own default."""

    learning_rate: float | Literal["auto"] | None = None
    """Step size, at the start of the schedule; auto tries some, each for a few steps. With slopes
    over their size it is the change of a parameter in a step. Without it, steps of zo_adamu and
    mezo have length 1 at first, and ½ with --schedule constant."""
    schedule: Literal["constant", "linear", "cosine"] | None = None
    """The learning rate over the steps: constant, or decreasing to a tenth. Without it constant,
    but linear for zo_adamu and mezo where no learning rate is given."""
    weight_decay: float | None = None
    """Decay of matrices, multiplied by the learning rate; biases and norms do not decay."""
    eps: float | None = None
    """Perturbation scale, in parameter units (zeroth-order)."""
    evaluation: Literal["streamed", "copy", "in_place"] | None = None
    """How the loss is evaluated at perturbed parameters (zeroth-order)."""
    num_queries: int | None = None
    """Directions of a step (zeroth-order, but not zo_sgd_blockwise or es)."""
    population: int | None = None
    """Members whose losses or rewards a step compares, in pairs on either side (es)."""
    direction_rank: int | None = None
    """Rank of each matrix's perturbation (es)."""
    batched: bool | None = None
    """All members in one pass, which share each product with the weights, or one after the other,
    in the memory of one (es)."""
    direction: DirectionName | None = None
    """How directions are drawn (zeroth-order); random signs, rademacher, are the fastest."""
    difference: Literal["central", "forward", "centred"] | None = None
    """Each query takes 2 forward passes (central), 1 against a pass that all share (forward), or 1
    against the mean of all (centred); for optimizers with num_queries."""
    slope_rule: SlopeRuleName | Literal["none"] | None = None
    """What replaces or scales a step's slopes: their sign, clipping at 100, their running size
    (rms), their spread over the queries, or nothing (none), as in MeZO's paper; the losses' ranks
    (ranks) or distances from their mean (z_scores); for optimizers with num_queries, and es."""
    rounding: Literal["nearest", "stochastic", "compensated"] | None = None
    """How updates of 16-bit parameters are rounded: nearest loses small ones; stochastic, by chance
    and the default, and compensated, with 2 bytes more a parameter, do not."""
    subspace_rank: int | None = None
    """Tune this many coordinates, squared, of every matrix at a time, and not the matrix
    (zeroth-order): what an optimizer keeps is then of their size, and small updates of 16-bit
    parameters land."""
    subspace_refresh: int | None = None
    """Steps after which the coordinates change; without it, 50. For --subspace-rank."""
    anneal: Literal["figure", "equation"] | None = None
    """How the weights of the noise's parts anneal (zo_adamu)."""
    phases: tuple[float, float] | None = None
    """Where annealing starts and ends, as fractions of the steps (zo_adamu)."""
    signed_momentum: bool | None = None
    """Whether the history is multiplied by the slope's sign (zo_adamu)."""
    momentum: float | None = None
    """Heavy-ball momentum (sgd, zo_sgd_momentum)."""
    b1: float | None = None
    """Decay of the first moment (adam, zo_adam, zo_adamm)."""
    b2: float | None = None
    """Decay of the second moment (adam, zo_adam, zo_adamm)."""
    in_turn: bool | None = None
    """Evaluate each block after the updates of the earlier blocks (zo_sgd_blockwise)."""
