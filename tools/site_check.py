"""Checks a built site: every link and anchor leads somewhere in it, and nothing that a page loads is elsewhere.

Usage: `python tools/site_check.py build/site`; prints what is wrong, and ends with 1 if anything is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: What a page loads by itself, by element.
_LOADED = {
    "script": ("src",), "img": ("src", "srcset"), "source": ("src", "srcset"), "iframe": ("src",), "video": ("src",),
    "audio": ("src",), "object": ("data",), "embed": ("src",), "image": ("href",), "use": ("href",),
}  # fmt: skip
#: Links of a page's head that load nothing.
_NAMED_ONLY = {"canonical", "alternate", "next", "prev", "author", "license"}
_IN_STYLES = re.compile(r"url\(\s*['\"]?((?:https?:)?//[^)'\"]+)|@import\s+['\"]([^'\"]+)")


class _Page(HTMLParser):
    """A page's anchors, its links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element says."""
        given = {name: value or "" for name, value in attrs}
        self.anchors.update(given[name] for name in ("id", "name") if given.get(name))
        self.loads += [given[name] for name in _LOADED.get(tag, ()) if given.get(name)]
        if tag == "link" and not _NAMED_ONLY.intersection(given.get("rel", "").split()):
            self.loads.append(given.get("href", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])


def problems(site: Path) -> Iterator[str]:
    """What is wrong with a site, a sentence each.

    Args:
        site: Its folder.
    """
    pages = {path.resolve(): _Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        for address in page.loads:
            if urlsplit(address).netloc:
                yield f"{name} loads {address}"
            elif not urlsplit(address).scheme and name.name != "404.html" and not _target(path, address).exists():
                yield f"{name} loads {address}, which is not there"
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or name.name == "404.html":
                continue
            target = _target(path, link)
            if not target.exists():
                yield f"{name} links to {link}, which is not there"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name} links to {link}, and there is no such place on that page"
    for style in sorted(site.rglob("*.css")):
        for found in _IN_STYLES.finditer(style.read_text("utf-8")):
            yield f"{style.relative_to(site)} loads {found[1] or found[2]}"


def _target(page: Path, address: str) -> Path:
    """The file that an address on a page is of."""
    path = unquote(urlsplit(address).path)
    target = (page.parent / path).resolve() if path else page
    return target / "index.html" if target.is_dir() else target


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1])))
    print("\n".join(found) or "Every link leads somewhere, and nothing is loaded from elsewhere.")
    sys.exit(bool(found))
