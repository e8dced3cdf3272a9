"""The site as it is built: its links and pictures, and how it looks in a browser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import Browser, executable
from documents import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("sphinx", "furo", "myst_parser", "sphinx_copybutton"):
        if find_spec(package) is None:
            pytest.skip(f'needs {package}: pip install ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", folder / "html"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


class Page(HTMLParser):
    """What a page links to, what it shows, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[tuple[str, str]] = []  # source, and what it says to who cannot see it
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "img":
            self.pictures.append((found["src"], found.get("alt", "")))


def pages(site: Path) -> dict[Path, Page]:
    # Of sources the links are those of their pages.
    names = [path for path in site.rglob("*.html") if "_modules" not in path.parts]
    return {path: Page(path.read_text(encoding="utf-8")) for path in names}


def test_no_link_and_no_picture_is_broken(site: Path):
    found = pages(site)
    assert len(found) > 50
    broken: list[str] = []
    for path, page in found.items():
        for link in [*page.links, *(source for source, _ in page.pictures)]:
            parts = urlsplit(link)
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = target in found and unquote(parts.fragment) in found[target].places
            if not target.is_file() or (parts.fragment and target in found and not there):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_every_picture_says_what_it_shows(site: Path):
    for path, page in pages(site).items():
        assert all(alt for _, alt in page.pictures), path


def test_what_is_made_is_not_shown_as_a_comment(site: Path):
    text = (site / "choose.html").read_text(encoding="utf-8")
    assert "&lt;!--" not in text
    assert "<td><p>zo_adamu</p></td>" in text


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = executable()
    if path is None:
        pytest.skip("needs a browser: chromium, of the system's packages")
    found = Browser(path, tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


# Elements that reach beyond the window and are in no part that scrolls by itself.
OVERFLOW = """
(() => {
  const wide = window.innerWidth;
  if (document.documentElement.scrollWidth <= wide) return [];
  const scrolls = (e) => {
    for (; e && e !== document.body; e = e.parentElement)
      if (["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX)) return true;
    return false;
  };
  return [...document.querySelectorAll("article *")]
    .filter((e) => e.getBoundingClientRect().right > wide + 1 && !scrolls(e))
    .map((e) => e.outerHTML.slice(0, 120)).slice(0, 3)
    .concat(["the page is " + document.documentElement.scrollWidth + " wide"]);
})()
"""
PICTURES = """
[...document.images].filter((i) => { i.loading = "eager"; return i.complete && !i.naturalWidth; })
  .map((i) => i.src)
"""
# Text whose contrast with its ground is below 4.5 (3 of large text), WCAG's level AA.
CONTRAST = """
(() => {
  const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => {
      v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0.5) return c;
    }
    return parse(getComputedStyle(document.body).backgroundColor);
  };
  const found = {};
  for (const e of document.querySelectorAll("article *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const style = getComputedStyle(e);
    if (!own || style.visibility === "hidden" || style.opacity < 0.5 || !e.offsetParent) continue;
    const [a, b] = [light(parse(style.color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5))
      found[e.tagName + "." + e.className] = ratio.toFixed(2) + ": " + e.textContent.slice(0, 40);
  }
  return found;
})()
"""


@pytest.mark.parametrize(
    ("width", "dark"), [(400, False), (400, True), (1200, False), (1200, True)]
)
def test_pages_fit_and_are_read_in_a_browser(site: Path, browser: Browser, width: int, dark: bool):
    browser.look(width=width, dark=dark)
    wrong: dict[str, object] = {}
    for path in pages(site):
        browser.open(path.as_uri())
        for what, script in (("wide", OVERFLOW), ("picture", PICTURES), ("contrast", CONTRAST)):
            if found := browser.value(script):
                wrong[f"{path.relative_to(site)}, {what}"] = found
    assert wrong == {}
