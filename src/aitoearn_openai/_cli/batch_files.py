"""The two files of a batch: what is left to ask of the one, and what is kept for good in the other."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from .._json import LINE_ENDS
from ..batch import URL, Request

_BEGINNING = b'{"id": "batch_req_'
"""How each line that is written here begins, and so one that was cut off."""
_BOM = b"\xef\xbb\xbf"


STDIN = Path("-")


class BadFile(Exception):
    """A file is not what it should be; says where, and what to do."""


@contextlib.contextmanager
def opened(
    source: Path,
    target: Path | None,
    model: str | None,
    *,
    look_only: bool = False,
    check: Callable[[Files], None] | None = None,
) -> Iterator[Files]:
    """Read both files, and repair the output, which no other run may use meanwhile; or only look at them.

    Args:
        source: The input; `-` is standard input.
        target: The output; it may be missing where it is only looked at.
        model: The model of requests that name none.
        look_only: Change nothing.
        check: Is called before anything is changed, with what was read.

    Raises:
        BadFile: a line of the input cannot be sent, or the output holds something other than its answers.
        OSError: a file cannot be read or written.
    """
    if target == STDIN:
        raise BadFile("name a file for the results instead of -: it is also the record of what is answered")
    if target:
        _refuse_links(target)
        target = target.resolve()
        _refuse_links(target.with_name(f"{target.name}.lock"))
    for path in filter(None, (source, target)):
        if path.exists() and not path.is_file():
            raise BadFile(f"{path} is not a file")
    if target and not target.parent.is_dir():
        raise BadFile(f"there is no folder {target.parent}")
    if target and target.exists() and source != STDIN and source.samefile(target):
        raise BadFile("the output must be another file than the input")
    with contextlib.ExitStack() as stack:
        if target and not look_only:
            stack.enter_context(_locked(target))
        known = stack.enter_context(contextlib.closing(sqlite3.connect("")))
        questions = stack.enter_context(_standard_input() if source == STDIN else source.open("rb"))
        files = Files(questions, "standard input" if source == STDIN else source.name, target, model, known)
        files.read()
        if check:
            check(files)
        if target and not look_only:
            files.repair()
            # Without a buffer, which would be written once more, after it failed, when the file is closed.
            files.answers = stack.enter_context(open(target, "ab", buffering=0, opener=_open_no_link))
            _sync_folder(target)
        yield files


def _refuse_links(target: Path) -> None:
    """Write neither where a link of somebody else leads, nor into a file that has another name too.

    Linux itself refuses to follow such links in folders like /tmp, but not once they are resolved.
    """
    if sys.platform != "win32":  # pragma: no branch - there, a link has no owner to speak of
        for path in (target, *target.absolute().parents):
            if path.is_symlink() and path.lstat().st_uid not in (os.geteuid(), 0):
                raise BadFile(f"{path} is a link of another user; name the file that it leads to")
    if target.is_file() and target.stat().st_nlink > 1:
        raise BadFile(f"{target} has another name too, a hard link; copy it to a file of its own")


def _open_no_link(path: str, flags: int) -> int:
    """Open a file as `open` does, but no link that somebody has put in its place meanwhile."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Keep other runs from an output; nothing is left behind."""
    path = f"{target}.lock"
    try:
        with FileLock(path, blocking=False):
            try:
                yield
            finally:
                if sys.platform != "win32":  # pragma: no branch - there, the lock removes its file itself
                    with contextlib.suppress(FileNotFoundError):  # Somebody took it for a leftover.
                        os.unlink(path)
    except Timeout:
        raise BadFile(f"another run is writing {target.name}; wait for it, or end it") from None


@contextlib.contextmanager
def _standard_input() -> Iterator[BinaryIO]:
    """Standard input as a file that can be read twice."""
    with tempfile.TemporaryFile() as copy:
        if sys.stdin:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.seek(0)
        yield copy


