"""Names that options take, as types."""

from __future__ import annotations

from typing import Literal

ModelDtype = Literal["float32", "bfloat16", "float16"]
Implementation = Literal["zojax", "transformers"]
OptimizerName = Literal[
    "zo_adamu",
    "mezo",
    "zo_sgd_sign",
    "zo_sgd_momentum",
    "zo_sgd_conservative",
    "zo_sgd_blockwise",
    "zo_adam",
    "zo_adamm",
    "forward_gradient_sgd",
    "es",
    "adam",
    "sgd",
]
Bits = Literal["int8", "int4"]
ObjectiveName = Literal["loss", "accuracy", "f1"]
AdapterName = Literal["none", "lora", "prefix", "virtual_tokens", "head"]
NonFinite = Literal["stop", "skip"]
LogDtype = Literal["float32", "bfloat16"]
Parallel = Literal["data", "query"]
TextFormat = Literal["lines", "csv", "jsonl", "parquet"]
OutputFormat = Literal["tsv", "jsonl"]

# Those of the library's folders, whose imports wait for jax; a test compares them.
DirectionName = Literal["gaussian", "rademacher", "sphere", "low_rank"]
SlopeRuleName = Literal["sign", "clip", "rms", "spread", "ranks", "z_scores"]
LayoutName = Literal["tensor-parallel", "fully-sharded"]
