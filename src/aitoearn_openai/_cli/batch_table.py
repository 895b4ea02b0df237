"""The answers of a batch as a table for people: CSV as Excel opens it, in the order of the input."""

from __future__ import annotations

import codecs
import csv
import io
import re
from pathlib import Path
from typing import Any

from ..batch import text_of
from .batch_files import BadFile, Files, place_to_write, replaced

# Excel takes a file for UTF-8 by its mark alone.
_HEAD = codecs.BOM_UTF8 + b"line,prompt,answer,error,custom_id\r\n"
_FORMULA = re.compile(r"\s*[=+\-@\uff0b\uff0d\uff1d\uff20]")
"""What spreadsheets take for the beginning of a formula, which could run programs or send data away."""
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*%?")


def check_table(path: Path) -> None:
    """Refuse a file that is there already, unless it is such a table."""
    if place_to_write(path).exists():
        with path.open("rb") as file:
            if file.read(len(_HEAD)) != _HEAD:
                raise BadFile(f"{path} is there and is not a table of answers; name another file for --csv")


def write_table(files: Files, path: Path) -> None:
    """Write the answers that are there so far; a table of an earlier run is replaced."""
    try:
        with replaced(path.resolve()) as file:
            text = io.TextIOWrapper(file, "utf-8", errors="replace", newline="")
            rows = csv.writer(text)
            file.write(_HEAD)
            for number, request, result in files.results():
                messages = [each for each in request.body["messages"] if isinstance(each, dict)]
                said = [text_of(each) for each in messages if each.get("role") == "user"]
                cells = "".join(said[-1:]), *_answer(result), request.custom_id
                rows.writerow([number, *map(_as_text, cells)])
            text.detach()
    except OSError as error:
        raise BadFile(
            f"{path} cannot be written: {error.strerror}; close it elsewhere, and run the command again"
        ) from None


def _answer(result: dict[str, Any] | None) -> tuple[str, str]:
    """The text of an answer, and why there is none."""
    if result is None:
        return "", "not answered yet"
    body = (result["response"] or {}).get("body") or {}
    if failure := result.get("error") or body.get("error"):
        return "", str(failure.get("message"))
    choices = [each for each in body.get("choices") or [] if isinstance(each, dict)]
    text = "\n\n".join(filter(None, (text_of(each.get("message")) for each in choices)))
    reasons = ", ".join(str(each.get("finish_reason")) for each in choices)
    return text, "" if text else f"no text; finish_reason: {reasons}"


def _as_text(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell
