"""Programs read as text."""

import pytest

from zojax.planning import _hlo

pytestmark = pytest.mark.quick

TEXT = """HloModule jit_step, is_scheduled=true

%body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %p = (s32[], f32[4]{0}) parameter(0)
  %inner = (s32[], f32[4]{0}) while(%p), condition=%test, body=%innermost, BC5
  ROOT %tuple.1 = (s32[], f32[4]{0}) tuple(%inner)
}

%innermost (q: (s32[], f32[4])) -> (s32[], f32[4]) {
  ROOT %q = (s32[], f32[4]{0:T(256)}) parameter(0)
}

%test (r: (s32[], f32[4])) -> pred[] {
  ROOT %c = pred[] constant(false)
}

ENTRY %main.2 (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  %outer = (s32[], f32[4]{0}) while(%x), condition=%test, body=%body, BC3
  %free = (s32[], f32[4]{0}) while(%x), condition=%test, body=%innermost
  ROOT %y = f32[4]{0} get-tuple-element(%outer), index=1
}
"""
for turns in (3, 5):
    TEXT = TEXT.replace(
        f"BC{turns}",
        f'backend_config={{"known_trip_count":{{"n":"{turns}"}},"known_init_step":{{}}}}',
    )


def test_loops_run_as_often_as_all_around_them_say():
    program = _hlo.parse(TEXT)
    assert program.entry == "main.2"
    assert sorted(program.loops(), key=str) == [
        _hlo.Loop("body", trips=3, times=1),
        _hlo.Loop("innermost", trips=5, times=3),
        _hlo.Loop("innermost", trips=None, times=1),
    ]
    runs = list(program.runs())
    assert sum(times for name, times in runs if name == "innermost") == 15 + 1


def test_a_part_has_what_it_runs_in_order():
    part = _hlo.parse(_hlo.parse(TEXT).text("body"))
    assert part.entry == "body"
    assert set(part.lines) == {"body", "innermost", "test"}
    assert list(part.lines)[-1] == "body"


def test_types_are_read():
    assert _hlo.shapes("(bf16[4,64]{1,0:T(8,128)}, s32[], pred[8])") == [
        ("bf16", (4, 64)),
        ("s32", ()),
        ("pred", (8,)),
    ]
    assert _hlo.nbytes("bf16", (4, 64)) == 512
    assert _hlo.nbytes("f8e4m3fn", (4,)) == _hlo.nbytes("pred", (4,)) == 4
    assert _hlo.nbytes("u32", ()) == 4
    assert _hlo.nbytes("c64", (2,)) == 16
    assert _hlo.nbytes("token", ()) == 0


def test_a_text_without_an_entry_is_refused():
    with pytest.raises(ValueError, match="no entry computation"):
        _hlo.parse("HloModule empty")
