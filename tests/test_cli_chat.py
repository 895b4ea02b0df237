"""`chat`, in a pipe and as a conversation."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from commands import SAID, Terminal, TerminalProcess, delta, events, run, wait_until
from conftest import Reply, ScriptedServer

pytestmark = pytest.mark.usefixtures("sandboxed")
READY = "\x1b[?2004h"
"""What a terminal is sent when the command reads a message: text is pasted in brackets from now on."""
ENTRY = {"name": "m", "pricing": {"tiers": [{"input": {"text": "1"}, "output": {"text": "2"}}]}}


def used(tokens_in: int, tokens_out: int) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}}


def asked(scripted: ScriptedServer) -> list[Any]:
    """The bodies of all that was asked but the list."""
    return [json.loads(request.body) for request in scripted.requests if request.method == "POST"]


@pytest.fixture
def scripted(scripted: ScriptedServer) -> ScriptedServer:
    scripted.lists(ENTRY)
    return scripted


@pytest.fixture
def cat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("猫.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return "猫.png"


def test_a_question_is_answered_on_stdout_alone() -> None:
    """What the model thinks, and what it cost, goes to stderr, so that a file gets the answer and nothing else."""
    answered = run("chat", "--model", "DeepSeek V4", "你好")

    assert (answered.returncode, answered.stdout) == (0, f"{SAID}你好\n")
    cost = r"2 tokens in, 35 out, about 0\.001635 seedance credits \(list price\), \d+\.\d s"
    assert re.fullmatch(rf".*nothing was thought.*\n\ndeepseek-v4: {cost}\n", answered.stderr)


@pytest.mark.parametrize(
    ("arguments", "piped", "asked"),
    [
        ([], "第一行\n第二行", "第一行\n第二行"),
        (["-"], "\ufeff第一行", "第一行"),
        (["Summarise."], "第一行\nsecond\n\n", "第一行\nsecond\n\nSummarise."),
        (["Summarise."], " \n", "Summarise."),
        (["Hi"], None, "Hi"),
    ],
)
def test_a_question_comes_through_a_pipe(arguments: list[str], piped: str | None, asked: str) -> None:
    """The text first, and then what to do with it; an empty pipe, or a closed one, adds nothing. The model can be a setting."""
    closed = {"stdin": None} if piped is None else {}
    answered = run("chat", *arguments, stdin=piped or "", streams=closed, AITOEARN_MODEL="glm-5.2")

    assert answered.stdout == f"{SAID}{asked}\n"


def test_a_pipe_of_something_else_than_utf_8_is_refused(scripted: ScriptedServer) -> None:
    """Before anything is asked, as a model would be paid for what it cannot read."""
    refused = run("chat", "-", "-m", "m", stdin="你好".encode("gbk"))

    told = "aitoearn-openai: standard input is not UTF-8 text; save it with the encoding UTF-8\n"
    assert (refused.returncode, refused.stderr, scripted.requests) == (2, told, [])


@pytest.mark.parametrize(
    ("entry", "chunks", "code", "told"),
    [
        (ENTRY, [delta("length", content="Half an")], 0,
         r"The answer is cut off at the limit on tokens; --max-tokens allows more\.\nm: the cost of 1 answer is .*"),
        (ENTRY, [delta("length", reasoning_content="Well")], 1,
         r"Well\nThere is no answer: reasoning ended at the limit on tokens; --max-tokens allows more\.\nm: .*"),
        (ENTRY, [delta("content_filter", content="Half an")], 0,
         r"The service's content filter stopped the answer\.\nm: .*"),
        (ENTRY, [delta("stop")], 1, r"The model gave no text\.\nm: .*"),
        (ENTRY, [delta(content="Hi"), used(1000, 500)], 0,
         r"m: 1,000 tokens in, 500 out, about 2 credits \(list price\), \d+\.\d s"),
        ({"name": "m"}, [delta(content="Hi"), used(1, 2)], 0,
         r"m: 1 token in, 2 out, the cost of 1 answer is not known, \d+\.\d s"),
        (ENTRY, [delta(content="Hi"), {"choices": [], "cost": "0"}], 0, r"m: the cost of 1 answer is not known, .*"),
    ],
)  # fmt: skip
def test_what_an_answer_lacks_and_what_it_cost_is_told(
    scripted: ScriptedServer, entry: dict[str, Any], chunks: list[Any], code: int, told: str
) -> None:
    """By the list alone: what an answer has as `cost` is not what the service charged."""
    scripted.lists(entry)
    scripted.answer(events(*chunks))
    shown = run("chat", "-m", "m", "Hi")

    assert shown.returncode == code
    assert re.fullmatch(f"{told}\n", shown.stderr)


@pytest.mark.parametrize(("content", "code"), [("", 1), ("Half an", 0)])
def test_a_completion_as_json_says_so_too(scripted: ScriptedServer, content: str, code: int) -> None:
    """On stderr, as the JSON is the service's, odd as it may be."""
    choice = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": content}}
    completion = {"choices": [choice], "usage": {"prompt_tokens": "?"}}
    scripted.answer(Reply(completion))
    shown = run("chat", "-m", "m", "--json", "Hi")

    assert (shown.returncode, json.loads(shown.stdout)) == (code, completion)
    assert "at the limit on tokens" in shown.stderr


