"""What a finished run says: predictions for texts, and figures of each class for labelled rows."""

from zojax.lm.prediction._class_figures import ClassFigures as ClassFigures
from zojax.lm.prediction._class_figures import as_text as as_text
from zojax.lm.prediction._class_figures import class_figures as class_figures
from zojax.lm.prediction._class_reward import class_reward as class_reward
from zojax.lm.prediction._continuation import Prompt as Prompt
from zojax.lm.prediction._files import draw_confusion as draw_confusion
from zojax.lm.prediction._files import new_folder as new_folder
from zojax.lm.prediction._files import write_evaluations as write_evaluations
from zojax.lm.prediction._lines import header as header
from zojax.lm.prediction._lines import line as line
from zojax.lm.prediction._read_prompts import PromptRow as PromptRow
from zojax.lm.prediction._read_prompts import read_prompts as read_prompts
from zojax.lm.prediction._read_texts import TextRow as TextRow
from zojax.lm.prediction._read_texts import read_texts as read_texts
from zojax.lm.prediction._read_texts import text_format as text_format
from zojax.lm.prediction._tuned_run import Prediction as Prediction
from zojax.lm.prediction._tuned_run import Text as Text
from zojax.lm.prediction._tuned_run import TunedRun as TunedRun
from zojax.lm.prediction._tuned_run import load_run as load_run

__all__ = [
    "ClassFigures",
    "Prediction",
    "PromptRow",
    "TextRow",
    "TunedRun",
    "class_figures",
    "class_reward",
    "draw_confusion",
    "load_run",
    "read_prompts",
    "read_texts",
    "write_evaluations",
]