class Files:
    """The input, and the output as its own record of what is done.

    What is known of each request is in a temporary database, which SQLite keeps on disk: memory does not
    grow with the files.
    """

    total = answered = 0
    """The requests of the input, and those of them that the output answers."""
    answers: FileIO

    def __init__(
        self,
        questions: BinaryIO,
        name: str,
        target: Path | None,
        model: str | None,
        known: sqlite3.Connection,
    ) -> None:
        self.questions, self.name, self.model, self._known = questions, name, model, known
        self.target = target or Path(os.devnull)
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
        if not self._one("SELECT count(*) FROM request")[0]:
            raise BadFile(f"{self.name} holds no requests; write one a line")
        self._size = sum(map(len, self._kept()))
        self.total, self.answered = self._one("SELECT count(*), ifnull(sum(answered), 0) FROM request")

    def repair(self) -> None:
        """Remove from the output what is to be asked again: what failed, and a line that was cut off."""
        if not self.target.exists() or self._size == self.target.stat().st_size:
            return
        # Of a name that nobody can have put a link at, and with no more rights than the output from its first byte.
        handle, new = tempfile.mkstemp(prefix=f".{self.target.name}.", dir=self.target.parent)
        try:
            with open(handle, "wb") as lines:
                shutil.copymode(self.target, new)
                lines.writelines(self._kept())
                lines.flush()
                os.fsync(lines.fileno())
            os.replace(new, self.target)
        except BaseException:
            os.unlink(new)
            raise

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
        left = "".join(lines).translate(LINE_ENDS).encode("utf-8", "backslashreplace")
        try:
            while left:
                left = left[self.answers.write(left) :]
            os.fsync(self.answers.fileno())
        except OSError as error:
            raise BadFile(
                f"{self.target.name} cannot be written: {error.strerror}; the same command goes on from here"
            ) from None

    def _request(self, number: int, line: bytes) -> Request:
        line = line.removeprefix(_BOM).strip()
        # The first line decides for all, so that broken JSON is never taken for a prompt.
        if self._are_prompts is None:
            self._are_prompts = not line.startswith((b"{", b"["))
        try:
            if self._are_prompts:
                return self._decoded(number, {"prompt": line.decode()})
            return self._decoded(number, json.loads(line))
        except RecursionError:
            raise self._bad(number, "is nested too deeply") from None
        except json.JSONDecodeError as error:
            hint = '; if it is a prompt, write it as {"prompt": "..."}' if number == 1 else ""
            raise self._bad(number, f"is not JSON: {error.msg}, column {error.colno}{hint}") from None
        except UnicodeDecodeError:
            raise self._bad(number, "is not UTF-8 text") from None
        except ValueError as error:
            raise self._bad(number, str(error)) from None

    def _decoded(self, number: int, line: Any) -> Request:
        """The request of a line, of which everything but the messages or the prompt may be missing."""
        if not isinstance(line, dict):
            return Request.from_dict(line)
        if "prompt" in line:
            if more := line.keys() - {"prompt", "custom_id"}:
                raise ValueError(f"{min(more)!r} cannot be combined with prompt; use messages instead")
            prompt = line.pop("prompt")
            if not isinstance(prompt, str) or not prompt.strip():
                raise ValueError("prompt must be a text that is not empty")
            line["messages"] = [{"role": "user", "content": prompt}]
        # The number of the line, as prompts may repeat; `Request.id` differs if the line is another one later.
        custom_id = line.pop("custom_id", f"line-{number}")
        if "messages" in line and not line.keys() & {"body", "method", "url"}:
            line = {"body": line}
        elif "messages" in line and "body" not in line:
            raise ValueError("messages beside method or url must be in body; or leave those two out")
        body = line.get("body")
        if isinstance(body, dict) and "model" not in body:
            if not self.model:
                raise ValueError("it needs a model; name one with --model or AITOEARN_MODEL")
            body["model"] = self.model
        return Request.from_dict({"method": "POST", "url": URL, "custom_id": custom_id, **line})

    def _remember(self, number: int, place: int, request: Request) -> None:
        row = number, place, request.custom_id, request.id
        try:
            self._known.execute("INSERT INTO request (line, place, custom_id, id) VALUES (?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            (first,) = self._one("SELECT line FROM request WHERE custom_id = ?", request.custom_id)
            reason = f"custom_id {request.custom_id!r} is already used in line {first}; give each its own"
            raise self._bad(number, reason) from None

    def _kept(self) -> Iterator[bytes]:
        """The lines of the output that stay; each that answers a request is remembered."""
        if not self.target.is_file():
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
                        reason = (
                            f"answers another request as {custom_id!r}; name another file for these answers"
                        )
                        raise self._bad(number, reason, self.target.name)
                    self._known.execute("UPDATE request SET answered = 1 WHERE custom_id = ?", (custom_id,))
                yield line if line.endswith(b"\n") else line + b"\n"

    def _one(self, query: str, *values: object) -> Any:
        return self._known.execute(query, values).fetchone()

    def _bad(self, number: int, reason: str, name: str = "") -> BadFile:
        return BadFile(f"{name or self.name}, line {number}: {reason}")


def _sync_folder(path: Path) -> None:
    """Have the file's name survive a power cut too."""
    if sys.platform == "win32":  # pragma: no cover - there is no such call
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
