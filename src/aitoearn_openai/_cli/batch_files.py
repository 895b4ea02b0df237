"""The two files of a batch: what is left to ask of the one, and what is kept for good in the other."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import re
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout
from rich.progress import open as open_with_bar

from .._json import LINE_ENDS
from ..batch import URL, Request, digest
from .screen import errors

STDIN = Path("-")

_BEGINNING = b'{"id": "batch_req_'
"""How each line that is written here begins, and so one that was cut off."""
_FEW = 10
"""The most bad lines that are told."""
_BLANK = " \t\r\n\ufeff"
_NOT_TEXT = re.compile(r"[\0\udc80-\udcff]")
"""What is not UTF-8 has these: bytes that Python could not decode, or the zeros of UTF-16."""
_TABLES = ".csv", ".tsv", ".xls", ".xlsx", ".parquet"


class BadFile(Exception):
    """A file is not what it should be; its arguments are lines that say where, and what to do."""


@contextlib.contextmanager
def opened(
    source: Path, target: Path | None, given: dict[str, Any], check: Callable[[Request], None], dry_run: bool
) -> Iterator[Files]:
    """Read both files; no other run may use the output meanwhile, unless this is a dry run.

    Args:
        given: What lines need not say: `model` and, for prompts alone, `system`, `temperature` and `max_tokens`.
        check: Called with each request that is not answered yet; its `ValueError` says why it cannot be.
    """
    name = "standard input" if source == STDIN else source.name
    if source.suffix.lower() in _TABLES:
        raise BadFile(
            f"{name} is a table, not a file of prompts; copy its column of prompts into a text file, one prompt a line"
        )
    if source.exists() and not source.is_file():
        raise BadFile(f"{source} is not a file")
    if target == STDIN:
        raise BadFile("name a file for the results instead of -: it is also the record of what is answered")
    if target and target.suffix.lower() in _TABLES:
        raise BadFile(f"the results are JSON, a line each: name OUT.jsonl, and --csv {target} for a table")
    target = place_to_write(target) if target else Path(os.devnull)
    lock = contextlib.nullcontext() if dry_run else _locked(target)
    with lock, contextlib.closing(sqlite3.connect("")) as known:
        files = Files(name, target, known)
        try:
            with _bytes(source) as file, _lines(file) as lines:
                files.read(lines, given, check)
            yield files
        except UnicodeError:
            raise BadFile(f"{name} begins as UTF-16 does and is not; save it as UTF-8") from None
        except sqlite3.OperationalError as error:
            raise BadFile(f"{name}: no temporary file ({error}); set TMPDIR to a folder with room") from None


@contextlib.contextmanager
def _bytes(source: Path) -> Iterator[BinaryIO]:
    """The input, with a bar on a terminal; what comes through a pipe as a file."""
    if source == STDIN:
        with tempfile.TemporaryFile() as file:
            if sys.stdin:
                shutil.copyfileobj(sys.stdin.buffer, file)
            file.seek(0)
            yield file
    else:
        bar: Any = {"console": errors, "disable": not errors.is_terminal, "transient": True}
        with open_with_bar(source, "rb", description="Reading", **bar) as file:
            yield file


def _lines(file: BinaryIO) -> io.TextIOWrapper:
    is_utf_16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    file.seek(0)
    encoding = ("UTF-16", "strict") if is_utf_16 else ("UTF-8", "surrogateescape")
    return io.TextIOWrapper(file, *encoding, newline="\n")


def place_to_write(path: Path) -> Path:
    """Refuse a place where no file can be, or where one leads that somebody else has put there.

    Linux itself refuses to follow such links in folders like /tmp, but not once they are resolved.
    """
    if sys.platform != "win32":  # pragma: no branch - there, a link has no owner to speak of
        for each in (path, *path.absolute().parents):
            if each.is_symlink() and each.lstat().st_uid not in (os.geteuid(), 0):
                raise BadFile(f"{each} is a link of another user; name the file that it leads to")
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise BadFile(f"{path} is not a file")
    if path.exists() and path.stat().st_nlink > 1:
        raise BadFile(f"{path} has another name too, a hard link; copy it to a file of its own")
    if not path.parent.is_dir():
        raise BadFile(f"there is no folder {path.parent}")
    return path


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Keep other runs from an output; nothing is left behind."""
    path = target.with_name(f"{target.name}.lock")
    place_to_write(path)
    try:
        with FileLock(path, blocking=False):
            try:
                yield
            finally:
                if sys.platform != "win32":  # pragma: no branch - there, the lock removes its file itself
                    path.unlink(missing_ok=True)  # Somebody may have taken it for a leftover.
    except Timeout:
        raise BadFile(f"another run is writing {target.name}; wait for it, or end it") from None


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """What to write in the place of a file, which is replaced as a whole in the end, or stays as it is."""
    # Of a name that nobody can have put a link at, and with no more rights than the file from its first byte.
    handle, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            if path.exists():
                shutil.copymode(path, new)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise


class Files:
    """The input, and the output as its own record of what is done.

    What is known of both is in a temporary database, which SQLite keeps on disk: memory does not grow with the files.
    """

    def __init__(self, name: str, target: Path, known: sqlite3.Connection) -> None:
        self.name, self.target, self._known = name, target, known
        self.total = self.answered = 0
        """The requests of the input, and those of them that the output answers."""
        self._same: Counter[str] = Counter()
        """How often a request without a `custom_id` was there again."""
        known.executescript(
            "CREATE TABLE request (line INTEGER PRIMARY KEY, custom_id TEXT UNIQUE, body TEXT);"
            "CREATE TABLE result (custom_id TEXT PRIMARY KEY, id TEXT, line BLOB) WITHOUT ROWID"
        )

    def read(self, lines: Iterable[str], given: dict[str, Any], check: Callable[[Request], None]) -> None:
        """Find out what is asked and what is answered, and that both files are what they should be."""
        for _, result, is_answer in self._results():
            if is_answer:
                self._know(result)
        first, bad = "", 0
        reasons: dict[str, list[str]] = {}
        for number, line in enumerate(lines, 1):
            text = line.strip(_BLANK)
            if not text:
                continue
            first = first or text  # It decides for all, so that broken JSON is never taken for a prompt.
            try:
                request = self._added(number, *_request(text, first[0] not in "{[", given))
                self.total += 1
                answer = self._one("SELECT id FROM result WHERE custom_id = ?", request.custom_id)
                if not answer:
                    check(request)
                elif answer[0] == request.id:
                    self.answered += 1
                else:
                    raise ValueError(
                        f"{self.target.name} answers it with another text, model or option; name another file for the results"
                    )
            except ValueError as error:
                reasons.setdefault(str(error), []).append(str(number))
                bad += 1
                if bad == _FEW:
                    break
        told = [
            f"{self.name}, line{'s' * (len(numbers) > 1)} {', '.join(numbers)}: {reason}"
            for reason, numbers in reasons.items()
        ]
        if bad == _FEW:
            told.append(f"{self.name}: reading ended at {_FEW} bad lines; nothing was sent")
        if told:
            raise BadFile(*told)
        if not self.total:
            raise BadFile(f"{self.name} holds no requests; write one a line")

    def _added(self, number: int, request: Request, has_id: bool) -> Request:
        """Remember a request; what is there again without a `custom_id` gets a number behind its name."""
        name = request.custom_id
        while not self._known.execute(
            "INSERT OR IGNORE INTO request VALUES (?, ?, ?)",
            (number, request.custom_id, json.dumps(request.body)),
        ).rowcount:
            if has_id:
                (line,) = self._one("SELECT line FROM request WHERE custom_id = ?", name)
                raise ValueError(f"custom_id {name!r} is already used in line {line}; give each its own")
            self._same[name] += 1
            request = replace(request, custom_id=f"{name}-{self._same[name] + 1}")
        return request

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Add to the output; what is to be asked again is removed: what failed, and a line that was cut off."""
        if self.target.exists() and sum(map(len, self._kept())) != self.target.stat().st_size:
            with replaced(self.target) as file:
                file.writelines(self._kept())
        # Without a buffer, which would be written once more, after it failed, when the file is closed.
        with open(self.target, "ab", buffering=0, opener=_open_no_link) as self._answers:
            if sys.platform != "win32":  # pragma: no branch - so that its name survives a power cut
                folder = os.open(self.target.parent, os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)
            yield

    def keep(self, results: list[dict[str, Any]]) -> None:
        """Write results, and return when they would survive a power cut."""
        # What UTF-8 cannot hold, half of a surrogate pair, is then written as JSON escapes it.
        lines = [json.dumps(result, ensure_ascii=False) + "\n" for result in results]
        left = "".join(lines).translate(LINE_ENDS).encode("utf-8", "backslashreplace")
        try:
            while left:
                left = left[self._answers.write(left) :]
            os.fsync(self._answers.fileno())
        except OSError as error:
            raise BadFile(
                f"{self.target.name} cannot be written: {error.strerror}; the same command goes on from here"
            ) from None

    def pending(self) -> Iterator[Request]:
        """The requests without an answer, in their order."""
        for custom_id, body in self._known.execute(
            "SELECT custom_id, body FROM request WHERE custom_id NOT IN (SELECT custom_id FROM result) ORDER BY line"
        ):
            yield Request(custom_id, json.loads(body))

    def results(self) -> Iterator[tuple[int, Request, dict[str, Any] | None]]:
        """The requests in their order, each with the number of its line, and its result if there is one."""
        for line, result, _ in self._results():
            self._know(result, line)
        for number, custom_id, body, line in self._known.execute(
            "SELECT request.line, custom_id, body, result.line FROM request LEFT JOIN result USING (custom_id)"
            " ORDER BY request.line"
        ):
            yield number, Request(custom_id, json.loads(body)), line and json.loads(line)

    def _results(self) -> Iterator[tuple[bytes, dict[str, Any], bool]]:
        """The results in the output, each with its line, and whether it is an answer."""
        if not self.target.exists():
            return
        with open(self.target, "rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    result = json.loads(line)
                    is_result = isinstance(result["custom_id"], str) and result["id"].startswith("batch_req_")
                    is_answer = (result["response"] or {}).get("status_code") == 200
                except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                    is_result = False
                was_cut = not line.endswith(b"\n")
                if is_result:
                    yield line + b"\n" * was_cut, result, is_answer
                # Zeros are what some file systems leave after a power cut.
                elif not (
                    line.isspace()
                    or b"\0" in line
                    or (was_cut and _BEGINNING.startswith(line[: len(_BEGINNING)]))
                ):
                    raise BadFile(f"{self.target.name}, line {number}: is not a result; name another file")

    def _kept(self) -> Iterator[bytes]:
        """The lines of the output but for what failed of this input: other inputs may have the same output."""
        for line, result, is_answer in self._results():
            if is_answer or not self._one("SELECT 1 FROM request WHERE custom_id = ?", result["custom_id"]):
                yield line

    def _know(self, result: dict[str, Any], line: bytes | None = None) -> None:
        row = result["custom_id"], result["id"], line
        self._known.execute("INSERT OR REPLACE INTO result VALUES (?, ?, ?)", row)

    def _one(self, query: str, *values: object) -> Any:
        return self._known.execute(query, values).fetchone()


def _open_no_link(path: str, flags: int) -> int:
    """Open a file as `open` does, but no link that somebody has put in its place meanwhile."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _request(text: str, is_prompt: bool, given: dict[str, Any]) -> tuple[Request, bool]:
    """The request of a line, and whether the line has a `custom_id` for it; a `ValueError` says why it cannot be sent."""
    if _NOT_TEXT.search(text):
        raise ValueError("is not UTF-8 text; save the file as UTF-8")
    try:
        line = {"prompt": text} if is_prompt else json.loads(text)
    except (ValueError, RecursionError) as error:
        why = str(error).replace("line 1 ", "")
        raise ValueError(f'is not JSON: {why}; if it is a prompt, write {{"prompt": "..."}}') from None
    line = line if isinstance(line, dict) else {}
    if len(line.keys() & {"prompt", "messages", "body"}) != 1:
        raise ValueError(
            f"must be an object with one of prompt, messages or body; found: {', '.join(line) or 'nothing'}"
        )
    if "prompt" not in line and given.keys() - {"model"}:
        raise ValueError(
            "has no prompt, for which --system, --temperature and --max-tokens are; write what they say into its body"
        )
    if "max_completion_tokens" in line:  # It takes the place of the option.
        given = {name: value for name, value in given.items() if name != "max_tokens"}
    custom_id = line.pop("custom_id", None)
    request = {"method": line.pop("method", "POST"), "url": line.pop("url", URL), "custom_id": custom_id}
    body = line.get("body", line)
    if custom_id is None:
        request["custom_id"] = f"prompt-{digest(body)[:24]}"
    if isinstance(body, dict):
        body = {**given, **body}
        if "model" not in body:
            raise ValueError("it needs a model; name one with --model or AITOEARN_MODEL")
        if "prompt" in line:
            body["messages"] = _messages(body.pop("system", None), body.pop("prompt"))
    return Request.from_dict({**request, "body": body}), custom_id is not None


def _messages(system: Any, prompt: Any) -> list[dict[str, Any]]:
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError("prompt must be a text that is not empty")
    said = {"system": system, "user": prompt}
    return [{"role": role, "content": text} for role, text in said.items() if text is not None]
