"""`chat`: one streamed answer, or a conversation."""

from __future__ import annotations

import base64
import mimetypes
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

import aitoearn_openai as openai

from . import failures, options
from .conversation import Conversation, takes
from .lists import matching
from .screen import errors, escape, show

_BEGINNINGS = re.compile(
    rb"(?P<png>\x89PNG\r\n\x1a\n)|(?P<jpeg>\xff\xd8\xff)|(?P<gif>GIF8[79]a)|(?P<webp>RIFF.{4}WEBP)", re.DOTALL
)
"""What the content of an image begins with."""


def chat(
    prompt: Annotated[list[str] | None, Argument(metavar="PROMPT", hidden=True)] = None,
    model: options.Model = None,
    system: Annotated[str | None, Option(metavar="TEXT", help="Instructions for the model.")] = None,
    image: Annotated[
        list[str] | None, Option(metavar="FILE|URL", help="An image to send with the question; repeatable.")
    ] = None,
    max_tokens: Annotated[
        int | None, Option(metavar="N", min=1, help="The most tokens of an answer, reasoning included.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print the full completion as JSON.")] = False,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
) -> None:
    """Ask a model and stream its answer. Without PROMPT, on a terminal, hold a conversation.

    PROMPT is the question, in quotes or not. Text from a pipe goes before it; - reads standard input only.

    The answer goes to stdout; reasoning, tokens, credits and time go to stderr.
    """
    settings = options.resolve_with_key(site, base_url)
    images = [{"type": "image_url", "image_url": {"url": _url(each)}} for each in image or ()]
    is_conversation = not (prompt or as_json) and _is_terminal(sys.stdin) and _is_terminal(sys.stdout)
    question = "" if is_conversation else _question(" ".join(prompt or ()))
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
        if settings.site == "sandbox" and wanted and wanted.startswith(("fail-", "slow-")):
            offered.append(openai.ChatModel(id=wanted))  # It works there, and is not listed.
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


def _question(prompt: str) -> str:
    """The text from a pipe, if there is one, and then the prompt, in whose place "-" may stand."""
    prompt, piped = prompt if prompt != "-" else "", ""
    if _is_terminal(sys.stdin):
        if prompt:
            return prompt
        failures.say("Type the question, and end it with Ctrl-D on a line of its own.")
    if sys.stdin is not None:
        # Whatever the locale says: a model would be paid for what it cannot read.
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")  # type: ignore[union-attr]
        try:
            piped = sys.stdin.read()
        except UnicodeDecodeError:
            failures.fail("standard input is not UTF-8 text; save it with the encoding UTF-8", failures.USAGE)
    return f"{piped.rstrip()}\n\n{prompt}" if prompt and piped.strip() else prompt or piped


def _choose(offered: list[openai.ChatModel], wanted: str | None, kind: str) -> openai.ChatModel:
    """The model to ask; where that is unclear, a person at a terminal picks one."""
    suited = [each for each in offered if "image" not in each.output_modalities and takes(each, kind)]
    (wanted or "").encode()  # What is not text is refused as such, not as an unknown name.
    found = matching(offered, wanted) if wanted else "Which model?"
    if isinstance(found, str) and suited and _is_terminal(sys.stdin) and _is_terminal(sys.stderr):
        show(escape(f"{found} (--model NAME or AITOEARN_MODEL chooses without a question.)"), errors)
        for place, model in enumerate(suited, 1):
            show(f"  {place:2}  {escape(model.id)}", errors)
        return _picked(suited)
    if isinstance(found, openai.ChatModel):
        return found
    if wanted:
        return openai.ChatModel(id=wanted)  # The service itself refuses a wrong name.
    from .._settings import misspelt_hint

    missing = "name a model with --model or AITOEARN_MODEL; `aitoearn-openai models` lists them"
    return failures.fail(f"{misspelt_hint()}{missing}", failures.USAGE)


def _picked(suited: list[openai.ChatModel]) -> openai.ChatModel:
    while True:
        answer = typer.prompt("Number, name or part of a name", err=True)
        if answer.isdecimal() and 0 < int(answer) <= len(suited):
            return suited[int(answer) - 1]
        found = matching(suited, answer)
        if isinstance(found, openai.ChatModel):
            return found
        show(escape(found), errors)


def _url(given: str) -> str:
    """An address, which the service fetches itself, or a file as one, of the type of its content or else of its name."""
    if given.lower().startswith(("https://", "http://", "data:")):
        return given
    if not os.path.isfile(given):  # A device may have no end, and a pipe no beginning.
        raise typer.BadParameter(f"{given!r} is not a file.", param_hint="--image")
    content = Path(given).read_bytes()
    kind = mimetypes.guess_type(given)[0] or ""
    if known := _BEGINNINGS.match(content):
        kind = f"image/{known.lastgroup}"
    elif not kind.startswith("image/") or kind.removeprefix("image/") in _BEGINNINGS.groupindex:
        raise typer.BadParameter(f"{given!r} is not an image.", param_hint="--image")
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
