"""`chat`, in a pipe and as a conversation."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from commands import COMMAND, KEY, Terminal, TerminalProcess, run, run_process, sandboxed  # noqa: F401 - a fixture
from conftest import Reply, ScriptedServer

READY = "\x1b[?2004h"
"""What a terminal is sent when the command reads a message: text is pasted in brackets from now on."""
SAID = "This is the AiToEarn sandbox; no model read your message. You said: "
ENTRY = {"name": "m", "pricing": {"tiers": [{"input": {"text": "1"}, "output": {"text": "2"}}]}}


def models(*entries: dict[str, Any]) -> Reply:
    return Reply({"data": list(entries), "code": 0})


def events(*chunks: dict[str, Any]) -> Reply:
    return Reply(
        "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks), content_type="text/event-stream"
    )


def delta(**parts: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": parts}]}


@pytest.fixture
def scripted(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    monkeypatch.setenv("AITOEARN_BASE_URL", server.origin)
    monkeypatch.setenv("AITOEARN_API_KEY", KEY)
    return server


@pytest.mark.usefixtures("sandboxed")
def test_a_question_is_answered_on_stdout_alone() -> None:
    """What the model thinks, and what it cost, goes to stderr, so that a file gets the answer and nothing else."""
    answered = run("chat", "--model", "DeepSeek V4", "你好")

    assert (answered.returncode, answered.stdout) == (0, f"{SAID}你好\n")
    thought, nothing, cost = answered.stderr.splitlines()
    assert "nothing was thought" in thought
    assert nothing == ""
    assert re.fullmatch(
        r"deepseek-v4: 2 tokens in, 35 out, about 0\.001635 credits by the list, \d+\.\d s", cost
    )


@pytest.mark.usefixtures("sandboxed")
def test_a_question_comes_through_a_pipe() -> None:
    """With - or without any argument; the model can be a setting."""
    for arguments in ([], ["-"]):
        answered = run("chat", *arguments, stdin="第一行\n第二行", AITOEARN_MODEL="glm-5.2")
        assert answered.stdout == f"{SAID}第一行\n第二行\n"
    empty = run("chat", stdin=" \n", AITOEARN_MODEL="glm-5.2")
    assert (empty.returncode, empty.stderr.count("\n")) == (2, 1)
    closed = subprocess.run(
        ["sh", "-c", shlex.join([*COMMAND, "chat", "-"]) + " <&-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (closed.returncode, closed.stderr) == (2, empty.stderr)


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
@pytest.mark.parametrize("question", ["你好".encode("gbk"), "你好".encode("utf-16"), b"caf\xe9"])
def test_a_pipe_of_something_else_than_utf_8_is_refused(
    scripted: ScriptedServer, question: bytes, locale: dict[str, str]
) -> None:
    """Before anything is asked, as a model would be paid for what it cannot read."""
    refused = run_process("chat", "-", "-m", "m", stdin=question, PYTHONIOENCODING="", **locale)

    assert (refused.returncode, refused.stdout, scripted.requests) == (2, "", [])
    assert refused.stderr == (
        "aitoearn-openai: standard input is not UTF-8 text; save it with the encoding UTF-8\n"
    )


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
@pytest.mark.usefixtures("sandboxed")
def test_a_pipe_is_utf_8_whatever_the_locale_is(locale: dict[str, str]) -> None:
    """With a byte order mark or without."""
    asked = run_process("chat", "-m", "glm-5.2", stdin="\ufeff你好", PYTHONIOENCODING="utf-8", **locale)

    assert asked.stdout.endswith("You said: 你好\n")


@pytest.mark.usefixtures("sandboxed")
def test_a_pipe_and_a_question_are_sent_together() -> None:
    """The text first, and then what to do with it; an empty pipe adds nothing."""
    joined = run("chat", "-m", "glm-5.2", "Summarise.", stdin="第一行\nsecond\n\n")
    empty = run("chat", "-m", "glm-5.2", "Summarise.", stdin=" \n")
    closed = subprocess.run(
        ["sh", "-c", shlex.join([*COMMAND, "chat", "-m", "glm-5.2", "Summarise."]) + " <&-"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert joined.stdout == f"{SAID}第一行\nsecond\n\nSummarise.\n"
    assert (empty.stdout, closed.stdout) == (f"{SAID}Summarise.\n",) * 2


def finished(reason: str, **parts: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": parts, "finish_reason": reason}]}


@pytest.mark.parametrize(
    ("options", "answer", "code", "note"),
    [
        (["--max-tokens", "9"], finished("length", content="Half an"), 0,
         "The answer is cut off: it reached --max-tokens 9; allow more with --max-tokens."),
        ([], finished("length", content="Half an"), 0,
         "The answer is cut off: it reached the model's limit on tokens; allow more with --max-tokens."),
        (["--max-tokens", "9"], finished("length", reasoning_content="Well"), 1,
         "There is no answer: reasoning took all tokens up to --max-tokens 9; allow more with --max-tokens."),
        ([], finished("content_filter", content="Half an"), 0, "The service's content filter stopped the answer."),
        ([], finished("stop"), 1, "The model gave no text."),
    ],
)  # fmt: skip
def test_an_answer_that_is_cut_off_or_empty_says_so(
    scripted: ScriptedServer, options: list[str], answer: dict[str, Any], code: int, note: str
) -> None:
    """On a line of its own, before what it cost."""
    scripted.answer(models(), events(answer))
    shown = run("chat", "-m", "m", *options, "Hi")

    assert shown.returncode == code
    assert shown.stderr.splitlines()[-2] == note


@pytest.mark.parametrize(("content", "code"), [("", 1), ("Half an", 0)])
def test_a_completion_as_json_says_so_too(scripted: ScriptedServer, content: str, code: int) -> None:
    """On stderr, as the JSON is the service's."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "length", "message": message}
    scripted.answer(models(), Reply({"choices": [choice], "usage": {"prompt_tokens": "?"}}))
    shown = run("chat", "-m", "m", "--json", "Hi")

    assert (shown.returncode, json.loads(shown.stdout)["choices"]) == (code, [choice])
    assert "reached the model's limit" in shown.stderr or "reasoning took all tokens" in shown.stderr