def test_instructions_images_and_a_limit_go_along(scripted: ScriptedServer, cat: str) -> None:
    """An image as what its content is, or by its name where nothing is known of that; an address as it is."""
    given = {"b.jpg": b"\xff\xd8\xff", "a.png": b"GIF89a", "b": b"RIFF1234WEBP", "c.svg": b"<svg/>"}
    for name, content in given.items():
        Path(name).write_bytes(content)
    scripted.answer(events(delta(content="Cats.")))
    images = [cat, *given, "HTTPS://example.org/cat.png"]
    options = ["--system", "Be brief.", *(f"--image={each}" for each in images), "--max-tokens", "9"]
    answered = run("chat", "-m", "m", *options, "What", "is this?")

    assert answered.stdout == "Cats.\n"
    (body,) = asked(scripted)
    system, question = body.pop("messages")
    assert body == {"model": "m", "max_tokens": 9, "stream": True, "stream_options": {"include_usage": True}}
    assert system == {"role": "system", "content": "Be brief."}
    text, png, *others = question["content"]
    assert text == {"type": "text", "text": "What is this?"}
    assert png == {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    kinds = [part["image_url"]["url"].partition(";")[0] for part in others]
    assert kinds == ["data:image/jpeg", "data:image/gif", "data:image/webp", "data:image/svg+xml", images[-1]]


def test_a_gateway_without_a_list_answers_who_names_a_model(scripted: ScriptedServer) -> None:
    """It speaks OpenAI's protocol, and has its own list elsewhere."""
    absent = Reply({"detail": "Not Found"}, 404)
    scripted.paths.clear()
    scripted.answer(absent, events(delta(content="Hi")), absent)

    assert run("chat", "-m", "m", "Hello").stdout == "Hi\n"
    assert run("chat", "Hello").returncode == 5


@pytest.mark.parametrize("named", [[], ["-m", "glm5"]])
def test_a_person_chooses_among_models(named: list[str]) -> None:
    """Those that talk, where none is named or the name is wrong: by number, name or part of a name."""
    answered = run("chat", *named, "你好", stdin="99\ngpt\nv4\n", typed="")

    assert answered.stdout.endswith(f"{SAID}你好\n")
    first, *offered = answered.stderr.splitlines()
    assert ("no model is named 'glm5'; the closest: glm-5.2" in first) == bool(named)
    assert "--model NAME or AITOEARN_MODEL chooses without a question" in first
    assert "   2  glm-5.2" in offered
    assert "gpt-image-2" not in "".join(offered)
    assert "no model is named '99'" in answered.stderr
    assert "the closest: gpt-5.2, gpt-5.2-mini" in answered.stderr
    assert "deepseek-v4: " in offered[-1]


def test_who_names_a_failure_of_the_sandbox_gets_it() -> None:
    """It is in no list, and yet no wrong name."""
    assert run("chat", "-m", "fail-12001", "Hi", typed="").returncode == 5


def test_who_sends_an_image_chooses_among_models_that_take_one(cat: str) -> None:
    """And is not asked to pay for a refusal; who chooses none ends the command, with the shells' code for it."""
    ended = run("chat", "--image", cat, "Hi", typed="")

    assert ended.returncode == 130
    assert re.findall(r"\d  (\S+)", ended.stderr) == [
        "gemini-3.1-pro-preview", "gpt-5.2", "gpt-5.2-mini", "claude-sonnet-5", "llama-5-local", "bare-local"
    ]  # fmt: skip


def test_a_conversation_remembers_and_takes_several_lines() -> None:
    """Each answer counts what was said before; empty lines ask nothing; Ctrl-D ends it and shows the sum."""
    keys = "你好\r\r\udcff\r\x1b[200~three \\\n\nfour\n\x1b[201~\rfive\x1b\rsix\r\x04"
    talk = run("chat", "-m", "glm-5.2", typed=keys)
    *counts, total = map(int, re.findall(r"(\d+) tokens in", talk.stderr))

    assert talk.returncode == 0
    said = "你好", "three \\\n\nfour", "five\nsix"
    assert talk.stdout == "".join(f"{SAID}{each}\n" for each in said)
    assert counts == sorted(set(counts))
    assert "This is not valid text, and was not sent" in talk.stderr
    assert f"3 answers: {sum(counts)} tokens in, " in talk.stderr
    assert total == sum(counts)


@pytest.mark.parametrize("end", ["q", "EXIT ", "\uff0fquit"])
def test_the_words_that_end_a_conversation_are_no_questions(scripted: ScriptedServer, end: str) -> None:
    """They would cost; a conversation without an answer has no sum."""
    ended = run("chat", "-m", "m", typed=f"{end}\rHi\r\x04")

    assert (ended.returncode, asked(scripted)) == (0, [])
    assert "answer" not in ended.stderr


def test_a_conversation_has_commands(scripted: ScriptedServer) -> None:
    """They change the model or forget what was said; a wrong one costs nothing, and a space makes it a question."""
    two = {**ENTRY, "name": "other-2", "creditsScope": "seedance", "inputModalities": ["text"]}
    scripted.lists(ENTRY, two)
    scripted.answer(events(delta(content="Hello."), used(1, 1000)))
    lines = "/help", "/modle other", "/model", "/model xyzzy", "one", "/model OTHER", "two", "/clear"
    lines += " /clear", "/etc/hosts is what?", "exit strategies?"
    talk = run("chat", "-m", "m", "--system", "Be brief.", typed="\r".join([*lines, "\x04"]))

    told = [
        "/clear       start again", "There is no command /modle.", "* m\n- other-2\nno model is named 'xyzzy'",
        "m: 1 token in", "The model is now other-2.", "other-2: 1 token in", "Conversation cleared.",
        "5 answers: 5 tokens in, 5,000 out, about 2.001 credits and 8.004 seedance credits (list price)",
    ]  # fmt: skip
    assert re.search(".*".join(map(re.escape, told)), talk.stderr, re.DOTALL)
    assert [body["model"] for body in asked(scripted)] == ["m", *["other-2"] * 4]
    talks = [[message["content"] for message in body["messages"]] for body in asked(scripted)]
    assert talks[1:3] == [["Be brief.", "one", "Hello.", "two"], ["Be brief.", " /clear"]]
    assert [talk[-1] for talk in talks[3:]] == ["/etc/hosts is what?", "exit strategies?"]


def test_a_conversation_about_an_image_stays_with_models_for_it(scripted: ScriptedServer, cat: str) -> None:
    """It goes with the first question, and history carries it on until it is forgotten."""
    scripted.lists(ENTRY, {"name": "blind", "inputModalities": ["text"]})
    scripted.answer(events(delta(content="A cat.")))
    lines = "/model blind", "What is this?", "Sure?", "/model blind", "/clear", "/model blind", "\x04"
    talk = run("chat", "-m", "m", "--image", cat, typed="\r".join(lines))

    first, _, second = asked(scripted)[-1]["messages"]
    assert [part["type"] for part in first["content"]] == ["text", "image_url"]
    assert second == {"role": "user", "content": "Sure?"}
    assert re.findall("blind takes no images|cleared|is now blind", talk.stderr) == [
        *["blind takes no images"] * 2, "cleared", "is now blind"
    ]  # fmt: skip
    assert "2 answers: the cost of 2 answers is not known" in talk.stderr


def test_what_fails_in_a_conversation_leaves_the_prompt(scripted: ScriptedServer) -> None:
    """The question is forgotten, as nothing was answered; what has no text was paid for, and is in the sum."""
    scripted.answer(
        Reply({"code": 12001, "message": "Insufficient credits", "data": {}}),
        events({**delta("length", reasoning_content="Well"), "usage": used(1000, 500)["usage"]}),
        events(delta(content="Hi"), used(1000, 500)),
        events(delta("content_filter")),
    )
    talk = run("chat", "-m", "m", typed="0\r1\r2\r3\r\x04")

    assert (talk.returncode, talk.stdout.strip()) == (0, "Hi")
    assert "Insufficient credits" in talk.stderr
    assert [len(body["messages"]) for body in asked(scripted)] == [1, 1, 1, 3]
    total = "3 answers: 2,000 tokens in, 1,000 out, about 4 credits (list price), the cost of 1 answer is not known"
    assert total in talk.stderr


def test_ctrl_c_stops_an_answer_and_not_the_conversation(scripted: ScriptedServer) -> None:
    """Also while a line is typed; a question without an answer is not part of the conversation."""
    # Chunks that never come: the server keeps the connection.
    silent = Reply("", headers={"Transfer-Encoding": "chunked"}, content_type="text/event-stream")
    scripted.answer(silent, events(delta(content="Yes.")))
    with TerminalProcess("chat", "-m", "m", PROMPT_TOOLKIT_NO_CPR="1") as terminal:
        terminal.wait_for(READY)
        terminal.type("Hi\r")
        wait_until(lambda: len(scripted.requests) == 2)  # The question has its silent answer.
        terminal.wait_for(READY, press="\x03")
        assert "/exit ends the conversation" in terminal.type("half a line\x03", until=READY)
        assert "Yes.\n" in terminal.type("Again\r", until=READY)
        terminal.type("\x04")
        assert terminal.end() == 0

    assert [message["content"] for message in asked(scripted)[-1]["messages"]] == ["Again"]


def test_an_answer_that_is_interrupted_ends_with_the_code_of_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    create = "openai.resources.chat.completions.Completions.create"
    monkeypatch.setattr(create, Mock(side_effect=KeyboardInterrupt))

    assert [run("chat", "-m", "glm-5.2", *more, "Hi").returncode for more in ([], ["--json"])] == [130, 130]


def test_who_is_to_type_a_question_is_told_how_to_end_it() -> None:
    answered = run("chat", "-m", "glm-5.2", "--json", stdin="你好\n", typed="")

    assert "Ctrl-D on a line of its own." in answered.stderr
    assert f"{SAID}你好" in answered.stdout


def test_the_sum_begins_a_line_of_its_own_where_a_program_reads_the_answer() -> None:
    """That may show the answer on the same terminal, later and without a line end."""
    terminal = Terminal(io.BytesIO(), "utf-8", newline="")
    answered = run("chat", "Hi", "-m", "glm-5.2", streams={"stderr": terminal}, TTY_COMPATIBLE="1")
    terminal.flush()

    assert answered.stdout == f"{SAID}Hi\n"
    assert terminal.buffer.getvalue().startswith(b"\n")
