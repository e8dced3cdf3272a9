"""The log's file: what is written is read, and what is not whole is refused."""

from __future__ import annotations

import dataclasses
import errno
import json
import struct
from binascii import crc32
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zojax.trajectory import Field, Header, Log, LogWriter, key_parts, read_log

pytestmark = pytest.mark.quick

KEY, IMPL = key_parts(jax.random.key(7))
HEADER = Header(
    optimizer="mezo",
    settings={"steps": 3, "hyper": {"eps": 1e-3}},
    key=KEY,
    key_impl=IMPL,
    base="ab" * 32,
    data_seed=7,
    fields=(Field("slopes", 2), Field("sign", 1)),
)
SCALARS = np.array([[1.5, -2.25e-7, 1], [np.nan, np.nan, 0], [3e38, 0.1, -1]], np.float32)


def write(path: Path, header: Header = HEADER, scalars: np.ndarray = SCALARS) -> bytes:
    writer = LogWriter(path, header)
    for row in scalars:
        writer.append(row)
    writer.close()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trajectory.log"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


def check(log: Log, steps: int = 3) -> None:
    assert log.header == HEADER
    np.testing.assert_array_equal(log.scalars, SCALARS[:steps])


def test_what_is_written_is_read(path: Path):
    content = write(path)
    log = read_log(path)
    check(log)
    assert log.scalars.dtype == np.float32
    assert log.size == len(content)
    assert jax.random.key_data(log.header.prng_key()).tolist() == list(KEY)
    check(read_log(path, until=2), 2)


def test_bfloat16_halves_the_slopes(path: Path):
    header = dataclasses.replace(HEADER, dtype="bfloat16", fields=(Field("slopes", 1),))
    wide = np.array([[1.2345], [-6e-39], [np.nan]], np.float32)
    narrow = wide.astype(ml_dtypes.bfloat16)
    before = len(write(path, header, wide[:0]))
    assert len(write(path, header, wide)) - before == 3 * 4
    np.testing.assert_array_equal(read_log(path).scalars, narrow.astype(np.float32))


def test_20_000_steps_of_mezo_take_less_than_a_tenth_of_a_megabyte(path: Path):
    slopes = np.random.default_rng(0).normal(size=(20_000, 1)).astype(np.float32)
    header = dataclasses.replace(HEADER, dtype="bfloat16", fields=(Field("slopes", 1),))
    assert len(write(path, header, slopes)) < 81_000
    assert len(write(path, dataclasses.replace(header, dtype="float32"), slopes)) < 121_000


def test_a_writer_goes_on_where_another_was_cut_off(path: Path):
    whole = write(path)
    # The step in flight: two bytes of the third record.
    path.write_bytes(whole[:-9])
    with pytest.raises(
        ValueError, match=r"truncated or altered at step 3\. The last good step is 2"
    ):
        read_log(path)
    log = read_log(path, cut=True)
    check(log, 2)
    writer = LogWriter.reopen(path, log)
    assert writer.steps == 2
    writer.append(SCALARS[2])
    writer.close()
    assert path.read_bytes() == whole


def test_a_log_that_ends_early_names_its_last_step(path: Path):
    write(path)
    with pytest.raises(ValueError, match=r"until must be <= 3, the last step of .*, got 4"):
        read_log(path, until=4)
    with pytest.raises(FileNotFoundError, match="there is no trajectory log"):
        read_log(path.with_name("other.log"))


@pytest.mark.parametrize("step", [0, 1, 2])
def test_an_altered_record_is_refused_and_the_steps_before_it_are_not(path: Path, step: int):
    content = bytearray(write(path))
    stride = 2 * 4 + 1 + 2
    content[len(content) - (3 - step) * stride] ^= 1
    path.write_bytes(content)
    for cut in (False, True):
        if cut and step == 2:
            continue  # torn by a crash, for all that anybody can know
        with pytest.raises(ValueError, match=f"The last good step is {step}"):
            read_log(path, cut=cut)
    check(read_log(path, until=step), step)


