"""A conversation: the questions and answers so far, what they cost, and its commands on a terminal."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

import aitoearn_openai as openai

from . import failures
from .bill import Bill
from .lists import matching
from .screen import (
    count,
    credits_text,
    errors,
    escape,
    one_line,
    print_json,
    show,
    stdout_is_elsewhere,
    write,
)

_HELP = """\
/model NAME  use another model, named in full or in part; without NAME, list all
/clear       start again without the questions and answers so far
/exit        end the conversation, as do exit, quit, bye, q and Ctrl-D
Enter sends. Alt+Enter, or \\ and Enter, begins a new line. Pasted lines stay one
message. Ctrl-C stops an answer. What begins with a space is never a command."""
_COMMAND = re.compile(r"/[a-z]*(?!\S)|(exit|quit|bye|q|help|\?)(\(\))?\s*$", re.IGNORECASE)


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
        self._create = client.chat.completions.create
        self._model = model
        self._limit: dict[str, Any] = {"max_tokens": max_tokens} if max_tokens else {}
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
        completion = self._create(
            model=self._model.id, messages=[*self._messages, self._message(question)], **self._limit
        )
        print_json(completion.to_dict(mode="json", warnings=False))
        choice = completion.choices[0]
        has_text = bool(choice.message.content)
        self._footer(completion.usage, started, choice.finish_reason, has_text)
        return has_text or choice.finish_reason != "length"

    def ask(self, question: str) -> bool:
        """Show an answer while it comes; whether there is one.

        What was said of it is kept, also when it is stopped or breaks off.
        """
        self._messages.append(self._message(question))
        text, is_reasoning = "", False
        usage, finish, started = None, None, time.monotonic()
        try:
            with self._create(
                model=self._model.id,
                messages=self._messages,
                stream=True,
                stream_options={"include_usage": True},
                **self._limit,
            ) as stream:
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
            is_stopped = isinstance(sys.exc_info()[1], KeyboardInterrupt)
            self._answers += bool(text or is_reasoning or usage or finish or is_stopped)
            if text:
                write("")
                self._messages.append({"role": "assistant", "content": text})
                self._images = []
            else:
                self._messages.pop()
            if stdout_is_elsewhere() if text else is_reasoning:
                errors.print()
        self._footer(usage, started, finish, bool(text))
        return bool(text)

    def _message(self, question: str) -> Any:
        content = [{"type": "text", "text": question}, *self._images] if self._images else question
        return {"role": "user", "content": content}

    def _footer(self, usage: Any, started: float, finish: str | None, has_text: bool) -> None:
        """Say what is to be known of an answer, and what it took."""
        if note := self._note(finish, has_text):
            show(f"[yellow]{note}[/]", errors)
        parts, bill = [], Bill()
        self._bill.add(usage, self._model)
        if usage:
            cost = bill.add(usage, self._model)
            parts.append(bill.tokens)
            parts.append(
                "of unknown cost" if cost is None else f"about {credits_text({None: cost})} (list price)"
            )
        parts.append(f"{time.monotonic() - started:.1f} s")
        show(f"[dim]{escape(self._model.id)}: {', '.join(parts)}[/]", errors)

    def _note(self, finish: str | None, has_text: bool) -> str:
        if finish == "content_filter":
            return "The service's content filter stopped the answer."
        if finish == "length":
            limit = (
                f"--max-tokens {self._limit['max_tokens']}" if self._limit else "the model's limit on tokens"
            )
            more = "; allow more with --max-tokens"
            if has_text:
                return f"The answer is cut off: it reached {limit}{more}."
            return f"There is no answer: reasoning took all tokens up to {limit}{more}."
        return "" if has_text else "The model gave no text."

    def hold(self, offered: list[openai.ChatModel]) -> None:
        """Ask what a person types, until they end it."""
        # Here, as a single answer needs none of it.
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.filters import Condition
        from prompt_toolkit.key_binding import KeyBindings

        keys = KeyBindings()

        def is_after_backslash() -> bool:
            return session.default_buffer.document.char_before_cursor == "\\"

        def is_pasted() -> bool:
            """Whether more has arrived together with Enter: not every terminal marks a paste as one."""
            return any(
                isinstance(each.key, str) and each.data for each in session.app.key_processor.input_queue
            )

        @keys.add("escape", "enter")
        @keys.add("enter", filter=Condition(is_after_backslash) | Condition(is_pasted), eager=True)
        def begin_line(event: Any) -> None:
            event.current_buffer.delete_before_cursor(is_after_backslash())
            event.current_buffer.insert_text("\n")

        commands = [
            "/help",
            "/clear",
            "/exit",
            *(f"/model {model.id}" for model in offered if model.id.isprintable()),
        ]
        session: PromptSession[str] = PromptSession(
            "> ",
            key_bindings=keys,
            prompt_continuation="... ",
            completer=WordCompleter(commands, ignore_case=True, sentence=True),
            complete_while_typing=False,
        )
        about = (
            f"Conversation with {one_line(self._model.id)}. /help lists commands; Ctrl-D or /exit ends it."
        )
        errors.print(about, style="dim", markup=False)
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
            except openai.OpenAIError as error:
                failures.report(error)
        self._show_total()

    def _run(self, command: str, argument: str, offered: list[openai.ChatModel]) -> bool:
        """Carry out a command of a conversation; whether it goes on."""
        if command == "/model":
            self._change_model(argument, offered)
        elif command == "/clear":
            self._messages = [*self._system]
            errors.print("Conversation cleared.", style="dim")
        elif command in ("/help", "help", "help()", "?"):
            errors.print(_HELP, style="dim", markup=False)
        elif command.startswith("/") and command not in ("/exit", "/quit"):
            errors.print(f"There is no command {escape(command)}. /help lists them.")
        else:
            return False
        return True

    def _change_model(self, wanted: str, offered: list[openai.ChatModel]) -> None:
        if not wanted:
            offered = offered or [self._model]
            names = [
                f"{'*' if model.id == self._model.id else ' '} {one_line(model.id)}" for model in offered
            ]
            errors.print("\n".join(names), markup=False)
            return
        # A gateway of another kind has no list, and takes names that are not known here.
        found = matching(offered, wanted) if offered else openai.ChatModel.model_validate({"name": wanted})
        problem = self.refusal(found) if isinstance(found, openai.ChatModel) else found
        if isinstance(found, openai.ChatModel) and not problem:
            self._model = found
            problem = f"The model is now {found.id}."
        errors.print(one_line(str(problem)), style="dim", markup=False)

    def _show_total(self) -> None:
        if not self._answers:
            return
        show(f"[dim]{count(self._answers, 'answer')}: {escape(str(self._bill))}[/]", errors)


def takes(model: openai.ChatModel, kind: str) -> bool:
    """Whether a model takes text, images or the like, as far as the list says."""
    return not model.input_modalities or kind in model.input_modalities
