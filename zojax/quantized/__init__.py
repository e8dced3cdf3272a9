"""Weights of few bits, which never move, under what does: a subspace, an adapter, their scales."""

from zojax._quantized import QuantizedArray as QuantizedArray
from zojax._quantized import any_quantized as any_quantized
from zojax._quantized import is_quantized as is_quantized
from zojax.quantized._quantize import BITS as BITS
from zojax.quantized._quantize import Bits as Bits
from zojax.quantized._quantize import dequantize as dequantize
from zojax.quantized._quantize import from_qwix as from_qwix
from zojax.quantized._quantize import quantize as quantize
from zojax.quantized._scales import scales as scales
from zojax.streaming import dequantizing as dequantizing