def test_records_out_of_order_are_refused(path: Path):
    content = write(path)
    stride = 2 * 4 + 1 + 2
    start = len(content) - 3 * stride
    first, second, third = (content[start + i * stride :][:stride] for i in range(3))
    for records in (second + first + third, first + first, second + third):
        path.write_bytes(content[:start] + records)
        with pytest.raises(ValueError, match="truncated or altered"):
            read_log(path)


def test_another_headers_records_are_refused(path: Path):
    start = len(write(path, scalars=SCALARS[:0]))
    other = dataclasses.replace(HEADER, data_seed=8)
    content = write(path)[:start] + write(path, other)[start:]
    path.write_bytes(content)
    with pytest.raises(ValueError, match="altered at step 1"):
        read_log(path)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_byte_can_be_changed(folder: Path, data: st.DataObject):
    path = folder / "changed.log"
    content = bytearray(write(path))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
    path.write_bytes(content)
    with pytest.raises(ValueError, match="read_log"):
        read_log(path)


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 400))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_or_refused(folder: Path, junk: bytes, start: int, end: int):
    path = folder / "junk.log"
    content = write(path)
    path.write_bytes(content[:start] + junk + content[end:])
    try:
        log = read_log(path)
    except ValueError:
        return
    check(log, len(log.scalars))


def forged(**changes: Any) -> bytes:
    """A header with a right checksum, as no writer makes it."""
    content = {"format": 2, **json.loads(json.dumps(dataclasses.asdict(HEADER))), **changes}
    text = json.dumps({k: v for k, v in content.items() if v is not None}).encode()
    body = b"zojaxlog" + struct.pack("<I", len(text)) + text
    return body + struct.pack("<I", crc32(body))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(format=3), "the format of .* must be 2, got 3, that of another version of zojax"),
        (
            dict(format=1, versions={"zojax": "0.1.0"}),
            r"the format of .* must be 2, got 1, that of zojax 0\.1\.0.*which of a step's slopes",
        ),
        (dict(format=1, versions=7), "must be 2, got 1, that of another version of zojax"),
        (dict(key="x"), "header of .* is not valid"),
        (dict(key=[-1, 0]), "header of .* is not valid"),
        (dict(base=7), "header of .* is not valid"),
        (dict(base=None), "header of .* is not valid"),
        (dict(fields=[["slopes", 0]]), "header of .* is not valid"),
        (dict(fields=[["slopes", 1 << 31]]), "header of .* is not valid"),
        (dict(fields=[["code", 1]]), "header of .* is not valid"),
        (dict(dtype="float8"), "header of .* is not valid"),
        (dict(surprise=1), "header of .* is not valid"),
    ],
)
def test_a_forged_header_is_refused(path: Path, changes: dict[str, Any], message: str):
    path.write_bytes(forged(**changes))
    with pytest.raises(ValueError, match=message):
        read_log(path)


def test_a_record_has_the_headers_size(path: Path):
    writer = LogWriter(path, HEADER)
    with pytest.raises(ValueError, match=r"scalars must have shape \(3,\).*got \(2,\)"):
        writer.append(np.zeros(2, np.float32))
    writer.close()


def test_a_full_disk_is_an_error_and_leaves_a_log_to_go_on_with(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    writer = LogWriter(path, HEADER)
    writer.append(SCALARS[0])

    class Full:
        name = str(path)

        def write(self, content: bytes) -> int:
            with path.open("ab") as file:
                return file.write(content[:4])

        def close(self) -> None: ...

    writer._file.close()
    monkeypatch.setattr(writer, "_file", Full())
    with pytest.raises(OSError, match="No space left") as error:
        writer.append(SCALARS[1])
    assert error.value.errno == errno.ENOSPC
    assert writer.steps == 1
    check(read_log(path, cut=True), 1)
