"""Which parameters move, and in which coordinates."""

from zojax.coordinates._blocks import Block as Block
from zojax.coordinates._blocks import Blocks as Blocks
from zojax.coordinates._blocks import check_blocks as check_blocks
from zojax.coordinates._blocks import find_blocks as find_blocks
from zojax.coordinates._fold import fold as fold
from zojax.coordinates._fold import folded as folded
from zojax.coordinates._parts import merged as merged
from zojax.coordinates._parts import part as part
from zojax.coordinates._paths import slash_paths as slash_paths
from zojax.coordinates._select import select as select
from zojax.coordinates._subspace import subspace as subspace
from zojax.coordinates._subspace_plan import MatrixOf as MatrixOf
from zojax.coordinates._subspace_plan import stacked as stacked
from zojax.coordinates._subspace_state import SubspaceState as SubspaceState
from zojax.coordinates._subspace_state import subspace_states as subspace_states
from zojax.coordinates._where import Where as Where
from zojax.coordinates._where import selected as selected
