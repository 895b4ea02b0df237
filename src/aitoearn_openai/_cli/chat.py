"""`chat`: one streamed answer, or a conversation."""

from __future__ import annotations

import base64
import mimetypes
import re
import sys
from collections.abc import Iterable
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
_MOST_BYTES = 50 * 2**20
"""The largest request that the service takes; an image is a third larger in it than in its file."""


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
        if settings.site == "sandbox" and wanted and wanted.startswith(("fail-", "slow-")):
            offered.append(
                openai.ChatModel.model_validate({"name": wanted})
            )  # It works there, and is not listed.
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
    if prompt == "-":
        prompt = None
    elif prompt and _is_terminal(sys.stdin):
        return prompt
    piped = ""
    if _is_terminal(sys.stdin):
        failures.say("Type the question, and end it with Ctrl-D on a line of its own.")
    if sys.stdin is not None:
        # Whatever the locale says: a model would be paid for what it cannot read.
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")  # type: ignore[union-attr]
        try:
            piped = sys.stdin.read()
        except UnicodeDecodeError:
            failures.fail("standard input is not UTF-8 text; save it with the encoding UTF-8", failures.USAGE)
    if prompt is None:
        return piped
    return f"{piped.rstrip()}\n\n{prompt}" if piped.strip() else prompt


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
        return openai.ChatModel.model_validate({"name": wanted})  # The service itself refuses a wrong name.
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


def _images(given: Iterable[str]) -> list[dict[str, Any]]:
    images, left = [], _MOST_BYTES
    for each in given:
        url = each
        if not each.lower().startswith(("https://", "http://", "data:")):  # Which the service fetches itself.
            url = _data_url(Path(each), left * 3 // 4)
        left -= len(url)
        images.append({"type": "image_url", "image_url": {"url": url}})
    return images


def _data_url(path: Path, most: int) -> str:
    """An image of so many bytes, of the type of its content, or of its name where no content is known for that."""
    try:
        if path.exists() and not path.is_file():  # A device may have no end, and a pipe no beginning.
            raise _bad_image(f"{path.name!r} is not a regular file.")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise _bad_image(f"{path.name!r} cannot be read: {error.strerror}.") from None
    if not content:
        raise _bad_image(f"{path.name!r} is empty.")
    if len(content) > most:
        raise _bad_image(f"with {path.name!r} the request has more than the 50 MB that the service takes.")
    kind = mimetypes.guess_type(path.name)[0] or ""
    if by_content := _BEGINNINGS.match(content):
        kind = f"image/{by_content.lastgroup}"
    elif not kind.startswith("image/"):
        raise _bad_image(f"{path.name!r} is not an image.")
    elif kind.removeprefix("image/") in _BEGINNINGS.groupindex:
        raise _bad_image(f"the content of {path.name!r} is not {kind}.")
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _bad_image(problem: str) -> typer.BadParameter:
    return typer.BadParameter(problem, param_hint="--image")