@pytest.mark.usefixtures("sandboxed")
def test_what_an_answer_took_is_on_a_line_of_its_own() -> None:
    """Also where another program shows the answer, later than the terminal shows that."""
    with Terminal(
        command=["sh", "-c", shlex.join([*COMMAND, "chat", "-m", "glm-5.2", "Hi"]) + " | cat"],
        TERM="dumb",
    ) as terminal:
        assert terminal.end() == 0

    assert re.search(r"^glm-5\.2: .*s$", terminal.shown, re.MULTILINE)


def test_instructions_images_and_a_limit_go_along(scripted: ScriptedServer, tmp_path: Path) -> None:
    """An image as a data URL, so that it needs no place in the web."""
    (tmp_path / "猫.png").write_bytes(b"png")
    (tmp_path / "b.jpg").write_bytes(b"jpg")
    scripted.answer(models(), events(delta(content="Cats.")))
    images = ["--image", str(tmp_path / "猫.png"), "--image", str(tmp_path / "b.jpg")]
    answered = run("chat", "-m", "m", "--system", "Be brief.", *images, "--max-tokens", "9", "What is this?")

    assert answered.stdout == "Cats.\n"
    assert json.loads(scripted.requests[1].body) == {
        "model": "m",
        "max_tokens": 9,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n"}},
                    {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,anBn"}},
                ],
            },
        ],
    }


@pytest.mark.usefixtures("sandboxed")
def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    """Before anything is sent."""
    (tmp_path / "notes.txt").write_text("words")
    refused = run("chat", "-m", "glm-5.2", "--image", str(tmp_path / "notes.txt"), "Hi")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert re.fullmatch(r"aitoearn-openai: .*--image.*'notes.txt'.*\n", refused.stderr)


