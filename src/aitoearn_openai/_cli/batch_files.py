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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from filelock import FileLock, Timeout

from .._json import LINE_ENDS
from ..batch import ANSWER_TOKENS, URL, Request, check_endpoint, digest, result_id

STDIN = Path("-")

_BEGINNING = b'{"id": "batch_req_'
"""How each line that is written here begins, and so one that was cut off."""
_NAME = re.compile(r"(prompt-[0-9a-f]{24})(?:-\d+)?")
"""What requests without a `custom_id` are named: by what they ask, and the same ones by a number too."""
_FEW = 10
"""The most bad lines that are told one by one."""
_NOT_UTF_8 = "is not UTF-8 text; save the file as UTF-8"
_STEP = 1000
"""The lines between two reports of how far it is."""
_UTF_16_32 = {
    codecs.BOM_UTF32_LE: "UTF-32",  # Begins as that of UTF-16 does.
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_READERS = {
    ".csv": "csv", ".tsv": "table", ".tab": "table", ".xls": "excel", ".xlsx": "excel", ".xlsm": "excel", ".xlsb": "excel",
    ".ods": "excel", ".parquet": "parquet", ".feather": "feather", ".arrow": "feather", ".orc": "orc", ".dta": "stata", ".sav": "spss",
}  # fmt: skip
"""How pandas reads the tables that are known by the end of their name."""
_NO_TEXT = (
    b"PK\3\4",
    b"\xd0\xcf\x11\xe0",
    b"PAR1",
    b"ARROW1",
    b"Obj\1",
    b"SQLite format 3",
    b"%PDF-",
    b"\x1f\x8b",
)
"""How tables, documents and archives begin."""


class _Asked(NamedTuple):
    line: int
    custom_id: str
    digest: str
    answered: int


class BadFile(Exception):
    """A file is not what it should be; says where, and what to do, in one line or several."""


@dataclass(frozen=True)
class Defaults:
    """What lines of the input need not say."""

    model: str | None = None
    system: str | None = None
    """The system message of plain prompts."""
    options: dict[str, Any] | None = None
    """Fields of the bodies of plain prompts."""


@contextlib.contextmanager
def opened(
    source: Path,
    target: Path | None,
    defaults: Defaults,
    *,
    answer_tokens: int = ANSWER_TOKENS,
    look_only: bool = False,
    check: Callable[[Files], None] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Files]:
    """Read both files, and repair the output, which no other run may use meanwhile; or only look at them.

    Args:
        source: The input; `-` is standard input.
        target: The output; it may be missing where it is only looked at.
        defaults: What its lines need not say.
        answer_tokens: How many tokens each answer is estimated to have.
        look_only: Change nothing.
        check: Is called before anything is changed, with what was read.
        progress: Is called with how many bytes of the input are read, and how many there are.

    Raises:
        BadFile: a line of the input cannot be sent, or the output holds something other than its answers.
        OSError: a file cannot be read or written.
    """
    if target == STDIN:
        raise BadFile("name a file for the results instead of -: it is also the record of what is answered")
    if target:
        refuse_links(target)
        target = target.resolve()
        refuse_links(target.with_name(f"{target.name}.lock"))
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
        name = "standard input" if source == STDIN else source.name
        questions = stack.enter_context(_text(source, name))
        files = Files(questions, name, target, defaults, known)
        files.read(answer_tokens, progress)
        if check:
            check(files)
        if target and not look_only:
            files.repair()
            # Without a buffer, which would be written once more, after it failed, when the file is closed.
            files.answers = stack.enter_context(open(target, "ab", buffering=0, opener=_open_no_link))
            _sync_folder(target)
        yield files


def refuse_links(target: Path) -> None:
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
def _text(source: Path, name: str) -> Iterator[BinaryIO]:
    """The input as a file of UTF-8 text that can be read twice.

    Raises:
        BadFile: it is a table, or another file that is not text; says how to convert it.
    """
    if reader := _READERS.get(source.suffix.lower()):
        columns = 'rename(columns={"COLUMN": "prompt"})[["prompt"]]'
        raise BadFile(
            f"{name} is a table, not a file of prompts. Copy its column of prompts into a text file, one prompt a line, and "
            f'save that as UTF-8; or convert it with pandas: read_{reader}("{name}").{columns}'
            f'.to_json("{source.stem}.jsonl", orient="records", lines=True)'
        )
    with contextlib.ExitStack() as stack:
        file: BinaryIO
        if source == STDIN:
            file = stack.enter_context(tempfile.TemporaryFile())
            if sys.stdin:
                shutil.copyfileobj(sys.stdin.buffer, file)
                file.seek(0)
        else:
            file = stack.enter_context(source.open("rb"))
        head = file.read(16)
        file.seek(0)
        if head.startswith(_NO_TEXT):
            raise BadFile(
                f"{name} is not text, but a table, a document or an archive. Save the prompts as UTF-8 text"
            )
        encoding = next((name for mark, name in _UTF_16_32.items() if head.startswith(mark)), None)
        if encoding:
            copy = stack.enter_context(tempfile.TemporaryFile())
            try:
                with io.TextIOWrapper(file, encoding, newline="") as text:
                    while part := text.read(1 << 16):
                        copy.write(part.encode())
            except UnicodeError:
                raise BadFile(f"{name} begins as {encoding} does and is not; save it as UTF-8") from None
            copy.seek(0)
            file = copy
        yield file


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
        defaults: Defaults,
        known: sqlite3.Connection,
    ) -> None:
        self.questions, self.name, self.defaults, self._known = questions, name, defaults, known
        self.target = target or Path(os.devnull)
        self._are_prompts: bool | None = None
        self._known.executescript(
            "CREATE TABLE request (line INTEGER PRIMARY KEY, place INT, name TEXT, custom_id TEXT UNIQUE, digest TEXT,"
            " model TEXT, tokens_in INT, tokens_out INT, answered INT DEFAULT 0, result INT);"
            "CREATE TABLE same (name TEXT PRIMARY KEY, times INT) WITHOUT ROWID"
        )

    def read(self, answer_tokens: int, progress: Callable[[int, int], None]) -> None:
        """Find out what is asked and what is answered, and that both files are what they should be."""
        place = bad = 0
        reasons: dict[str, list[int]] = {}
        size = self.questions.seek(0, os.SEEK_END)
        self.questions.seek(0)
        for number, line in enumerate(self.questions, 1):
            if number % _STEP == 0:
                progress(place, size)
            if line.strip(b" \t\r\n" + codecs.BOM_UTF8):
                try:
                    self._remember(number, place, *self._request(line), answer_tokens)
                except ValueError as error:
                    if bad < _FEW:
                        reasons.setdefault(str(error), []).append(number)
                    bad += 1
            place += len(line)
        progress(size, size)
        if bad:
            raise BadFile(self._told(reasons, bad))
        if not self._one("SELECT count(*) FROM request")[0]:
            raise BadFile(f"{self.name} holds no requests; write one a line")
        self._known.execute("CREATE INDEX names ON request (name)")
        self._size = sum(map(len, self._kept()))
        self.total, self.answered = self._one("SELECT count(*), ifnull(sum(answered), 0) FROM request")

    def _told(self, reasons: dict[str, list[int]], bad: int) -> str:
        lines = [
            f"{self.name}, line{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}: {reason}"
            for reason, numbers in reasons.items()
        ]
        if bad > 1:
            first = f"the first {_FEW} are above; " if bad > _FEW else ""
            lines.append(f"{self.name}: {bad:,} lines cannot be sent; {first}nothing was sent")
        return "\n".join(lines)

    def repair(self) -> None:
        """Remove from the output what is to be asked again: what failed, and a line that was cut off."""
        if self.target.exists() and self._size != self.target.stat().st_size:
            with replaced(self.target) as lines:
                lines.writelines(self._kept())

    def pending(self) -> Iterator[Request]:
        """The requests without an answer, in their order."""
        for number, place, custom_id, known in self._known.execute(
            "SELECT line, place, custom_id, digest FROM request WHERE NOT answered ORDER BY line"
        ):
            yield self._again(number, place, custom_id, known)

    def calls(self) -> Iterator[tuple[str, int, int, int]]:
        """Of the requests without an answer: model, tokens in and out, and how many requests have just these."""
        yield from self._known.execute(
            "SELECT model, tokens_in, tokens_out, count(*) FROM request WHERE NOT answered"
            " GROUP BY model, tokens_in, tokens_out ORDER BY min(line)"
        )

    def results(self) -> Iterator[tuple[int, Request, dict[str, Any] | None]]:
        """The requests in their order, each with the number of its line, and its result if there is one."""
        with open(self.target, "rb") as lines:
            place = 0
            for line in lines:
                with contextlib.suppress(ValueError, LookupError, TypeError, sqlite3.Error):
                    row = place, json.loads(line)["custom_id"]
                    self._known.execute("UPDATE request SET result = ? WHERE custom_id = ?", row)
                place += len(line)
            for number, start, custom_id, known, result in self._known.execute(
                "SELECT line, place, custom_id, digest, result FROM request ORDER BY line"
            ):
                found = None
                if result is not None:
                    lines.seek(result)
                    found = json.loads(lines.readline())
                yield number, self._again(number, start, custom_id, known), found

    def _again(self, number: int, place: int, custom_id: str, known: str) -> Request:
        """The request of a line that was read before."""
        self.questions.seek(place)
        with contextlib.suppress(ValueError):
            _, _, body = self._request(self.questions.readline())
            if (request := Request(custom_id, body)).digest == known:
                return request
        raise self._bad(number, "was changed meanwhile; start again")

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

    def _request(self, line: bytes) -> tuple[str | None, str, Any]:
        """What a line asks: its `custom_id`, a name for one that has none, and the body.

        Raises:
            ValueError: it cannot be sent; says why.
        """
        line = line.removeprefix(codecs.BOM_UTF8).strip()
        # The first line decides for all, so that broken JSON is never taken for a prompt.
        hint = ""
        if self._are_prompts is None:
            self._are_prompts = not line.startswith((b"{", b"["))
            hint = '; if it is a prompt, write it as {"prompt": "..."}'
        try:
            text = line.decode()
            if "\0" in text:  # As UTF-16 has it, which without a mark is not told from UTF-8.
                raise ValueError(_NOT_UTF_8)
            return self._decoded({"prompt": text} if self._are_prompts else json.loads(text))
        except RecursionError:
            raise ValueError("is nested too deeply") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"is not JSON: {error.msg}, column {error.colno}{hint}") from None
        except UnicodeDecodeError:
            raise ValueError(_NOT_UTF_8) from None

    def _decoded(self, line: Any) -> tuple[str | None, str, Any]:
        """The request of a line, of which everything but the messages or the prompt may be missing."""
        if not isinstance(line, dict):
            raise ValueError(  # noqa: TRY004 - of the file, not of an argument
                'a request must be an object, such as {"prompt": "..."}, one a line'
            )
        if not line.keys() & {"prompt", "messages", "body"}:
            raise ValueError(f"needs prompt, messages or body; found: {', '.join(line) or 'nothing'}")
        custom_id = line.pop("custom_id", None)
        body, defaults = line, self.defaults
        if "prompt" in line:
            if more := line.keys() & {"messages", "body", "method", "url"}:
                raise ValueError(f"{min(more)} cannot be combined with prompt; leave one of them out")
            if not isinstance(line["prompt"], str) or not line["prompt"].strip():
                raise ValueError("prompt must be a text that is not empty")
        elif defaults.system is not None or defaults.options:
            raise ValueError(
                "has no prompt, for which --system, --temperature and --max-tokens are; write what they say into its body"
            )
        elif line.keys() & {"body", "method", "url"}:
            if "messages" in line:
                raise ValueError("messages beside body, method or url must be in body; or leave those out")
            check_endpoint({"method": "POST", "url": URL, **line})
            body = line["body"]
        name = "" if custom_id is not None else f"prompt-{digest(body)[:24]}"
        if "prompt" in line:
            said = {"system": line.pop("system", defaults.system), "user": line.pop("prompt")}
            body["messages"] = [
                {"role": role, "content": text} for role, text in said.items() if text is not None
            ]
            limit = "max_completion_tokens" in body  # Which takes the place of the other.
            for option, value in (defaults.options or {}).items():
                if not (limit and option == "max_tokens"):
                    body.setdefault(option, value)
        if isinstance(body, dict) and "model" not in body:
            if not defaults.model:
                raise ValueError("it needs a model; name one with --model or AITOEARN_MODEL")
            body["model"] = defaults.model
        return custom_id, name, body

    def _remember(
        self, number: int, place: int, custom_id: str | None, name: str, body: Any, answer_tokens: int
    ) -> None:
        request = Request(name if custom_id is None else custom_id, body)
        tokens = request.prompt_tokens, request.answer_tokens(answer_tokens)
        given = request.custom_id
        while True:
            row = number, place, request.custom_id, given, request.digest, body["model"], *tokens
            try:
                self._known.execute(f"INSERT INTO request VALUES ({'?, ' * len(row)}0, NULL)", row)
                return
            except sqlite3.IntegrityError:
                if custom_id is not None:
                    (first,) = self._one("SELECT line FROM request WHERE custom_id = ?", custom_id)
                    raise ValueError(
                        f"custom_id {custom_id!r} is already used in line {first}; give each its own"
                    ) from None
            self._known.execute(
                "INSERT INTO same VALUES (?, 2) ON CONFLICT (name) DO UPDATE SET times = times + 1", (name,)
            )
            given = f"{name}-{self._one('SELECT times FROM same WHERE name = ?', name)[0]}"

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
                    known = self._asked(custom_id)
                except (ValueError, LookupError, TypeError, RecursionError, sqlite3.Error):
                    was_cut = not line.endswith(b"\n") and line[: len(_BEGINNING)] == _BEGINNING[: len(line)]
                    if was_cut or b"\0" in line:  # Zeros are what some file systems leave after a power cut.
                        continue
                    raise self._bad(number, "is not a result; name another file", self.target.name) from None
                if known and not is_answer:
                    continue
                if known and (known.custom_id == custom_id or not known.answered):
                    if result_id(custom_id, known.digest) != id:
                        reason = f"answers another request as {custom_id!r}"
                        if _NAME.fullmatch(custom_id):
                            reason = f"answers line {known.line} of {self.name}, with another model or other options"
                        reason += "; name another file for these answers"
                        raise self._bad(number, reason, self.target.name)
                    row = custom_id, known.line
                    self._known.execute("UPDATE request SET answered = 1, custom_id = ? WHERE line = ?", row)
                yield line if line.endswith(b"\n") else line + b"\n"

    def _asked(self, custom_id: str) -> _Asked | None:
        """The request of a result; of several that ask the same, rather one without an answer."""
        columns = f"SELECT {', '.join(_Asked._fields)} FROM request WHERE"
        found = self._one(f"{columns} custom_id = ?", custom_id)
        if not found and (match := _NAME.fullmatch(custom_id)):
            found = self._one(f"{columns} name = ? ORDER BY answered, line LIMIT 1", match[1])
        return found and _Asked(*found)

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
