"""Which parameters move."""

from zojax.selection._blocks import Block as Block
from zojax.selection._blocks import Blocks as Blocks
from zojax.selection._blocks import check_blocks as check_blocks
from zojax.selection._blocks import find_blocks as find_blocks
from zojax.selection._parts import part as part
from zojax.selection._parts import whole as whole
from zojax.selection._select import select as select
from zojax.selection._where import Where as Where
from zojax.selection._where import selected as selected
