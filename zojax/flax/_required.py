"""The package that this folder is about, which zojax itself does not need."""

from importlib.util import find_spec

if find_spec("flax") is None:
    raise ImportError('zojax.flax: it needs flax: pip install "zojax[hf]".')
