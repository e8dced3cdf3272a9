"""How the random direction z is drawn."""

from zojax.directions._alone import alone as alone
from zojax.directions._base import Direction as Direction
from zojax.directions._base import ElementwiseDirection as ElementwiseDirection
from zojax.directions._drawn import drawn as drawn
from zojax.directions._drawn import moved as moved
from zojax.directions._draws import Draws as Draws
from zojax.directions._gaussian import Gaussian as Gaussian
from zojax.directions._low_rank import LowRank as LowRank
from zojax.directions._low_rank import LowRankNoise as LowRankNoise
from zojax.directions._momentum import MomentumNoise as MomentumNoise
from zojax.directions._noise import LeafNoise as LeafNoise
from zojax.directions._noise import Noise as Noise
from zojax.directions._noise import is_vector as is_vector
from zojax.directions._rademacher import Rademacher as Rademacher
from zojax.directions._rounding import rounded as rounded
from zojax.directions._sampler import Sampler as Sampler
from zojax.directions._scaled import ScaledNoise as ScaledNoise
from zojax.directions._sparse import SparseDraws as SparseDraws
from zojax.directions._sphere import Sphere as Sphere
