"""The documentation in two languages: what one says, the other says too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from install_line import LINE
from tables import DOCS, in_chinese

ROOT = DOCS.parent
CHINESE = {ROOT / "README.md": ROOT / "README.zh-CN.md"}
CHINESE |= {page: DOCS / "zh-CN" / page.name for page in sorted(DOCS.glob("*.md"))}
ENGLISH = {chinese: english for english, chinese in CHINESE.items()}
TRANSLATED = re.compile(r"\n<!-- translated from (\w+) -->\n$")
GENERATED = re.compile(r"<!-- (\w+) -->\n(.*?)\n<!-- /\1 -->", re.DOTALL)
START = re.compile(r"#+(?= )|\||-(?= )|\d+\.(?= )|:::")
"""How a block begins, other than a paragraph."""
BLOCKS = re.compile(rf"\n\s*\n|\n(?={START.pattern})")

pages = pytest.mark.parametrize("english", CHINESE, ids=lambda page: page.name)


def text_of(page: Path) -> str:
    """What people wrote."""
    return LINE.sub("", GENERATED.sub("", TRANSLATED.sub("\n", page.read_text("utf-8"))))


def blocks_of(page: Path) -> Iterator[tuple[str, str]]:
    """Each heading, row, item, paragraph and block of code, with its kind."""
    for part in re.split(r"^(```.*?^```)$", text_of(page), flags=re.DOTALL | re.MULTILINE):
        if part.startswith("```"):
            yield "code", part
            continue
        for block in BLOCKS.split(part.strip()):
            if block.strip():
                start = START.match(block)
                yield start[0] if start else "paragraph", block


@cache
def headings_of(page: Path) -> list[str]:
    """The names by which links find them, on GitHub and on the site."""
    headings = (text.strip("# ") for kind, text in blocks_of(page) if kind.startswith("#"))
    return [re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading).lower()) for heading in headings]


def links_of(text: str, page: Path) -> list[tuple[Path, int]]:
    """Where its links lead, as the English page would say it: the file, and the number of the heading."""
    links = []
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, heading = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        is_english = page in ENGLISH and path in CHINESE and path != ROOT / "README.md"
        assert (path.exists(), is_english) == (True, False), f"{page.name}: {target}"
        number = headings_of(path).index(heading) if heading else -1
        links.append((ENGLISH.get(path, path), number))
    return sorted(links)


def code_of(text: str) -> list[str]:
    return sorted(set(re.findall(r"`+([^`\n]+)`+", text)))


def without_words(line: str) -> str:
    return re.sub(r" *# .*|(?<=\").*?(?=\")|(?<=').*?(?=')", "", line)


def outline_of(page: Path) -> list[Any]:
    """The blocks, each with its code, by cell, and its links."""
    return [
        (kind, text if kind == ":::" else list(map(code_of, text.split("|"))), links_of(text, page))
        for kind, text in blocks_of(page)
        if kind != "code"
    ]


@pages
def test_both_languages_have_the_same_blocks(english: Path) -> None:
    """Headings, rows, items and paragraphs in the same order, each with the same code and the same links."""
    assert outline_of(CHINESE[english]) == outline_of(english)


@pages
def test_both_languages_have_the_same_code(english: Path) -> None:
    """Comments and texts in it may be translated."""
    ours, theirs = (
        [line for kind, text in blocks_of(page) if kind == "code" for line in text.splitlines()]
        for page in (english, CHINESE[english])
    )

    for line, translated in zip(ours, theirs, strict=True):
        is_translated = re.search("[\u4e00-\u9fff]", translated)
        assert translated == line or (is_translated and without_words(translated) == without_words(line))


@pages
def test_tables_that_runs_write_are_in_both_languages(english: Path) -> None:
    ours, theirs = (GENERATED.findall(page.read_text("utf-8")) for page in (english, CHINESE[english]))

    for (name, table), translated in zip(ours, theirs, strict=True):
        lines = [line[2:-2].split(" | ") for line in table.splitlines()]
        assert translated == (name, "\n".join(f"| {' | '.join(map(in_chinese, line))} |" for line in lines))


@pages
def test_a_translation_is_of_the_text_as_it_is_today(english: Path) -> None:
    """Its last line names the English text that it was made from."""
    text = sha256(text_of(english).encode()).hexdigest()[:12]
    chinese = CHINESE[english]

    assert TRANSLATED.findall(chinese.read_text("utf-8")) == [text], (
        f"{english.name} has changed: bring {chinese.relative_to(ROOT)} up to it, and write as its last line "
        f"<!-- translated from {text} -->"
    )


def test_no_chinese_page_is_alone() -> None:
    assert set((DOCS / "zh-CN").glob("*.md")) == set(ENGLISH) - {ROOT / "README.zh-CN.md"}
