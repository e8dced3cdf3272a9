"""Engines: what writes completions under many adapters at once, in this process or on a server."""

from zojax.lm.engines._as_lora import as_lora as as_lora
from zojax.lm.engines._engine import Completions as Completions
from zojax.lm.engines._engine import Decoding as Decoding
from zojax.lm.engines._engine import Engine as Engine
from zojax.lm.engines._http import EngineError as EngineError
from zojax.lm.engines._members import written as written
from zojax.lm.engines._server import ServerEngine as ServerEngine
from zojax.lm.engines._step import EngineStep as EngineStep
from zojax.lm.engines._step import engine_step as engine_step
from zojax.lm.engines._transformers import TransformersEngine as TransformersEngine
from zojax.lm.engines._zojax import ZojaxEngine as ZojaxEngine

__all__ = [
    "Completions",
    "Decoding",
    "Engine",
    "EngineError",
    "EngineStep",
    "ServerEngine",
    "TransformersEngine",
    "ZojaxEngine",
    "as_lora",
    "engine_step",
    "written",
]
