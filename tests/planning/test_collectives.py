"""Communication, read from a program's text."""

import pytest

from zojax.planning import Collective, _hlo
from zojax.planning._collectives import collectives

pytestmark = pytest.mark.quick

PROGRAM = """
ENTRY %main (x: f32[8]) -> f32[8] {{
  %x = f32[8]{{0}} parameter(0)
  ROOT %y = {line}
}}
"""


@pytest.mark.parametrize(
    ("line", "kind", "size", "sent"),
    [
        ("f32[8]{0} all-reduce(%x), replica_groups={{0,1,2,3}}", "all-reduce", 32, 48),
        ("f32[8]{0} all-reduce-start(%x), replica_groups=[2,4]<=[8]", "all-reduce", 32, 48),
        (
            "(f32[8]{0}, f32[32]{0}) all-gather-start(%x), "
            "replica_groups=mesh['a'=2,'b'=4] {'b'}, dimensions={0}",
            "all-gather",
            128,
            96,
        ),
        (
            "((f32[8]{0}), f32[2]{0}) reduce-scatter-start(%x), "
            "replica_groups=mesh['a'=8], device_ids=([2]) {'a':(1)4}, dimensions={0}",
            "reduce-scatter",
            8,
            24,
        ),
        ("f32[8]{0} all-to-all(%x), replica_groups={{0,1},{2,3}}", "all-to-all", 32, 16),
        (
            "(f32[8]{0}, f32[8]{0}, u32[], u32[]) collective-permute-start(%x), "
            "source_target_pairs={{0,1}}",
            "collective-permute",
            32,
            32,
        ),
    ],
)
def test_bytes_of_results_and_bytes_sent(line, kind, size, sent):
    found, bytes_sent = collectives(_hlo.parse(PROGRAM.format(line=line)))
    assert found == {kind: Collective(1, size)}
    assert bytes_sent == sent