@pytest.mark.usefixtures("sandboxed")
def test_json_is_the_full_completion() -> None:
    """The service's own fields too."""
    answered = run("chat", "-m", "glm-5.2", "--json", "--system", "x", "你好")
    completion = json.loads(answered.stdout)

    assert completion["choices"][0]["message"]["content"] == f"{SAID}你好"
    assert "你好" in answered.stdout
    assert re.search(r" about 0\.\d+ credits by the list,", answered.stderr)


@pytest.mark.parametrize(
    ("entries", "usage", "shown"),
    [
        ([ENTRY], {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}, "1,000 tokens in, 500 out, about 2 credits by the list, "),
        ([{"name": "m"}], {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}, "1 token in, 2 out, of unknown cost, "),
        ([ENTRY], None, ""),
    ],
)  # fmt: skip
def test_the_cost_is_shown_as_far_as_it_is_known(
    scripted: ScriptedServer, entries: list[dict[str, Any]], usage: Any, shown: str
) -> None:
    """By the list alone: what an answer has as `cost` is not what the service charged."""
    scripted.answer(
        models(*entries), events(delta(content="Hi"), {"choices": [], "usage": usage, "cost": "0"})
    )

    assert re.fullmatch(rf"m: {shown}\d+\.\d s\n", run("chat", "-m", "m", "Hi").stderr)


def test_an_answer_cannot_steer_the_terminal(scripted: ScriptedServer) -> None:
    """Its control characters are left out; lines and tabs stay."""
    scripted.answer(models(), events(delta(content="\x1b]52;c;cm0=\x07a\tb\nc")))

    assert run("chat", "-m", "m", "Hi").stdout == "]52;c;cm0=a\tb\nc\n"


def test_a_failure_cannot_steer_the_terminal_either(scripted: ScriptedServer) -> None:
    """It may have the words of a model's vendor."""
    failure = {"data": {}, "code": 12301, "message": "\x1b]52;c;cm0=\x07no"}
    scripted.answer(models(), Reply(failure))

    assert "]52;c;cm0=no (AiToEarn code 12301)" in run("chat", "-m", "m", "Hi").stderr


@pytest.mark.usefixtures("sandboxed")
def test_without_a_model_a_pipe_learns_how_to_name_one() -> None:
    """Nobody is there to be asked."""
    refused = run("chat", "Hi")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--model or AITOEARN_MODEL" in refused.stderr


@pytest.mark.usefixtures("sandboxed")
def test_a_person_chooses_among_models() -> None:
    """Those that talk, where none is named, by number, name or part of a name; it says how to do without."""
    with Terminal("chat", "你好") as terminal:
        offered = terminal.wait_for("[1]: ")
        for answer, words in (
            ("99", "No model is named '99'."),
            ("gpt", "'gpt' fits gpt-5.2, gpt-5.2-mini; write more of the name."),
            ("glm5", "No model is named 'glm5'. The closest: glm-5.2."),
        ):
            terminal.type(f"{answer}\n")
            assert words in terminal.wait_for("[1]: ")
        terminal.type("v4\n")
        assert terminal.end() == 0
    assert "  2  glm-5.2" in offered
    assert "--model NAME or AITOEARN_MODEL chooses it without asking" in offered
    assert "gpt-image-2" not in offered
    assert f"{SAID}你好" in terminal.shown
    assert "deepseek-v4: " in terminal.shown

    with Terminal("chat", "-m", "glm5", "Hi") as terminal:
        assert "No model is named 'glm5'. Which one?" in terminal.wait_for("[1]: ")
        terminal.type("\n")
        assert terminal.end() == 0
    assert "glm-5.2: " in terminal.shown

    with Terminal("chat", "-m", "gemini-3-pro-imag", "Hi") as terminal:  # What is typed in full is taken.
        assert "gemini-3-pro-image" not in re.findall(r"\d  (\S+)", terminal.wait_for("[1]: "))
        terminal.type("gemini-3-pro-image\n")
        assert terminal.end() == 0
    assert "gemini-3-pro-image: " in terminal.shown

    # What talks is offered, and of that what has the word in its name.
    with Terminal("chat", "-m", "gemini", "Hi") as terminal:
        assert re.findall(r"\d  (\S+)", terminal.wait_for("[1]: "))[0] == "gemini-3.1-pro-preview"
        terminal.type("\n")
        assert terminal.end() == 0


