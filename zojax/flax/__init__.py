"""Steps of flax's own training states and modules, and states as bytes."""

from zojax.flax import _required as _required  # before what imports flax

# isort: split
from zojax.flax._bytes import from_bytes as from_bytes
from zojax.flax._bytes import to_bytes as to_bytes
from zojax.flax._module import update_module as update_module
from zojax.flax._train_state import update_train_state as update_train_state
