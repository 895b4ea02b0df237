"""The two files of a batch: what is left to ask of the one, and what is kept for good in the other."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from ..batch import Request

_BEGINNING = b'{"id": "batch_req_'
"""How each line that is written here begins, and so one that was cut off."""
_BOM = b"\xef\xbb\xbf"
_LINE_ENDS = {ord(character): f"\\u{ord(character):04x}" for character in "\x85\u2028\u2029"}
"""What JSON allows in a text, and many readers of lines take for the end of one."""


class BadFile(Exception):
    """A file is not what it should be; says where, and what to do."""


@contextlib.contextmanager
def opened(source: Path, target: Path, model: str | None, *, look_only: bool = False) -> Iterator[Files]:
    """Read both files, and mend the output, which no other run may use meanwhile; or only look at them.

    Raises:
        BadFile: a line of the input cannot be sent, or the output holds something else than its answers.
        OSError: a file cannot be read or written.
    """
    target = target.resolve()
    for path in (source, target):
        if path.exists() and not path.is_file():
            raise BadFile(f"{path} is not a file")
    if not target.parent.is_dir():
        raise BadFile(f"there is no folder {target.parent}")
    if target.exists() and source.samefile(target):
        raise BadFile("the output must be another file than the input")
    lock = contextlib.nullcontext() if look_only else FileLock(f"{target}.lock", blocking=False)
    try:
        with lock, contextlib.closing(sqlite3.connect("")) as known, source.open("rb") as questions:
            files = Files(questions, target, model, known)
            files.read()
            if look_only:
                yield files
                return
            files.mend()
            # Without a buffer, which would be written once more, after it failed, when the file is closed.
            with target.open("ab", buffering=0) as files.answers:
                _sync_folder(target)
                yield files
    except Timeout:
        raise BadFile(f"another run is writing {target.name}: wait for it, or end it") from None


class Files:
    """The input, and the output as its own record of what is done.

    What is known of each request is in a temporary database, which SQLite keeps on disk: memory does not
    grow with the files.
    """

    total = answered = 0
    """The requests of the input, and those of them that the output answers."""
    answers: FileIO

    def __init__(
        self, questions: BinaryIO, target: Path, model: str | None, known: sqlite3.Connection
    ) -> None:
        self.questions, self.target, self.model, self._known = questions, target, model, known
        self._are_prompts: bool | None = None
        self._known.execute(
            "CREATE TABLE request"
            " (line INTEGER PRIMARY KEY, place INT, custom_id TEXT UNIQUE, id TEXT, answered INT DEFAULT 0)"
        )

    def read(self) -> None:
        """Find out what is asked and what is answered, and that both files are what they should be."""
        place = 0
        for number, line in enumerate(self.questions, 1):
            if line.strip(b" \t\r\n" + _BOM):
                request = self._request(number, line)
                self._remember(number, place, request)
            place += len(line)
        self._size = sum(map(len, self._kept()))
        self.total, self.answered = self._one("SELECT count(*), ifnull(sum(answered), 0) FROM request")

    def mend(self) -> None:
        """Take out of the output what is to be asked again: what failed, and a line that was cut off."""
        if not self.target.exists() or self._size == self.target.stat().st_size:
            return
        new = self.target.with_name(f"{self.target.name}.new")
        with new.open("wb") as lines:
            lines.writelines(self._kept())
            lines.flush()
            os.fsync(lines.fileno())
        shutil.copymode(self.target, new)
        os.replace(new, self.target)

    def pending(self) -> Iterator[Request]:
        """The requests without an answer, in their order."""
        for number, place, id in self._known.execute(
            "SELECT line, place, id FROM request WHERE NOT answered ORDER BY line"
        ):
            self.questions.seek(place)
            request = self._request(number, self.questions.readline())
            if request.id != id:
                raise self._bad(number, "was changed meanwhile; start again")
            yield request

    def keep(self, results: list[dict[str, Any]]) -> None:
        """Write results, and return when they would survive a power cut."""
        # What UTF-8 cannot hold, half of a surrogate pair, is then written as JSON escapes it.
        lines = [json.dumps(result, ensure_ascii=False) + "\n" for result in results]
        left = "".join(lines).translate(_LINE_ENDS).encode("utf-8", "backslashreplace")
        try:
            while left:
                left = left[self.answers.write(left) :]
            os.fsync(self.answers.fileno())
        except OSError as error:
            told = (
                f"{self.target.name} cannot be written: {error.strerror}; the same command goes on from here"
            )
            raise BadFile(told) from None

    def _request(self, number: int, line: bytes) -> Request:
        line = line.removeprefix(_BOM).strip()
        # The first line tells for all, so that broken JSON is never taken for a prompt.
        if self._are_prompts is None:
            self._are_prompts = not line.startswith((b"{", b"["))
        try:
            if self._are_prompts:
                return self._prompted(number, line.decode())
            value = json.loads(line)
            if not isinstance(value, dict) or "prompt" not in value:
                return Request.from_dict(value)
            if more := value.keys() - {"prompt", "custom_id"}:
                raise ValueError(
                    f"{min(more)!r} has no place beside a prompt; write a full request with a body"
                )
            return self._prompted(number, value["prompt"], value.get("custom_id"))
        except RecursionError:
            raise self._bad(number, "is nested too deeply") from None
        except json.JSONDecodeError as error:
            hint = "; a prompt that begins so goes into JSON" if number == 1 else ""
            raise self._bad(number, f"is not JSON: {error.msg}, column {error.colno}{hint}") from None
        except UnicodeDecodeError:
            raise self._bad(number, "is not UTF-8 text") from None
        except ValueError as error:
            raise self._bad(number, str(error)) from None

    def _prompted(self, number: int, prompt: Any, custom_id: Any = None) -> Request:
        if not self.model:
            raise ValueError("a plain prompt needs a model: name one with --model or AITOEARN_MODEL")
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError("prompt must be a text that is not empty")
        messages = [{"role": "user", "content": prompt}]
        # The number of the line, as prompts may repeat; `Request.id` tells if the line is another one later.
        return Request(
            f"line-{number}" if custom_id is None else custom_id, {"model": self.model, "messages": messages}
        )

    def _remember(self, number: int, place: int, request: Request) -> None:
        row = number, place, request.custom_id, request.id
        try:
            self._known.execute("INSERT INTO request (line, place, custom_id, id) VALUES (?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            (first,) = self._one("SELECT line FROM request WHERE custom_id = ?", request.custom_id)
            told = f"custom_id {request.custom_id!r} is that of line {first} too; give each its own"
            raise self._bad(number, told) from None

    def _kept(self) -> Iterator[bytes]:
        """The lines of the output that stay; each that answers a request is remembered."""
        if not self.target.exists():
            return
        with self.target.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    result = json.loads(line)
                    custom_id, id, response = result["custom_id"], result["id"], result["response"]
                    is_answer = response is not None and response["status_code"] == 200
                    known = self._one("SELECT id FROM request WHERE custom_id = ?", custom_id)
                except (ValueError, LookupError, TypeError, RecursionError, sqlite3.Error):
                    was_cut = not line.endswith(b"\n") and line[: len(_BEGINNING)] == _BEGINNING[: len(line)]
                    if was_cut or b"\0" in line:  # Zeros are what some file systems leave after a power cut.
                        continue
                    raise self._bad(number, "is not a result; name another file", self.target.name) from None
                if known:
                    if not is_answer:
                        continue
                    if id != known[0]:
                        told = (
                            f"answers another request as {custom_id!r}; name another file for these answers"
                        )
                        raise self._bad(number, told, self.target.name)
                    self._known.execute("UPDATE request SET answered = 1 WHERE custom_id = ?", (custom_id,))
                yield line if line.endswith(b"\n") else line + b"\n"

    def _one(self, query: str, *values: object) -> Any:
        return self._known.execute(query, values).fetchone()

    def _bad(self, number: int, told: str, name: str = "") -> BadFile:
        return BadFile(f"{name or Path(self.questions.name).name}, line {number}: {told}")


def _sync_folder(path: Path) -> None:
    """Have the file's name survive a power cut too."""
    if sys.platform == "win32":  # pragma: no cover - there is no such call
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
