"""The page on a step: its table names what is there, and all that runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "zojax"
# A small language model's operations: a lookup, a scan over layers, products, a norm's vector.
PROGRAM = """
import os, sys
import jax, jax.numpy as jnp, zojax

params = {
    "embed": jnp.ones((7, 80)),
    "layers": jnp.ones((2, 80, 80)),
    "scale": jnp.ones(80),
    "head": jnp.ones((80, 7)),
}

def loss(p):
    x = p["embed"][jnp.array([1, 3])] * p["scale"][None]
    x, _ = jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, p["layers"])
    return jnp.mean(jax.nn.logsumexp(x @ p["head"], axis=-1))

tx = zojax.mezo(1e-2, eps=1e-3, key=0)
state = tx.init(params)
package, files = os.path.dirname(zojax.__file__), set()

def note(frame, event, _argument):
    name = frame.f_code.co_filename
    if event == "call" and name.startswith(package):
        files.add(os.path.relpath(name, package))

sys.setprofile(note)
jax.make_jaxpr(lambda p, s: tx.update(None, s, p, value_fn=loss))(params, state)
sys.setprofile(None)
print("\\n".join(sorted(files)))
"""


def test_an_update_of_mezo_runs_in_at_most_17_files_and_the_page_has_them_all():
    out = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    ran = {*out.stdout.split()}
    assert len(ran) <= 17, ran
    assert ran == {*re.findall(r"`((?:\w+/)?_\w+\.py)`", table())} | {
        "_xla.py",
        "_mesh.py",
        "_quantized.py",
    }


def test_the_names_of_the_table_are_where_it_says():
    rows = [line.split("|")[3:5] for line in table().splitlines()]
    assert len(rows) > 10
    for file, names in rows:
        source = (PACKAGE / file.strip(" `")).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^(def|class) {name}\b", source, re.MULTILINE), (file, name)


def test_every_folder_is_in_the_picture():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == {*re.findall(r"^  (\w+)/", PAGE, re.MULTILINE)}


def table() -> str:
    return "\n".join(re.findall(r"^\| \d+ \|.*$", PAGE, re.MULTILINE))