@pytest.mark.usefixtures("sandboxed")
def test_who_sends_an_image_chooses_among_models_that_take_one(tmp_path: Path) -> None:
    """And is not asked to pay for a refusal."""
    (tmp_path / "cat.png").write_bytes(b"png")
    with Terminal("chat", "--image", str(tmp_path / "cat.png"), "Hi") as terminal:
        assert re.findall(r"\d  (\S+)", terminal.wait_for("[1]: ")) == [
            "gemini-3.1-pro-preview", "gpt-5.2", "gpt-5.2-mini", "claude-sonnet-5", "llama-5-local", "bare-local"
        ]  # fmt: skip
    with Terminal("chat", "-m", "glm", "--image", str(tmp_path / "cat.png"), "Hi") as terminal:
        assert "gemini-3.1-pro-preview" in terminal.wait_for("[1]: ")
    assert "glm-5.2" not in terminal.shown


@pytest.mark.parametrize("keys", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
@pytest.mark.usefixtures("sandboxed")
def test_who_chooses_no_model_ends_the_command(keys: str) -> None:
    """With the shells' code for it."""
    with Terminal("chat", "Hi", TERM="dumb") as terminal:
        terminal.wait_for("[1]: ")
        assert terminal.end(press=keys) == 130
    assert "Traceback" not in terminal.shown


def conversation(*arguments: str) -> Terminal:
    """A conversation on a terminal that does not say where its cursor is."""
    return Terminal("chat", *arguments, PROMPT_TOOLKIT_NO_CPR="1")


@pytest.mark.usefixtures("sandboxed")
def test_a_conversation_remembers_and_takes_several_lines() -> None:
    """Each answer counts what was said before; empty lines ask nothing; Ctrl-D ends it and shows the sum."""
    with conversation("-m", "glm-5.2") as terminal:
        terminal.wait_for(READY)
        terminal.type("你好\r")
        first = terminal.wait_for(READY)
        terminal.type("\r")
        terminal.wait_for(READY)
        terminal.type("one\\\rtwo\r")
        second = terminal.wait_for(READY)
        terminal.type("\x1b[200~three \\\n\nfour\n\x1b[201~\r")
        third = terminal.wait_for(READY)
        terminal.type("five\x1b\rsix\r")
        fourth = terminal.wait_for(READY)
        terminal.type("\x04")
        assert terminal.end() == 0

    assert "You said: 你好\n" in first
    assert "You said: one\ntwo\n" in second
    assert "You said: three \\\n\nfour\n" in third
    assert "You said: five\nsix\n" in fourth
    counts = [int(count) for count in re.findall(r"(\d+) tokens in", first + second + third + fourth)]
    assert counts == sorted(set(counts))
    assert re.search(
        rf"4 answers: {sum(counts)} tokens in, \d+ out, about 0\.\d+ (\w+ )?credits by the list",
        terminal.shown,
    )


@pytest.mark.parametrize("end", ["exit", "quit", "/exit", "/quit", "EXIT ", "quit()", "\uff0fexit"])
def test_the_words_that_end_a_conversation_are_no_questions(scripted: ScriptedServer, end: str) -> None:
    """They would cost; a conversation without an answer has no sum."""
    scripted.answer(models(ENTRY))
    with conversation("-m", "m") as terminal:
        terminal.wait_for(READY)
        terminal.type(f"{end}\r")
        assert terminal.end() == 0

    assert [request.method for request in scripted.requests] == ["GET"]
    assert "answer" not in terminal.shown


def test_a_conversation_has_commands(scripted: ScriptedServer) -> None:
    """They change the model or forget what was said; a wrong one costs nothing, and a space makes it a question."""
    two = {**ENTRY, "name": "other-2", "creditsScope": "seedance"}
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1000, "total_tokens": 1001}}
    scripted.answer(models(ENTRY, two), events(delta(content="Hello."), usage))
    with conversation("-m", "m", "--system", "Be brief.") as terminal:
        terminal.wait_for(READY)

        def type(line: str) -> str:
            terminal.type(f"{line}\r")
            return terminal.wait_for(READY)

        assert "/clear       forget what was said" in type("/help")
        assert "There is no command /modle." in type("/modle other")
        assert "* m\n  other-2\n" in type("/model")
        assert "No model is named 'xyzzy'." in type("/model xyzzy")
        type("one")
        assert "The model is now other-2." in type("/model OTHER")
        type("two")
        type("/clear")
        type(" /clear")
        type("/etc/hosts is what?")
        type("exit strategies?")
        terminal.type("\x04")
        assert terminal.end() == 0

    asked = [json.loads(request.body) for request in scripted.requests[1:]]
    talks = [[message["content"] for message in body["messages"]] for body in asked]
    assert [body["model"] for body in asked] == ["m", *["other-2"] * 4]
    assert talks[1] == ["Be brief.", "one", "Hello.", "two"]
    assert talks[2] == ["Be brief.", " /clear"]
    assert [talk[-1] for talk in talks[3:]] == ["/etc/hosts is what?", "exit strategies?"]
    assert (
        "5 answers: 5 tokens in, 5,000 out, about 2.001 credits and 8.004 seedance credits by the list"
        in re.sub(r"\x1b\[[\d;?]*\w|\n", "", terminal.shown)
    )


