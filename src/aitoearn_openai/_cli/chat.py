"""`chat`: one streamed answer, or a conversation."""

from __future__ import annotations

import base64
import mimetypes
import os
import re
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

import aitoearn_openai as openai

from . import failures, options
from .conversation import Conversation, takes
from .lists import matching
from .screen import errors, one_line

_NOT_WAITING = getattr(os, "O_NONBLOCK", 0)
_BEGINNINGS = re.compile(
    rb"(?P<png>\x89PNG\r\n\x1a\n)|(?P<jpeg>\xff\xd8\xff)|(?P<gif>GIF8[79]a)|(?P<webp>RIFF.{4}WEBP)", re.DOTALL
)
"""What the content of an image begins with."""
_MOST_BYTES = 50 * 2**20
"""The largest request that the service takes; an image is a third larger in it than in its file."""


def chat(
    prompt: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROMPT", hidden=True),
    ] = None,
    model: options.Model = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="Instructions for the model.")] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|URL", help="An image to send with the question; repeatable."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The most tokens of an answer, reasoning included.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the full completion as JSON.")] = False,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
) -> None:
    """Ask a model and stream its answer. Without PROMPT, on a terminal, hold a conversation.

    PROMPT is the question, in quotes or not. Text from a pipe goes before it; - reads standard input only.

    The answer goes to stdout; reasoning, tokens, credits and time go to stderr.
    """
    settings = options.resolve_with_key(site, base_url)
    images = _images(image or ())
    asked = " ".join(prompt) if prompt else None
    is_conversation = asked is None and not as_json and _is_terminal(sys.stdin) and _is_terminal(sys.stdout)
    question = "" if is_conversation else _question(asked)
    if not is_conversation and not question.strip():
        failures.fail("there is no question; give it as an argument or through a pipe", failures.USAGE)
    with openai.OpenAI.from_settings(settings) as client:
        wanted = model or settings.model
        try:
            offered = list(client.models.list())
        except openai.NotFoundError:
            if not wanted:
                raise
            offered = []  # A gateway of another kind has none.
        chosen = _choose(offered, wanted, "image" if images else "text")
        conversation = Conversation(client, chosen, system, images, max_tokens)
        if refusal := conversation.refusal(chosen):
            failures.fail(refusal, failures.USAGE)
        if is_conversation:
            conversation.hold(offered)
            return
        try:
            is_answered = conversation.print_completion(question) if as_json else conversation.ask(question)
        except KeyboardInterrupt:
            raise SystemExit(failures.INTERRUPTED) from None
        if not is_answered:
            raise SystemExit(failures.NO_MATCH)


def _is_terminal(stream: Any) -> bool:
    return stream is not None and stream.isatty()


def _question(prompt: str | None) -> str:
    """The text from a pipe, if there is one, and then the prompt."""
    if prompt not in (None, "-") and (sys.stdin is None or sys.stdin.isatty()):
        return str(prompt)
    piped = _piped()
    if prompt in (None, "-"):
        return piped
    return f"{piped.rstrip()}\n\n{prompt}" if piped.strip() else str(prompt)


def _piped() -> str:
    """Standard input, in UTF-8 whatever the locale says: a model would be paid for what it cannot read."""
    if sys.stdin is None:
        return ""
    sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")  # type: ignore[union-attr]
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        failures.fail("standard input is not UTF-8 text; save it with the encoding UTF-8", failures.USAGE)


def _choose(offered: list[openai.ChatModel], wanted: str | None, kind: str) -> openai.ChatModel:
    """The model to ask; where that is unclear, a person at a terminal picks one."""
    from .._models import find

    suited = [each for each in offered if "image" not in each.output_modalities and takes(each, kind)]
    (wanted or "").encode()  # What is not text is refused as such, not as an unknown name.
    found = matching(offered, wanted) if wanted else "Which model?"
    if isinstance(found, openai.ChatModel):
        return found
    if suited and _is_terminal(sys.stdin) and _is_terminal(sys.stderr):
        close = find(offered, wanted) if wanted else []
        likely = [each for each in suited if isinstance(close, list) and each.id in close]
        return _pick(suited, likely or suited, found)
    if wanted:
        return openai.ChatModel.model_validate({"name": wanted})  # The service itself refuses a wrong name.
    return failures.fail(
        f"{options.misspelt_hint()}name a model with --model or AITOEARN_MODEL; `aitoearn-openai models` lists them",
        failures.USAGE,
    )


def _pick(suited: list[openai.ChatModel], shown: list[openai.ChatModel], question: str) -> openai.ChatModel:
    errors.print(
        f"{one_line(question)} (--model NAME or AITOEARN_MODEL chooses without a question.)", markup=False
    )
    for place, model in enumerate(shown, 1):
        errors.print(f"  {place:2}  {one_line(model.id)}", markup=False)
    while True:
        answer = typer.prompt("Number, name or part of a name", default="1", err=True)
        if answer.isdecimal() and 0 < int(answer) <= len(shown):
            return shown[int(answer) - 1]
        found = matching(suited, answer)
        if isinstance(found, openai.ChatModel):
            return found
        errors.print(one_line(found), markup=False)


def _images(given: Iterable[str]) -> list[dict[str, Any]]:
    images, left = [], _MOST_BYTES
    for each in given:
        url = each
        if not each.lower().startswith(("https://", "http://", "data:")):  # Which the service fetches itself.
            name = Path(each).name
            content = _content(Path(each), left * 3 // 4)
            url = f"data:{_kind(name, content)};base64,{base64.b64encode(content).decode()}"
        left -= len(url)
        images.append({"type": "image_url", "image_url": {"url": url}})
    return images


def _kind(name: str, content: bytes) -> str:
    """The type of an image: that of its content, or of its name where no content is known for that."""
    by_name = mimetypes.guess_type(name)[0] or ""
    if not content:
        raise _bad_image(f"{name!r} is empty.")
    if by_content := _BEGINNINGS.match(content):
        return f"image/{by_content.lastgroup}"
    if not by_name.startswith("image/"):
        raise _bad_image(f"{name!r} is not an image.")
    if by_name.removeprefix("image/") in _BEGINNINGS.groupindex:
        raise _bad_image(f"the content of {name!r} is not {by_name}.")
    return by_name


def _content(path: Path, most: int) -> bytes:
    """The content of a file, of which nothing is waited for: a device may have no end, and a pipe no beginning."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NOT_WAITING)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _bad_image(f"{path.name!r} is not a regular file.")
            content = file.read(most + 1)
    except OSError as error:
        raise _bad_image(f"{path.name!r} cannot be read: {error.strerror}.") from None
    if len(content) > most:
        raise _bad_image(f"with {path.name!r} the request has more than the 50 MB that the service takes.")
    return content


def _bad_image(problem: str) -> typer.BadParameter:
    return typer.BadParameter(problem, param_hint="--image")
