"""Loops whose compiler does not print how often they run."""

from __future__ import annotations

import pytest

from zojax.planning import _hlo

pytestmark = pytest.mark.quick

TEXT = """HloModule jit_step

%body (p: (f32[4], s32[])) -> (f32[4], s32[]) {
  %p = (f32[4]{0}, s32[]) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=1
  %x = f32[4]{0} get-tuple-element(%p), index=0
  %by = s32[]{:T(128)} constant(STRIDE)
  %next = s32[]{:T(128)} add(%i, %by), metadata={op_name="a (b)"}
  ROOT %both = (f32[4]{0}, s32[]) tuple(%x, %next)
}

%test (q: (f32[4], s32[])) -> pred[] {
  %q = (f32[4]{0}, s32[]) parameter(0)
  %n = s32[]{:T(128)} constant(END)
  %j = s32[]{:T(128)} get-tuple-element(%q), index=1
  ROOT %less = pred[] compare(%j, %n), direction=LT
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %x.1 = f32[4]{0} parameter(0)
  %zero = s32[]{:T(128)} constant(START)
  %copy.1 = s32[]{:T(128)} copy(%zero)
  %start = (f32[4]{0}, s32[]) tuple(%x.1, %copy.1)
  %loop = (f32[4]{0}, s32[]) while(%start), condition=%test, body=%body
  ROOT %y = f32[4]{0} get-tuple-element(%loop), index=0
}
"""


def trips(start: int = 0, end: int = 3, stride: int = 1, **changes: str) -> int | None:
    text = TEXT.replace("START", str(start)).replace("END", str(end)).replace("STRIDE", str(stride))
    for old, new in changes.items():
        before = {"direction": "direction=LT", "copy": "copy(%zero)", "add": "add(%i, %by)"}[old]
        assert before in text
        text = text.replace(before, new)
    [loop] = _hlo.parse(text).loops()
    return loop.trips


def test_a_loop_that_counts_by_constants():
    assert trips() == 3
    assert trips(start=1, end=8, stride=3) == 3
    assert trips(start=5, end=5) == 0
    assert trips(add="add(%by, %i)") == 3
    runs = dict(
        _hlo.parse(TEXT.replace("START", "0").replace("END", "4").replace("STRIDE", "1")).runs()
    )
    assert runs["body"] == 4


def test_other_loops_are_not_known():
    assert trips(direction="direction=GT") is None
    assert trips(stride=0) is None
    assert trips(copy="negate(%zero)") is None
    assert trips(add="multiply(%i, %by)") is None
    assert trips(add="add(%by, %by)") is None
