"""Build the site in both languages into `site/`, and check that each of its links leads somewhere: `make docs`.

`--serve` shows it at http://127.0.0.1:8000 afterwards.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import cache, partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

if sys.version_info >= (3, 11):
    import tomllib
else:
    sys.exit(
        "The generator needs Python 3.11 or later; with another .venv, `make docs PYTHON=python3.13` takes one."
    )

ROOT = Path(__file__).parent.parent
SITE = ROOT / "site"
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
HERE = URLS["Documentation"]
"""The address of the site, under which its pages are looked for in `site/`."""


class Page(HTMLParser):
    """What a page links to, what it loads, and the ids that links to it can name."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.ids = {""}
        self.url = urljoin(HERE, path.relative_to(SITE).as_posix().removesuffix("index.html"))
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found.get("id", ""), found.get("name", "")}
        if tag == "a" or found.get("rel") in ("prev", "next", "alternate"):
            self.links.add(found.get("href", ""))
        elif tag != "link" or found.get("rel") != "canonical":
            self.loaded |= {found.get("src", ""), found.get("href", "")}


page_at = cache(Page)


def build() -> None:
    """Run the generator, which takes a warning for an error; the Chinese pages go into a folder of the English site."""
    shutil.rmtree(SITE, ignore_errors=True)
    for config, address in ("zensical.en.yml", ""), ("zensical.zh-CN.yml", "zh-CN/"):
        settings = {"REPOSITORY": URLS["Repository"], "SITE_URL": URLS["Documentation"] + address}
        command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", config]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            encoding="utf-8",
        )
        print(done.stdout, end="")
        # What the reader of docstrings warns of is only printed.
        if done.returncode or re.search(r"^(griffe|mkdocstrings): ", done.stdout, re.MULTILINE):
            sys.exit(f"{config}: not built, or built with warnings.")


def link_to_the_repository() -> None:
    """Have links out of the documentation, such as to an example, lead to the repository."""
    for page in SITE.rglob("*.html"):

        def address(match: re.Match[str], folder: Path = page.parent) -> str:
            target = (folder / match[1]).resolve()
            if target.is_relative_to(SITE) or not (target.is_relative_to(ROOT) and target.exists()):
                return match[0]
            return f'href="{URLS["Repository"]}/blob/main/{target.relative_to(ROOT).as_posix()}"'

        page.write_text(re.sub(r'href="?([^"\s>]+)"?', address, page.read_text("utf-8")), "utf-8")


def broken_links() -> list[str]:
    """Each link within the site that leads nowhere, and each file that a page would load from another host."""
    broken = []
    for page in map(page_at, sorted(SITE.rglob("*.html"))):
        for link in sorted(page.links | page.loaded):
            target = urljoin(page.url, link)
            if not target.startswith(HERE):
                if link in page.loaded or not urlsplit(link).scheme:
                    broken.append(f"{page.url}: {link}")
                continue
            name, _, heading = unquote(target.removeprefix(HERE)).partition("#")
            path = SITE / name
            path = path / "index.html" if path.is_dir() else path
            if not path.exists() or (path.suffix == ".html" and heading not in page_at(path).ids):
                broken.append(f"{page.url}: {link}")
    return broken


def main() -> None:
    build()
    link_to_the_repository()
    if broken := broken_links():
        sys.exit("\n".join(["These links lead nowhere:", *broken]))
    print(f"{len(list(SITE.rglob('*.html')))} pages in {SITE}, and all of their links lead somewhere.")
    if "--serve" in sys.argv[1:]:
        handler = partial(SimpleHTTPRequestHandler, directory=str(SITE))
        print("http://127.0.0.1:8000; Ctrl-C stops it.")
        with ThreadingHTTPServer(("127.0.0.1", 8000), handler) as server, suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