def test_a_conversation_with_an_image_stays_with_models_that_take_it(
    scripted: ScriptedServer, tmp_path: Path
) -> None:
    """Until it is forgotten."""
    (tmp_path / "cat.png").write_bytes(b"png")
    blind = {"name": "blind", "inputModalities": ["text"]}
    scripted.answer(models(ENTRY, blind), events(delta(content="A cat.")))
    with conversation("-m", "m", "--image", str(tmp_path / "cat.png")) as terminal:
        terminal.wait_for(READY)
        for line, words in (
            ("/model blind", "blind takes no images"),
            ("What is this?", "A cat."),
            ("/model blind", "blind takes no images"),
            ("/clear", "forgotten"),
            ("/model blind", "The model is now blind."),
        ):
            terminal.type(f"{line}\r")
            assert words in terminal.wait_for(READY)
        terminal.type("\x04")
        assert terminal.end() == 0
    assert "1 answer: 0 tokens in, 0 out; the cost of 1 answer is not known" in terminal.shown

    scripted.answer(models(ENTRY, blind))
    refused = run("chat", "-m", "blind", "--image", str(tmp_path / "cat.png"), "What is this?")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "aitoearn-openai: blind takes no images; `aitoearn-openai models --input image` lists the models that do\n"
    )
    assert sum(request.method == "POST" for request in scripted.requests) == 1


def test_an_image_is_shown_once_in_a_conversation(scripted: ScriptedServer, tmp_path: Path) -> None:
    """It goes with the first question, and history carries it on."""
    (tmp_path / "cat.png").write_bytes(b"png")
    scripted.answer(models(), events(delta(content="A cat.")))
    with conversation("-m", "m", "--image", str(tmp_path / "cat.png")) as terminal:
        for question in ("What is this?", "Sure?"):
            terminal.wait_for(READY)
            terminal.type(f"{question}\r")
        terminal.wait_for(READY)

    first, _, second = json.loads(scripted.requests[2].body)["messages"]
    assert [part["type"] for part in first["content"]] == ["text", "image_url"]
    assert second == {"role": "user", "content": "Sure?"}


