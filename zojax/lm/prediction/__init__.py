"""Predictions of a finished run: labels with their scores, or answers, for texts without labels."""

from zojax.lm.prediction._lines import OutputFormat as OutputFormat
from zojax.lm.prediction._lines import header as header
from zojax.lm.prediction._lines import line as line
from zojax.lm.prediction._read_texts import TextFormat as TextFormat
from zojax.lm.prediction._read_texts import TextRow as TextRow
from zojax.lm.prediction._read_texts import read_texts as read_texts
from zojax.lm.prediction._read_texts import text_format as text_format
from zojax.lm.prediction._tuned_run import Prediction as Prediction
from zojax.lm.prediction._tuned_run import Text as Text
from zojax.lm.prediction._tuned_run import TunedRun as TunedRun
from zojax.lm.prediction._tuned_run import load_run as load_run

__all__ = ["Prediction", "TextRow", "TunedRun", "load_run", "read_texts"]
