"""`chat`: one streamed answer, or a conversation."""

from __future__ import annotations

import base64
import contextlib
import mimetypes
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import openai
import typer
from openai.types import CompletionUsage

from .. import ChatModel, OpenAI
from .._models import find
from . import failures, options
from .screen import errors, escape, number, print_json, without_controls


def chat(
    prompt: Annotated[
        str | None, typer.Argument(help="The question; - reads standard input, as does a pipe without it.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A name or label, in the place of AITOEARN_MODEL.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="What the model is told before all else.")] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="An image to go with the question; repeatable."),
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The most tokens of an answer.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the full completion as JSON.")] = False,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
    debug: options.Debug = False,
) -> None:
    """Ask a model and see its answer arrive; on a terminal and without a question, talk with it.

    The answer goes to stdout; reasoning, tokens, credits and time go to stderr.
    """
    settings = options.settle_with_key(site, base_url)
    parts = [_image(path) for path in image or ()]
    talk = prompt is None and not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    if not talk and prompt in (None, "-"):
        prompt = _piped()
    if not talk and not (prompt or "").strip():
        failures.fail("there is no question: give it as an argument or through a pipe", failures.USAGE)
    with OpenAI.from_settings(settings) as client:
        conversation = _Conversation(client, *_choose(client, model or settings.model), max_tokens)
        if system:
            conversation.messages.append({"role": "system", "content": system})
        if talk:
            _talk(conversation, parts)
        elif as_json:
            conversation.print_completion(_content(prompt, parts))
        else:
            try:
                conversation.ask(_content(prompt, parts))
            except KeyboardInterrupt:
                errors.print()
                raise SystemExit(failures.INTERRUPTED) from None


def _piped() -> str:
    """Standard input, in UTF-8 whatever the locale says: a model would be paid for what it cannot read."""
    sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")  # type: ignore[union-attr]
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        failures.fail("standard input is not UTF-8 text; save it with the encoding UTF-8", failures.USAGE)


def _choose(client: OpenAI, wanted: str | None) -> tuple[str, ChatModel | None]:
    """The model to ask, and its entry in the list; where it is unclear, a person is asked."""
    offered = list(client.models.list())
    found = (
        find(offered, wanted)
        if wanted
        else [each.id for each in offered if "image" not in each.output_modalities]
    )
    if isinstance(found, ChatModel):
        return found.id, found
    if found and sys.stdin.isatty() and sys.stderr.isatty():
        errors.print(f"No model is named {wanted!r}." if wanted else "Which model?", markup=False)
        for place, name in enumerate(found, 1):
            errors.print(f"  {place:2}  {without_controls(name)}", markup=False)
        place = 0
        while not 1 <= place <= len(found):
            place = typer.prompt("Number", default=1, type=int, err=True)
        return _choose(client, found[place - 1])
    if not wanted:
        failures.fail(
            "name a model with --model or AITOEARN_MODEL; `aitoearn-openai models` lists them", failures.USAGE
        )
    return wanted, None  # The service itself says what it thinks of the name.


def _image(path: Path) -> dict[str, Any]:
    kind = mimetypes.guess_type(path.name)[0] or ""
    if not kind.startswith("image/"):
        raise typer.BadParameter(
            f"{path.name!r} does not end as images do, such as in .png.", param_hint="--image"
        )
    data = base64.b64encode(path.read_bytes()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}


def _content(text: str | None, parts: list[dict[str, Any]]) -> Any:
    return [{"type": "text", "text": text}, *parts] if parts else text


class _Conversation:
    def __init__(self, client: OpenAI, name: str, model: ChatModel | None, max_tokens: int | None) -> None:
        # Here, and not with the first question: it loads much of the SDK, and Ctrl-C would break that off.
        self.create = client.chat.completions.create
        self.name = name
        self.model = model
        self.limit: dict[str, Any] = {"max_tokens": max_tokens} if max_tokens else {}
        self.messages: list[Any] = []

    def print_completion(self, content: Any) -> None:
        """The completion as the service gives it."""
        started = time.monotonic()
        messages = [*self.messages, {"role": "user", "content": content}]
        completion = self.create(model=self.name, messages=messages, **self.limit)
        print_json(completion.to_dict(mode="json"))
        self._tell(completion.usage, started)

    def ask(self, content: Any) -> None:
        """Show an answer as it arrives, and keep what was said of it, also when it is stopped or breaks off."""
        self.messages.append({"role": "user", "content": content})
        said, usage, started = "", None, time.monotonic()
        try:
            with self.create(
                model=self.name,
                messages=self.messages,
                stream=True,
                stream_options={"include_usage": True},
                **self.limit,
            ) as stream:
                thinking = False
                for chunk in stream:
                    usage = chunk.usage or usage
                    for choice in chunk.choices:
                        thought = getattr(choice.delta, "reasoning_content", None)
                        text = choice.delta.content
                        if thought:
                            errors.print(
                                without_controls(thought), style="dim", end="", markup=False, soft_wrap=True
                            )
                            thinking = True
                        if text:
                            if thinking:
                                errors.print("\n")
                            thinking = False
                            print(without_controls(text), end="", flush=True)
                            said += text
        finally:
            if said:
                print()
                self.messages.append({"role": "assistant", "content": said})
            else:
                self.messages.pop()
        self._tell(usage, started)

    def _tell(self, usage: CompletionUsage | None, started: float) -> None:
        told = []
        if usage:
            told.append(f"{usage.prompt_tokens:,} tokens in, {usage.completion_tokens:,} out")
            if self.model and (credits := self.model.credits(usage)) is not None:
                told.append(f"about {number(credits)} credits by the list")
        told.append(f"{time.monotonic() - started:.1f} s")
        errors.print(f"[dim]{escape(self.name)}: {escape(', '.join(told))}[/]", soft_wrap=True)


def _talk(conversation: _Conversation, parts: list[dict[str, Any]]) -> None:
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives `input` its editing and its history
    about = f'Talking with {conversation.name}. A line that ends in \\ or a """ block goes on; Ctrl-D ends.'
    errors.print(about, style="dim", markup=False)
    while True:
        try:
            text = _read()
            if text.strip():
                conversation.ask(_content(text, parts))
                parts = []
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
        except openai.OpenAIError as error:
            failures.report(error)


def _read() -> str:
    """What a person says, of one or more lines."""
    text = input("> ")
    if text.startswith('"""'):
        text = text[3:]
        while not text.endswith('"""'):
            text += "\n" + input("... ")
        return text[:-3].strip("\n")
    while text.endswith("\\"):
        text = text[:-1] + "\n" + input("... ")
    return text
