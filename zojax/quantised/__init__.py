"""Weights of few bits, which never move, under what does: a subspace, an adapter, their scales."""

from zojax._quantised import QuantisedArray as QuantisedArray
from zojax._quantised import any_quantised as any_quantised
from zojax._quantised import is_quantised as is_quantised
from zojax.quantised._quantise import BITS as BITS
from zojax.quantised._quantise import Bits as Bits
from zojax.quantised._quantise import dequantise as dequantise
from zojax.quantised._quantise import from_qwix as from_qwix
from zojax.quantised._quantise import quantise as quantise
from zojax.quantised._scales import scales as scales
from zojax.streaming import dequantising as dequantising
