"""Which parameters move."""

from zojax.selection._blocks import Block as Block
from zojax.selection._blocks import Blocks as Blocks
from zojax.selection._blocks import find_blocks as find_blocks
