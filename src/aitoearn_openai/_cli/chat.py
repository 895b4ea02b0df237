"""`chat`: one streamed answer, or a conversation."""

from __future__ import annotations

import base64
import mimetypes
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import openai
import typer

from .. import ChatModel, OpenAI
from .._models import find
from . import failures, options
from .conversation import Conversation, matching, takes
from .screen import errors, one_line

_NOT_WAITING = getattr(os, "O_NONBLOCK", 0)
_MOST_BYTES = 50 * 2**20
"""The largest request that the service takes; an image is a third larger in it than in its file."""


def chat(
    prompt: Annotated[
        str | None,
        typer.Argument(help="The question. Text from a pipe goes before it; - reads standard input alone."),
    ] = None,
    model: options.Model = None,
    system: Annotated[str | None, typer.Option(help="Instructions for the model.")] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="An image to send with the question; repeatable."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="The most tokens of an answer, reasoning included.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the full completion as JSON.")] = False,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
    debug: options.Debug = False,
) -> None:
    """Ask a model and stream its answer. Without a question, on a terminal, hold a conversation.

    The answer goes to stdout; reasoning, tokens, credits and time go to stderr.
    """
    settings = options.resolve_with_key(site, base_url)
    images = _images(image or ())
    is_conversation = prompt is None and not as_json and _is_terminal(sys.stdin) and _is_terminal(sys.stdout)
    question = "" if is_conversation else _question(prompt)
    if not is_conversation and not question.strip():
        failures.fail("there is no question; give it as an argument or through a pipe", failures.USAGE)
    with OpenAI.from_settings(settings) as client:
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


def _choose(offered: list[ChatModel], wanted: str | None, kind: str) -> ChatModel:
    """The model to ask; where that is unclear, a person at a terminal picks one."""
    suited = [each for each in offered if "image" not in each.output_modalities and takes(each, kind)]
    (wanted or "").encode()  # What is no text is refused as such, not as an unknown name.
    found = find(offered, wanted) if wanted else [each.id for each in suited]
    if isinstance(found, ChatModel):
        return found
    if found and suited and _is_terminal(sys.stdin) and _is_terminal(sys.stderr):
        names = [each.id for each in suited]
        return _pick(offered, suited, [name for name in found if name in names] or names, wanted)
    if not wanted:
        failures.fail(
            "name a model with --model or AITOEARN_MODEL; `aitoearn-openai models` lists them", failures.USAGE
        )
    return ChatModel.model_validate({"name": wanted})  # The service itself refuses a name that is wrong.


def _pick(
    offered: list[ChatModel], suited: list[ChatModel], names: list[str], wanted: str | None
) -> ChatModel:
    question = f"No model is named {wanted!r}. Which one?" if wanted else "Which model?"
    errors.print(f"{question} (--model NAME or AITOEARN_MODEL chooses it without asking.)", markup=False)
    for place, name in enumerate(names, 1):
        errors.print(f"  {place:2}  {one_line(name)}", markup=False)
    while True:
        answer = typer.prompt("Number, name or part of a name", default="1", err=True)
        place = int(answer) if answer.isdecimal() else 0
        answer = names[place - 1] if place in range(1, len(names) + 1) else answer
        found, likely = find(offered, answer), matching(suited, answer)
        if isinstance(found, ChatModel):
            return found
        if isinstance(likely, ChatModel):
            return likely
        errors.print(one_line(likely), markup=False)


def _images(paths: Iterable[Path]) -> list[dict[str, Any]]:
    images, left = [], _MOST_BYTES
    for path in paths:
        kind = mimetypes.guess_type(path.name)[0] or ""
        if not kind.startswith("image/"):
            raise _bad_image(f"{path.name!r} has no image file extension, such as .png.")
        data = base64.b64encode(_content(path, left * 3 // 4)).decode()
        left -= len(data)
        images.append({"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}})
    return images


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
