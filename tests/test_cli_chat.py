"""`chat`, in a pipe and as a conversation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from conftest import Reply, ScriptedServer
from test_cli import KEY, Terminal, run, sandboxed  # noqa: F401 - a fixture

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


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
@pytest.mark.parametrize("question", ["你好".encode("gbk"), "你好".encode("utf-16"), b"caf\xe9"])
def test_a_pipe_of_something_else_than_utf_8_is_refused(
    scripted: ScriptedServer, question: bytes, locale: dict[str, str]
) -> None:
    """Before anything is asked, as a model would be paid for what it cannot read."""
    refused = run("chat", "-", "-m", "m", stdin=question, PYTHONIOENCODING="", **locale)

    assert (refused.returncode, refused.stdout, scripted.requests) == (2, "", [])
    assert refused.stderr == (
        "aitoearn-openai: standard input is not UTF-8 text; save it with the encoding UTF-8\n"
    )


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
@pytest.mark.usefixtures("sandboxed")
def test_a_pipe_is_utf_8_whatever_the_locale_is(locale: dict[str, str]) -> None:
    """With a byte order mark or without."""
    asked = run("chat", "-m", "glm-5.2", stdin="\ufeff你好", PYTHONIOENCODING="utf-8", **locale)

    assert asked.stdout.endswith("You said: 你好\n")


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
    assert completion["cost"] == "0"
    assert re.search(r" about 0\.\d+ credits by the list,", answered.stderr)


@pytest.mark.parametrize(
    ("entries", "usage", "told"),
    [
        ([ENTRY], {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}, "1,000 tokens in, 500 out, about 2 credits by the list, "),
        ([{"name": "m"}], {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}, "1 tokens in, 2 out, "),
        ([ENTRY], None, ""),
    ],
)  # fmt: skip
def test_the_cost_is_told_as_far_as_it_is_known(
    scripted: ScriptedServer, entries: list[dict[str, Any]], usage: Any, told: str
) -> None:
    """By the list alone: what an answer has as `cost` is not what the service charged."""
    scripted.answer(
        models(*entries), events(delta(content="Hi"), {"choices": [], "usage": usage, "cost": "0"})
    )

    assert re.fullmatch(rf"m: {told}\d+\.\d s\n", run("chat", "-m", "m", "Hi").stderr)


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
def test_without_a_model_a_pipe_is_told_how_to_name_one() -> None:
    """Nobody is there to be asked."""
    refused = run("chat", "Hi")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--model or AITOEARN_MODEL" in refused.stderr


@pytest.mark.usefixtures("sandboxed")
def test_a_person_chooses_among_models() -> None:
    """Those that talk, where none is named; the closest, where the name is not quite right."""
    with Terminal("chat", "你好") as terminal:
        offered = terminal.wait_for("Number [1]: ")
        terminal.type("99\n")
        terminal.wait_for("Number [1]: ")
        terminal.type("2\n")
        assert terminal.end() == 0
    assert "  2  glm-5.2" in offered
    assert "gpt-image-2" not in offered
    assert f"{SAID}你好" in terminal.shown

    with Terminal("chat", "-m", "glm5", "Hi") as terminal:
        assert "No model is named 'glm5'." in terminal.wait_for("Number [1]: ")
        terminal.type("\n")
        assert terminal.end() == 0
    assert "glm-5.2: " in terminal.shown


@pytest.mark.parametrize("keys", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
@pytest.mark.usefixtures("sandboxed")
def test_who_chooses_no_model_ends_the_command(keys: str) -> None:
    """With the shells' code for it."""
    with Terminal("chat", "Hi", TERM="dumb") as terminal:
        terminal.wait_for("Number [1]: ")
        assert terminal.end(press=keys) == 130
    assert "Traceback" not in terminal.shown


@pytest.mark.usefixtures("sandboxed")
def test_a_conversation_remembers_and_takes_several_lines() -> None:
    """Each answer counts what was said before; empty lines ask nothing; Ctrl-D ends it."""
    with Terminal("chat", "-m", "glm-5.2", TERM="dumb") as terminal:
        terminal.wait_for("> ")
        terminal.type("你好\n")
        first = terminal.wait_for("> ")
        terminal.type("\none\\\ntwo\n")
        second = terminal.wait_for("s\n> ")
        terminal.type('"""\nthree\n\nfour"""\n')
        third = terminal.wait_for("s\n> ")
        terminal.type("\x04")
        assert terminal.end() == 0

    assert "You said: 你好\n" in first
    assert "You said: one\ntwo\n" in second
    assert "You said: three\n\nfour\n" in third
    counts = [int(count) for count in re.findall(r"(\d+) tokens in", first + second + third)]
    assert counts == sorted(set(counts))


def test_an_image_is_shown_once_in_a_conversation(scripted: ScriptedServer, tmp_path: Path) -> None:
    """It goes with the first question, and history carries it on."""
    (tmp_path / "cat.png").write_bytes(b"png")
    scripted.answer(models(), events(delta(content="A cat.")))
    with Terminal("chat", "-m", "m", "--image", str(tmp_path / "cat.png")) as terminal:
        for question in ("What is this?", "Sure?"):
            terminal.wait_for("\n> ")
            terminal.type(f"{question}\n")
        terminal.wait_for("\n> ")

    first, _, second = json.loads(scripted.requests[2].body)["messages"]
    assert [part["type"] for part in first["content"]] == ["text", "image_url"]
    assert second == {"role": "user", "content": "Sure?"}


@pytest.mark.usefixtures("sandboxed")
def test_what_fails_in_a_conversation_leaves_the_prompt() -> None:
    """The question is forgotten, as nothing was answered."""
    with Terminal("chat", "-m", "fail-12001") as terminal:
        terminal.wait_for("\n> ")
        terminal.type("Hi\n")
        assert "Insufficient credits" in terminal.wait_for("\n> ")
        terminal.type("\x04")
        assert terminal.end() == 0


@pytest.mark.usefixtures("sandboxed")
def test_ctrl_c_stops_an_answer_and_not_the_conversation() -> None:
    """Also while a line is typed."""
    with Terminal("chat", "-m", "slow-first-byte", TERM="dumb") as terminal:
        terminal.wait_for("\n> ")
        terminal.type("Hi\n")
        terminal.wait_for("Hi\n")
        terminal.wait_for("\n> ", press="\x03")
        terminal.type("half a line")
        terminal.wait_for("half a line")
        terminal.wait_for("\n> ", press="\x03")
        terminal.type("Again\n")
        answer = terminal.wait_for("s\n> ")
        terminal.type("\x04")
        assert terminal.end() == 0
    assert "You said: Again\n" in answer
    assert "slow-first-byte: 2 tokens in" in answer


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