@pytest.mark.usefixtures("sandboxed")
def test_what_fails_in_a_conversation_leaves_the_prompt() -> None:
    """The question is forgotten, as nothing was answered."""
    with conversation("-m", "fail-12001") as terminal:
        terminal.wait_for(READY)
        terminal.type("Hi\r")
        assert "Insufficient credits" in terminal.wait_for(READY)
        terminal.type("\x04")
        assert terminal.end() == 0


@pytest.mark.usefixtures("sandboxed")
def test_ctrl_c_stops_an_answer_and_not_the_conversation(scripted: ScriptedServer) -> None:
    """Also while a line is typed; a question without an answer is not part of the conversation."""
    said = f"data: {json.dumps(delta(content='Yes.'))}\n\ndata: [DONE]\n\n"
    # Chunks that never come: the server keeps the connection.
    silent = Reply("", headers={"Transfer-Encoding": "chunked"}, content_type="text/event-stream")
    scripted.answer(models(), silent, Reply(said, content_type="text/event-stream"))
    with conversation("-m", "m") as terminal:
        terminal.wait_for(READY)
        terminal.type("Hi\r")
        terminal.wait_for("\x1b[?2004l")
        terminal.wait_for_signals()
        deadline = time.monotonic() + 60
        while len(scripted.requests) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)  # Until the question has its silent answer.
        terminal.wait_for(READY, press="\x03")
        terminal.type("half a line\x03")
        terminal.wait_for(READY)
        terminal.type("Again\r")
        answer = terminal.wait_for(READY)
        terminal.type("\x04")
        assert terminal.end() == 0
    assert "Yes.\n" in answer
    asked = json.loads(scripted.requests[-1].body)["messages"]
    assert [message["content"] for message in asked] == ["Again"]


def test_ctrl_c_stops_a_single_answer_with_the_shells_code(scripted: ScriptedServer) -> None:
    """What was said stays, and no traceback follows."""
    event = f"data: {json.dumps(delta(content='The answer is'))}\n\n"
    # A chunk without an end: the server keeps the connection, and the answer never comes.
    headers = {"Transfer-Encoding": "chunked"}
    endless = Reply(f"{len(event):x}\r\n{event}\r\n", headers=headers, content_type="text/event-stream")
    scripted.answer(models(), endless)
    with Terminal("chat", "-m", "m", "--debug", "Hi") as terminal:
        terminal.wait_for("The answer is")
        assert terminal.end(press="\x03") == 130
    assert "Traceback" not in terminal.shown


def test_the_sum_has_answers_without_text_too(scripted: ScriptedServer) -> None:
    """They were paid for; one that tells no usage leaves the sum open."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    empty = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}], "usage": usage}
    stopped = {"choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]}
    scripted.answer(
        models(ENTRY),
        events(empty),
        events(delta(content="Hi"), {"choices": [], "usage": usage}),
        events(stopped),
    )
    with conversation("-m", "m") as terminal:
        for question in ("one", "two", "three"):
            terminal.wait_for(READY)
            terminal.type(f"{question}\r")
        terminal.wait_for(READY)
        terminal.type("/exit\r")
        assert terminal.end() == 0

    assert "3 answers: 2,000 tokens in, 1,000 out, about 4 credits by the list" in terminal.shown
    assert "1 answer is not known" in terminal.shown


def test_a_gateway_without_a_list_answers_who_names_a_model(scripted: ScriptedServer) -> None:
    """It speaks OpenAI's protocol, and has its own list elsewhere."""
    scripted.answer(Reply({"detail": "Not Found"}, 404), events(delta(content="Hi")))
    answered = run("chat", "-m", "m", "Hello")

    assert (answered.returncode, answered.stdout) == (0, "Hi\n")
    scripted.answer(Reply({"detail": "Not Found"}, 404))
    assert run("chat", "Hello").returncode == 5
