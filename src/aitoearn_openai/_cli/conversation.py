"""A conversation: the questions and answers so far, what they cost, and its commands on a terminal."""

from __future__ import annotations

import re
import sys
import time
from functools import partial
from typing import Any

import aitoearn_openai as openai

from . import failures
from .bill import Bill
from .lists import matching
from .screen import count, errors, escape, print_json, show, write

_HELP = """\
/model NAME  use another model, named in full or in part; without NAME, list all
/clear       start again without the questions and answers so far
/exit        end the conversation, as do exit, quit, q and Ctrl-D
Enter sends. Esc and then Enter, or Alt+Enter, begins a new line. Pasted lines stay one
message, if the terminal marks a paste as such. Ctrl-C stops an answer. What begins with
a space is never a command."""
_COMMAND = re.compile(r"/[a-z]*(?!\S)|(exit|quit|q|help)\s*$", re.IGNORECASE)


class Conversation:
    """Questions to a model, each with all that was said before it."""

    def __init__(
        self,
        client: openai.OpenAI,
        model: openai.ChatModel,
        system: str | None,
        images: list[dict[str, Any]],
        max_tokens: int | None,
    ) -> None:
        # Here, and not with the first question: it loads much of the SDK, and Ctrl-C would break that off.
        limit: dict[str, Any] = {"max_tokens": max_tokens} if max_tokens else {}
        self._create: Any = partial(client.chat.completions.create, **limit)
        self._model = model
        self._system = [{"role": "system", "content": system}] if system else []
        self._messages: list[Any] = [*self._system]
        self._images = images
        """Those that go with the next question."""
        self._answers, self._bill = 0, Bill()

    def refusal(self, model: openai.ChatModel) -> str | None:
        """Why a model cannot go on with this conversation."""
        said = [part for message in self._messages for part in message["content"] if isinstance(part, dict)]
        if takes(model, "image") or not (self._images or said):
            return None
        return f"{model.id} takes no images; `aitoearn-openai models --input image` lists the models that do"

    def print_completion(self, question: str) -> bool:
        """Print the completion as the service gives it; whether it has an answer."""
        started = time.monotonic()
        completion = self._create(model=self._model.id, messages=[*self._messages, self._message(question)])
        print_json(completion.to_dict(mode="json", warnings=False))
        choice = completion.choices[0]
        has_text = bool(choice.message.content)
        self._footer(completion.usage, started, choice.finish_reason, has_text)
        return has_text or choice.finish_reason != "length"

    def ask(self, question: str) -> bool:
        """Show an answer while it comes; whether there is one.

        What was said of it is kept, also when it is stopped or breaks off.
        """
        asked = self._message(question)
        text, is_reasoning = "", False
        usage, finish, started = None, None, time.monotonic()
        with self._create(
            model=self._model.id,
            messages=[*self._messages, asked],
            stream=True,
            stream_options={"include_usage": True},
        ) as stream:
            try:
                for chunk in stream:
                    usage = chunk.usage or usage
                    for choice in chunk.choices:
                        finish = choice.finish_reason or finish
                        if thought := getattr(choice.delta, "reasoning_content", None):
                            is_reasoning = True
                            errors.print(thought, style="dim", end="", markup=False, soft_wrap=True)
                        if part := choice.delta.content:
                            if is_reasoning and not text:
                                errors.print("\n")
                            text += part
                            write(part, end="")
            finally:
                self._answers += 1
                self._bill.add(usage, self._model)
                if text:
                    write("")
                    self._messages += [asked, {"role": "assistant", "content": text}]
                    self._images = []
                # A program that reads stdout may show the text on the same terminal, later than we write.
                is_elsewhere = errors.is_terminal and not (sys.stdout and sys.stdout.isatty())
                if is_elsewhere if text else is_reasoning:
                    errors.print()
        self._footer(usage, started, finish, bool(text))
        return bool(text)

    def _message(self, question: str) -> Any:
        content = [{"type": "text", "text": question}, *self._images] if self._images else question
        return {"role": "user", "content": content}

    def _footer(self, usage: Any, started: float, finish: str | None, has_text: bool) -> None:
        """Say what is to be known of an answer, and what it took."""
        note = "" if has_text else "The model gave no text."
        if finish == "content_filter":
            note = "The service's content filter stopped the answer."
        elif finish == "length":
            what = "The answer is cut off" if has_text else "There is no answer: reasoning ended"
            note = f"{what} at the limit on tokens; --max-tokens allows more."
        if note:
            show(f"[yellow]{note}[/]", errors)
        bill = Bill()
        bill.add(usage, self._model)
        _say(f"{self._model.id}: {bill}, {time.monotonic() - started:.1f} s")

    def hold(self, offered: list[openai.ChatModel]) -> None:
        """Ask what a person types, until they end it."""
        # Here, as a single answer needs none of it.
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.key_binding import KeyBindings

        keys = KeyBindings()
        keys.add("escape", "enter")(lambda event: event.current_buffer.insert_text("\n"))
        names = (f"/model {model.id}" for model in offered if model.id.isprintable())
        session: PromptSession[str] = PromptSession(
            "> ",
            key_bindings=keys,
            prompt_continuation="... ",
            completer=WordCompleter(["/help", "/clear", "/exit", *names], ignore_case=True, sentence=True),
            complete_while_typing=False,
        )
        _say(f"Conversation with {self._model.id}. /help lists commands; Ctrl-D or /exit ends it.")
        while True:
            try:
                text = session.prompt()
                text = f"/{text[1:]}" if text[:1] == "\uff0f" else text  # As Chinese keyboards write it.
                if _COMMAND.match(text) and "\n" not in text.strip():
                    command, *argument = text.split(None, 1)
                    if not self._run(command.casefold(), "".join(argument).strip(), offered):
                        break
                elif text.strip():
                    self.ask(text.rstrip())
            except EOFError:
                break
            except KeyboardInterrupt:
                errors.print()
                _say("Ctrl-D or /exit ends the conversation.")
            except openai.OpenAIError as error:
                failures.report(error)
            except UnicodeError:
                _say("This is not valid text, and was not sent; type it again.")
        if self._answers:
            _say(f"{count(self._answers, 'answer')}: {self._bill}")

    def _run(self, command: str, argument: str, offered: list[openai.ChatModel]) -> bool:
        """Carry out a command of a conversation; whether it goes on."""
        if command == "/model":
            self._change_model(argument, offered)
        elif command == "/clear":
            self._messages = [*self._system]
            _say("Conversation cleared.")
        elif command in ("/help", "help"):
            errors.print(_HELP, style="dim", markup=False)
        elif command.startswith("/") and command not in ("/exit", "/quit"):
            _say(f"There is no command {command}. /help lists them.")
        else:
            return False
        return True

    def _change_model(self, wanted: str, offered: list[openai.ChatModel]) -> None:
        if not wanted:
            for model in offered or [self._model]:
                _say(f"{'*' if model.id == self._model.id else '-'} {model.id}")
            return
        # A gateway of another kind has no list, and takes names that are not known here.
        found = matching(offered, wanted) if offered else openai.ChatModel(id=wanted)
        if isinstance(found, str):
            _say(found)
        elif refusal := self.refusal(found):
            _say(refusal)
        else:
            self._model = found
            _say(f"The model is now {found.id}.")


def _say(text: str) -> None:
    """A line of ours between questions and answers."""
    show(f"[dim]{escape(text)}[/]", errors)


def takes(model: openai.ChatModel, kind: str) -> bool:
    """Whether a model takes text, images or the like, as far as the list says."""
    return not model.input_modalities or kind in model.input_modalities
