"""Rewards: functions of what a model writes, run in processes of their own."""

from zojax.lm.rewards._objective import RewardObjective as RewardObjective
from zojax.lm.rewards._objective import reward_objective as reward_objective
from zojax.lm.rewards._pool import RewardError as RewardError
from zojax.lm.rewards._pool import RewardPool as RewardPool
from zojax.lm.rewards._pool import Score as Score
from zojax.lm.rewards._rows import Prompt as Prompt
from zojax.lm.rewards._rows import prompt_kind as prompt_kind
from zojax.lm.rewards._rows import read_prompts_of as read_prompts_of
from zojax.lm.rewards._scorer import Failure as Failure
from zojax.lm.rewards._scorer import Reward as Reward
from zojax.lm.rewards._scorer import RewardRow as RewardRow
from zojax.lm.rewards._scorer import Scorer as Scorer
from zojax.lm.rewards._set import PromptBatch as PromptBatch
from zojax.lm.rewards._set import RewardSet as RewardSet
from zojax.lm.rewards._source import Source as Source
from zojax.lm.rewards._source import read_reward as read_reward
from zojax.lm.rewards._statistics import RewardFigures as RewardFigures
from zojax.lm.rewards._statistics import StepRewards as StepRewards
from zojax.lm.rewards._statistics import figures_of as figures_of
from zojax.lm.rewards._statistics import mean_figures as mean_figures
from zojax.lm.rewards._task import RewardTask as RewardTask
from zojax.lm.rewards._task import Writing as Writing
from zojax.lm.rewards._task import completions_of as completions_of

__all__ = [
    "RewardError",
    "RewardFigures",
    "RewardObjective",
    "RewardPool",
    "Scorer",
    "read_reward",
    "reward_objective",
]
