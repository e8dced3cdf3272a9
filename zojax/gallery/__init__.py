"""Images of optimizers on test functions of two parameters: ``zojax gallery``.

Every optimizer gets the same budget and the best learning rate of the same grid::

    gallery = zojax.gallery.run(["beale"], ["adam", "mezo"])
    gallery.rows()
    zojax.gallery.draw(gallery, Path("pictures"))   # needs pip install "zojax[demo]"

``FUNCTIONS`` and ``OPTIMIZERS`` are the functions and optimizers by name, ``PAPERS`` the names of
the ZO-AdaMU paper's four optimizers, and ``LEARNING_RATES`` the grid: four rates in each decade
from 1e-6 to 100. All zeroth-order optimizers use the perturbation scale ``EPS`` = 1e-3, which the
paper uses for full fine-tuning; optax's optimizers get the true gradient. All other settings are
defaults, except ZO-AdaMU's phases, which are the paper's, scaled to the length of the run.
"""

from zojax.gallery._folder import check_folder as check_folder
from zojax.gallery._folder import draw as draw
from zojax.gallery._folder import write_results as write_results
from zojax.gallery._functions import FUNCTIONS as FUNCTIONS
from zojax.gallery._functions import Function as Function
from zojax.gallery._optimizers import EPS as EPS
from zojax.gallery._optimizers import OPTIMIZERS as OPTIMIZERS
from zojax.gallery._optimizers import Optimizer as Optimizer
from zojax.gallery._run import LEARNING_RATES as LEARNING_RATES
from zojax.gallery._run import PAPERS as PAPERS
from zojax.gallery._run import Gallery as Gallery
from zojax.gallery._run import Run as Run
from zojax.gallery._run import run as run

__all__ = [
    "EPS",
    "FUNCTIONS",
    "LEARNING_RATES",
    "OPTIMIZERS",
    "PAPERS",
    "Function",
    "Gallery",
    "Optimizer",
    "Run",
    "check_folder",
    "draw",
    "run",
    "write_results",
]
