"""`batch`: files in and out, stopped, broken and killed in every way, and gone on with."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import Self

from aitoearn_openai._cli.batch_files import BadFile, opened
from aitoearn_openai.batch import Result
from commands import COMMAND, KEY, Terminal, run, sandboxed  # noqa: F401 - a fixture
from conftest import Reply, ScriptedServer

SAID = "This is the AiToEarn sandbox; no model read your message. You said: "
MODELS = Reply({"data": [{"name": "m", "pricing": {"price": "0.5"}}], "code": 0})
KILLS = int(os.environ.get("BATCH_KILLS", "10"))
SEED = int(os.environ.get("BATCH_SEED", "7"))


def question(custom_id: str, prompt: str = "Hi", model: str = "glm-5.2", **more: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], **more}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def write(path: Path, *lines: Any) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return path


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The results by their name; each stands there once."""
    results = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert len({result["custom_id"] for result in results}) == len(results)
    return {result["custom_id"]: result for result in results}


def said(result: dict[str, Any]) -> str:
    return str(result["response"]["body"]["choices"][0]["message"]["content"]).removeprefix(SAID)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "in.jsonl"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def scripted(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    monkeypatch.setenv("AITOEARN_BASE_URL", server.origin)
    monkeypatch.setenv("AITOEARN_API_KEY", KEY)
    monkeypatch.setenv("AITOEARN_MAX_RETRIES", "0")
    replies = server.next_reply
    server.next_reply = lambda: MODELS if server.requests[-1].method == "GET" else replies()  # type: ignore[method-assign]
    return server


def asked(server: ScriptedServer) -> list[str]:
    """The prompts that the server was asked, in their order."""
    bodies = [json.loads(each.body) for each in server.requests if each.method == "POST"]
    return [body["messages"][0]["content"] for body in bodies]


@pytest.mark.usefixtures("sandboxed")
def test_a_file_of_the_batch_api_is_answered_in_its_format(source: Path, target: Path) -> None:
    """So the code that reads those files reads these; what happens is told at the end."""
    write(source, question("a", "你好"), question("b", "fine", user="u"), "")
    done = run("batch", str(source), str(target))

    results = read(target)
    assert {name: said(result) for name, result in results.items()} == {"a": "你好", "b": "fine"}
    assert results["a"].keys() == {"id", "custom_id", "response", "error"}
    assert results["a"]["response"].keys() == {"status_code", "request_id", "body"}
    assert results["a"]["response"]["body"]["cost"] == "0"
    assert re.fullmatch(
        r"out\.jsonl: 2 of 2 answered, 0 failed\. "
        r"This run: 3 tokens in, 37 out, about 0\.016875 seedance credits by the list, \d+\.\d s\.\n",
        done.stdout,
    )
    assert (
        done.stderr.splitlines()[0]
        == "0 of 2 answered, 0 failed, 0 tokens in, 0 out, about 0 credits by the list"
    )
    assert done.returncode == 0


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize(
    "lines",
    [
        ["你好", "", "  How are\tyou? ", "{}"],
        [{"prompt": "你好"}, "", {"prompt": "How are\tyou?"}, {"prompt": "{}"}],
    ],
)
def test_plain_prompts_are_answered_under_the_number_of_their_line(
    source: Path, target: Path, lines: list[Any]
) -> None:
    """One a line, as text or in JSON; the model may be given by its label."""
    write(source, *lines)
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes().replace(b"\n", b"\r\n"))  # as Windows writes it
    assert run("batch", str(source), str(target), "-m", "GLM 5.2").returncode == 0

    assert {name: said(result) for name, result in read(target).items()} == {
        "line-1": "你好",
        "line-3": "How are\tyou?",
        "line-4": "{}",
    }


@pytest.mark.usefixtures("sandboxed")
def test_a_prompt_may_have_a_name(source: Path, target: Path) -> None:
    """And stand beside full requests."""
    write(source, {"prompt": "one", "custom_id": "first"}, question("second", "two"))
    assert run("batch", str(source), str(target), AITOEARN_MODEL="glm-5.2").returncode == 0

    assert {name: said(result) for name, result in read(target).items()} == {"first": "one", "second": "two"}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([question("a"), "{"], "in.jsonl, line 2: is not JSON: Expecting property name .*, column 2"),
        (["{who} are you?"], "in.jsonl, line 1: is not JSON: .*; if it is a prompt, write it as .*"),
        ([question("a"), "Hello"], "in.jsonl, line 2: is not JSON: .*"),
        (["[" * 100_000], "in.jsonl, line 1: is nested too deeply"),
        (["Hello"], "in.jsonl, line 1: it needs a model; name one with --model or AITOEARN_MODEL"),
        ([question("a"), "", question("b", stream=True)], "in.jsonl, line 3: remove body.stream: .*"),
        (
            [question("a"), question("b"), question("a")],
            "in.jsonl, line 3: custom_id 'a' is already used in line 1.*",
        ),
        ([{**question("a"), "url": "/v1/embeddings"}], 'in.jsonl, line 1: url must be "/v1/chat/comp.*'),
        ([{"prompt": " "}], "in.jsonl, line 1: prompt must be a text that is not empty"),
        ([{"prompt": "Hi", "custom_id": ""}], "in.jsonl, line 1: custom_id must be a text .*"),
        ([{"prompt": "Hi", "seed": 1}], "in.jsonl, line 1: 'seed' cannot be combined with prompt; .*"),
    ],
)
def test_a_bad_line_is_told_before_anything_is_asked(
    scripted: ScriptedServer, source: Path, target: Path, lines: list[Any], told: str
) -> None:
    """By its number, with what is wrong."""
    model = [] if lines == ["Hello"] else ["-m", "m"]
    failed = run("batch", str(write(source, *lines)), str(target), *model)

    assert failed.returncode == 2
    assert re.fullmatch(f"aitoearn-openai: {told}\n", failed.stderr)
    assert asked(scripted) == []
    assert not target.exists()


def test_a_file_that_is_no_text_is_refused(scripted: ScriptedServer, source: Path, target: Path) -> None:
    """Prompts are UTF-8."""
    source.write_bytes("Grüße\n".encode("latin-1"))

    assert "line 1: is not UTF-8 text" in run("batch", str(source), str(target), "-m", "m").stderr


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("in.jsonl", "the output must be another file than the input"),
        ("/dev/null", "/dev/null is not a file"),
        ("nowhere/out.jsonl", "there is no folder .*/nowhere"),
        ("x" * 300, ".*xxx: File name too long"),
    ],
)
def test_an_output_that_cannot_be_is_refused(
    scripted: ScriptedServer, source: Path, tmp_path: Path, target: str, told: str
) -> None:
    """In one line."""
    write(source, "Hi")
    failed = run("batch", str(source), str(tmp_path / target), "-m", "m")

    assert (failed.returncode, source.read_text()) == (2, "Hi\n")
    assert re.fullmatch(f"aitoearn-openai: {told}\n", failed.stderr)


def test_what_is_answered_is_not_asked_again(scripted: ScriptedServer, source: Path, target: Path) -> None:
    """The same command does the rest, also of a file that has grown; what failed is told, and asked again."""
    good, bad = (
        Reply({"choices": [{"message": {}}], "n": 1}),
        Reply({"code": 12300, "message": "no", "data": {}}),
    )
    scripted.answer(good, bad, good)
    command = [
        "batch",
        str(write(source, "one", "two", "three")),
        str(target),
        "-m",
        "m",
        "--concurrency",
        "1",
    ]
    first = run(*command)
    failed = read(target)["line-2"]
    write(source, "one", "two", "three", "four")
    scripted.answer(good)
    second, third = run(*command), run(*command)

    assert (first.returncode, second.returncode, third.returncode) == (1, 0, 0)
    assert "2 of 3 answered, 1 failed" in first.stdout
    assert first.stdout.endswith("Asking again will not help: change the requests that failed.\n")
    assert re.search(
        r"^aitoearn-openai: 1 request failed: Error code: 404 - no .* lists the names\.$",
        first.stderr,
        re.MULTILINE,
    )
    assert (failed["response"]["status_code"], failed["error"]) == (404, None)
    assert failed["response"]["body"]["error"]["code"] == "12300"
    assert "4 of 4 answered, 0 failed" in second.stdout
    assert asked(scripted) == ["one", "two", "three", "two", "four"]
    assert [result["response"]["status_code"] for result in read(target).values()] == [200] * 4
    assert list(read(target)) == ["line-1", "line-3", "line-2", "line-4"]


def test_the_reasons_of_all_failures_are_counted(
    scripted: ScriptedServer, source: Path, target: Path
) -> None:
    """Each reason once, whatever id each request got, and the most common first; a bound is on how many are shown."""
    away = [{"code": 12301, "message": f"away {n // 2}", "requestId": f"r{n}"} for n in range(24)]
    once = {"code": 12300, "message": "no", "requestId": "r"}
    scripted.answer(*map(Reply, [once, *[{**once, "requestId": f"s{n}"} for n in range(2)], *away]))
    done = run(
        "batch", str(write(source, *map(str, range(27)))), str(target), "-m", "m", "--concurrency", "1"
    )
    reasons = [line for line in done.stderr.splitlines() if " failed: " in line]

    assert done.returncode == 1
    assert done.stdout.endswith("The same command sends the rest.\n")
    assert reasons[0] == (
        "aitoearn-openai: 3 requests failed: Error code: 404 - no (AiToEarn code 12300). "
        "The model list had m, but models may vanish: `aitoearn-openai models` lists the names."
    )
    assert reasons[1].startswith(
        "aitoearn-openai: 2 requests failed: Error code: 502 - away 0 (AiToEarn code"
    )
    assert len(reasons) == 11
    assert reasons[-1] == "aitoearn-openai: 6 requests failed: for other reasons, which the output names."


def test_of_very_many_reasons_only_their_number_is_kept(
    scripted: ScriptedServer, source: Path, target: Path
) -> None:
    """Memory does not grow with them."""
    scripted.answer(*(Reply({"code": 12300, "message": f"no {n}"}) for n in range(103)))
    done = run("batch", str(write(source, *map(str, range(103)))), str(target), "-m", "m")

    assert done.stderr.endswith("93 requests failed: for other reasons, which the output names.\n")


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_input_without_requests_is_an_error(
    scripted: ScriptedServer, source: Path, target: Path, text: str
) -> None:
    """And leaves no file."""
    source.write_text(text)
    failed = run("batch", str(source), str(target))

    assert failed.returncode == 2
    assert failed.stderr == "aitoearn-openai: in.jsonl holds no requests; write one a line\n"
    assert os.listdir(source.parent) == ["in.jsonl"]


def test_requests_come_through_a_pipe(scripted: ScriptedServer, target: Path) -> None:
    """As - says; the same requests through a pipe again are not asked again."""
    scripted.answer(Reply({"choices": [{"message": {}}]}))
    first = run("batch", "-", str(target), "-m", "m", stdin="你好\nHi\n")
    again = run("batch", "-", str(target), "-m", "m", stdin="你好\nHi\nthree\n")
    bad = run("batch", "-", str(target), "-m", "m", stdin="Hi\n{\n".replace("Hi", "{}"))
    closed = subprocess.run(
        ["sh", "-c", shlex.join([*COMMAND, "batch", "-", str(target)]) + " <&-"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (first.returncode, again.returncode) == (0, 0)
    assert sorted(asked(scripted)) == ["Hi", "three", "你好"]
    assert bad.stderr.startswith("aitoearn-openai: standard input, line 1: ")
    assert closed.stderr == "aitoearn-openai: standard input holds no requests; write one a line\n"
    assert os.listdir(target.parent) == ["out.jsonl"]


def test_an_output_is_a_file(scripted: ScriptedServer, source: Path) -> None:
    """It is the record of what is answered; only a dry run does without."""
    write(source, "Hi")
    missing = run("batch", str(source), "-m", "m")
    pipe = run("batch", str(source), "-", "-m", "m")
    looked = run("batch", str(source), "-m", "m", "--dry-run")

    assert (missing.returncode, pipe.returncode, looked.returncode) == (2, 2, 0)
    assert re.fullmatch(r"aitoearn-openai: .*OUT.jsonl.*only --dry-run does without\. `.*\n", missing.stderr)
    assert pipe.stderr.startswith("aitoearn-openai: name a file for the results")
    assert looked.stdout.startswith("1 request, 0 answered, 1 to ask\n")
    assert asked(scripted) == []


def test_what_every_line_would_repeat_may_be_left_out(
    scripted: ScriptedServer, source: Path, target: Path
) -> None:
    """Method, address, name and model; what is given is sent unchanged."""
    scripted.answer(Reply({"choices": [{"message": {}}]}))
    messages = [{"role": "user", "content": "Hi"}]
    write(
        source,
        {"messages": messages, "temperature": 0.5},
        {"custom_id": "mine", "model": "other", "messages": messages},
        {"body": {"messages": messages}},
    )
    done = run("batch", str(source), str(target), "-m", "m", "--concurrency", "1")
    half = run(
        "batch", "-", str(target), "-m", "m", stdin=json.dumps({"method": "POST", "messages": messages})
    )

    assert done.returncode == 0
    assert [json.loads(request.body) for request in scripted.requests if request.method == "POST"] == [
        {"messages": messages, "temperature": 0.5, "model": "m"},
        {"model": "other", "messages": messages},
        {"messages": messages, "model": "m"},
    ]
    assert list(read(target)) == ["line-1", "mine", "line-3"]
    assert (
        half.stderr
        == "aitoearn-openai: standard input, line 1: messages beside method or url must be in body; or leave those two out\n"
    )


def test_answers_to_something_else_are_never_taken_for_these(
    scripted: ScriptedServer, source: Path, target: Path
) -> None:
    """A prompt that changed, or another model, needs another output."""
    scripted.answer(Reply({"choices": [{"message": {}}]}))
    command = ["batch", str(write(source, "one", "two")), str(target), "-m"]
    run(*command, "m")
    before = target.read_bytes()
    told = (
        "aitoearn-openai: out.jsonl, line 1: answers another request as 'line-[12]'; name another file .*\n"
    )
    other_model = run(*command, "m2")
    write(source, "one!", "two!")
    other_prompts = run(*command, "m")

    assert (other_model.returncode, other_prompts.returncode) == (2, 2)
    assert re.fullmatch(told, other_model.stderr)
    assert re.fullmatch(told, other_prompts.stderr)
    assert (len(asked(scripted)), target.read_bytes()) == (2, before)


def test_results_of_other_requests_stay(scripted: ScriptedServer, source: Path, target: Path) -> None:
    """Several inputs may share an output, as long as their names differ."""
    scripted.answer(Reply({"choices": [{"message": {}}]}))
    run("batch", str(write(source, question("a"))), str(target))
    scripted.answer(Reply({"choices": [{"message": {}}]}))
    done = run("batch", str(write(source, question("b"))), str(target))

    assert "1 of 1 answered" in done.stdout
    assert list(read(target)) == ["a", "b"]


@pytest.mark.parametrize(
    ("cut", "kept"),
    [
        (lambda text: text[:-20], 2),
        (lambda text: text[: text.rindex(b"\n", 0, -1) + 2], 2),
        (lambda text: text[:-1], 3),
        (lambda text: text + b"\0" * 4096, 3),
        (lambda text: text[: text.index(b"\n") + 1] + b"\0" * 300 + text[text.index(b"\n") + 301 :], 2),
        (lambda text: b"", 0),
    ],
)
def test_what_a_power_cut_leaves_is_mended(
    scripted: ScriptedServer, source: Path, target: Path, cut: Any, kept: int
) -> None:
    """A line that was cut off is asked again; one that only lacks its end is kept; zeros go."""
    scripted.answer(Reply({"choices": [{"message": {}}], "padding": "x" * 300}))
    command = ["batch", str(write(source, "one", "two", "three")), str(target), "-m", "m"]
    run(*command)
    target.write_bytes(cut(target.read_bytes()))
    target.chmod(0o640)
    scripted.requests.clear()
    scripted.answer(Reply({"choices": [{"message": {}}]}))
    again = run(*command)

    assert again.returncode == 0
    assert len(asked(scripted)) == 3 - kept
    assert read(target).keys() == {"line-1", "line-2", "line-3"}
    assert (target.stat().st_mode & 0o777, b"\0" in target.read_bytes()) == (0o640, False)


@pytest.mark.parametrize(
    "text", ["My diary\n", "no end", '{"a": 1}\n', '{"custom_id": [], "id": 1, "response": 2}\n', "5\n"]
)
def test_a_file_of_somebody_else_is_left_alone(
    scripted: ScriptedServer, source: Path, target: Path, text: str
) -> None:
    """An output that holds anything but results is refused as it is."""
    target.write_text(text)
    refused = run("batch", str(write(source, "Hi")), str(target), "-m", "m")

    assert (refused.returncode, target.read_text()) == (2, text)
    assert refused.stderr == "aitoearn-openai: out.jsonl, line 1: is not a result; name another file\n"


@pytest.mark.parametrize(
    ("model", "code", "told"), [("fail-12001", 5, "Insufficient credits"), ("fail-401", 3, "Unauthorized")]
)
@pytest.mark.usefixtures("sandboxed")
def test_without_credits_or_with_a_refused_key_it_stops(
    source: Path, target: Path, model: str, code: int, told: str
) -> None:
    """With the exit code that other commands have for it, and not with ten thousand failures in the file."""
    write(
        source,
        question("slow", "kept", "slow-first-byte"),
        *(question(f"q{n}", "Hi", model) for n in range(999)),
    )
    stopped = run("batch", str(source), str(target), "--concurrency", "2")

    assert stopped.returncode == code
    assert told in stopped.stderr
    assert "1 of 1,000 answered, 0 failed" in stopped.stdout
    assert read(target).keys() == {"slow"}


def test_a_key_that_the_service_repeats_stays_out_of_the_file(
    scripted: ScriptedServer, source: Path, target: Path
) -> None:
    """And out of what is told."""
    error = {"message": f"bad {KEY}", "param": [{KEY: KEY}], "code": 7}
    scripted.answer(Reply({"error": error}, status=400))
    failed = run("batch", str(write(source, "Hi")), str(target), "-m", "m")

    assert KEY not in target.read_text() + failed.stdout + failed.stderr
    assert "bad **********" in read(target)["line-1"]["response"]["body"]["error"]["message"]


@pytest.mark.parametrize("key", ["k", "test", "message", "e"])
def test_a_key_that_is_an_everyday_word_changes_no_name(
    scripted: ScriptedServer, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Names of requests and of fields, ids and statuses stay; the words of the service are masked."""
    monkeypatch.setenv("AITOEARN_API_KEY", key)
    error = {"message": f"<{key}>", "type": f"<{key}>", "param": {f"<{key}>": f"<{key}>"}, "code": 7}
    away = Reply(f"<{key}>", content_type=f"text/html; {key}")
    scripted.answer(Reply({"error": error}, status=400), away)
    requests = [question(f"test-{key}-1"), question(f"check {key}")]
    failed = run("batch", str(write(source, *requests)), str(target), "--concurrency", "1")
    refused, page = read(target).values()
    scripted.answer(Reply({"choices": [{"message": {}}]}))
    again = run("batch", str(source), str(target))

    assert failed.returncode == 1
    assert [refused["custom_id"], page["custom_id"]] == [f"test-{key}-1", f"check {key}"]
    assert refused.keys() == page.keys() == {"id", "custom_id", "response", "error"}
    assert refused["id"].startswith("batch_req_")
    assert (refused["error"], page["response"]) == (None, None)
    said = refused["response"]["body"]["error"]
    assert said.keys() == {"message", "type", "param", "code"}
    assert (said["type"], said["param"]) == ("<**********>", {"<**********>": "<**********>"})
    assert said["message"].startswith("Error code: 400 - ")
    assert page["error"]["code"] == "invalid_response"
    assert "Check the base URL: AiToEarn's ends in /api/ai." in page["error"]["message"]
    assert f"<{key}>" not in target.read_text("utf-8") + failed.stderr
    assert (again.returncode, len(read(target))) == (0, 2)


def test_results_are_one_line_each_for_every_reader(
    scripted: ScriptedServer, source: Path, target: Path
) -> None:
    """Python's `splitlines`, httpx and Node end a line at characters that JSON allows."""
    text = "a\u2028b\u2029c\x85d"
    scripted.answer(Reply({"choices": [{"message": {"content": text}}]}))
    run("batch", str(write(source, "Hi")), str(target), "-m", "m")

    assert len(target.read_text("utf-8").splitlines()) == 1
    assert read(target)["line-1"]["response"]["body"]["choices"][0]["message"]["content"] == text


def limited(files: int, hard: int | None = None) -> Any:
    """A child that may open so many files, and may allow itself more up to a second limit."""
    resource = pytest.importorskip("resource")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if hard is None else hard
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))


def run_limited(limit: Any, *arguments: str, pass_fds: Any = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "batch", *arguments],
        preexec_fn=limit,
        pass_fds=pass_fds,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.usefixtures("sandboxed")
def test_a_small_limit_on_open_files_is_raised(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS, where it is 256, below what the system allows."""
    monkeypatch.setenv("AITOEARN_MAX_RETRIES", "0")
    write(source, *(question(f"q{number}", model="slow-first-byte") for number in range(100)))
    done = run_limited(limited(64), str(source), str(target), "--concurrency", "100")

    assert (done.returncode, len(read(target))) == (0, 100)


@pytest.mark.parametrize(("concurrency", "code"), [(16, 0), (100, 2)])
@pytest.mark.usefixtures("sandboxed")
def test_more_at_once_than_open_files_allowed_is_refused(
    source: Path, target: Path, concurrency: int, code: int
) -> None:
    """With both numbers and what to do; nothing is asked by then."""
    write(source, *(question(f"q{number}", model="slow-first-byte") for number in range(20)))
    done = run_limited(limited(64, 64), str(source), str(target), "--concurrency", str(concurrency))

    assert (done.returncode, target.exists()) == (code, not code)
    if code:
        assert done.stderr == (
            "aitoearn-openai: too many open files: --concurrency 100 needs 132 of them, and the limit is 64. "
            "Lower --concurrency, or raise the limit with `ulimit -n`\n"
        )


@pytest.mark.usefixtures("sandboxed")
def test_too_many_open_files_are_named(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the results and at the end, where the limit is reached all the same, such as by files of the parent."""
    write(source, *(question(f"q{number}", model="slow-first-byte") for number in range(30)))
    monkeypatch.setenv("AITOEARN_MAX_RETRIES", "0")
    with open(os.devnull) as file:
        others = [os.dup(file.fileno()) for _ in range(30)]
    try:
        failed = run_limited(
            limited(64, 64), str(source), str(target), "--concurrency", "30", pass_fds=others
        )
    finally:
        for other in others:
            os.close(other)
    errors = [result["error"]["message"] for result in read(target).values() if result["error"]]

    assert failed.returncode == 1
    assert errors
    assert all("Too many open files" in error for error in errors)
    assert "Too many open files. Lower --concurrency" in failed.stderr


def test_odd_answers_are_counted_as_far_as_they_tell(
    scripted: ScriptedServer, source: Path, target: Path
) -> None:
    """By the list, whatever they say of `cost`; half a character does not break the file."""
    answers = (
        {"choices": [{"message": {}}], "cost": "0", "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
        {"choices": [{"message": {}}], "cost": "much", "usage": {"prompt_tokens": "3"}},
        {"choices": [{"message": {}}], "cost": "Infinity", "usage": 5},
        {"choices": [{"message": {"content": "\ud83d…"}}], "cost": 2.5},
        {"choices": [{"message": {}}], "cost": "9E+999999", "usage": {"prompt_tokens": 10**4000}},
        {"choices": [{"message": {}}], "cost": "9E+999999"},
    )
    scripted.answer(*(Reply(json.dumps(answer)) for answer in answers))
    command = ["batch", str(write(source, *"abcdef")), str(target), "-m", "m", "--concurrency", "1"]
    done = run(*command)

    assert (
        "6 of 6 answered, 0 failed. This run: 3 tokens in, 4 out, about 3 credits by the list" in done.stdout
    )
    assert read(target)["line-4"]["response"]["body"]["choices"][0]["message"]["content"] == "\ud83d…"
    assert "…" in target.read_text("utf-8")


def test_a_service_that_was_away_for_a_while_costs_no_answer(
    scripted: ScriptedServer, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long job tries more often than the SDK does, unless a setting says how often."""
    monkeypatch.delenv("AITOEARN_MAX_RETRIES")
    busy = Reply({"error": {"message": "busy"}}, status=503, headers={"Retry-After-Ms": "1"})
    scripted.answer(*[busy] * 5, Reply({"choices": [{"message": {}}]}))

    assert run("batch", str(write(source, "Hi")), str(target), "-m", "m").returncode == 0


@pytest.mark.usefixtures("sandboxed")
def test_what_has_no_price_is_not_said_to_cost_nothing(source: Path, target: Path) -> None:
    """Neither before the run nor after it."""
    write(source, question("a", model="llama-5-local"))
    told = run("batch", str(source), "--dry-run")
    done = run("batch", str(source), str(target))

    assert told.stdout.splitlines()[1] == "1 token in; without a price in the list: 1 request"
    assert re.search(r"1 token in, \d+ out; the cost of 1 answer is not known, ", done.stdout)


@pytest.mark.usefixtures("sandboxed")
def test_a_dry_run_counts_and_estimates_and_changes_nothing(source: Path, target: Path) -> None:
    """It needs no key; images and unknown models are not made up."""
    image = {"role": "user", "content": [{"type": "text", "text": "12345678"}, {"type": "image_url"}]}
    write(
        source, question("a"), question("b", "x" * 4000, max_tokens=100), question("c", model="llama-5-local")
    )
    assert run("batch", str(source), str(target)).returncode == 0
    before = target.read_bytes()
    with source.open("a", encoding="utf-8") as lines:
        for name, more in {"d": {"messages": [image, "odd"]}, "e": {"max_completion_tokens": 10}}.items():
            body = {**question(name)["body"], **more}
            lines.write(json.dumps({**question(name), "body": body}) + "\n")
        lines.write(json.dumps(question("f", "x" * 4000, "llama-5-local")) + "\n")
    told = run("batch", str(source), str(target), "--dry-run", AITOEARN_API_KEY="")
    less = run("batch", str(source), str(target), "--dry-run", "--answer-tokens", "0")

    assert told.stdout.splitlines() == [
        "6 requests, 3 answered, 3 to ask",
        "about 0.2297 seedance credits by the list, for 1,003 tokens in; without a price in the list: 1 request",
        "Assumed: 4 bytes of text a token, and up to 500 tokens an answer.",
    ]
    assert less.stdout.splitlines()[1].startswith("about 0.0002 seedance credits")
    assert target.read_bytes() == before


@pytest.mark.usefixtures("sandboxed")
def test_a_dry_run_of_priced_models_gives_a_sum(source: Path, target: Path) -> None:
    """And makes no output."""
    told = run("batch", str(write(source, question("a"))), str(target), "--dry-run")

    assert told.stdout.splitlines()[1] == "about 0.2251 seedance credits by the list, for 1 token in"
    assert [path.name for path in source.parent.iterdir()] == ["in.jsonl"]


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_of_the_progress_that_goes_away_ends_it_quietly(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, unbuffered: str
) -> None:
    """As other commands end then."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    write(source, question("a"))
    with started(str(source), str(target)) as process:
        assert process.stderr
        process.stderr.close()
        out, _ = process.communicate(timeout=60)

    assert (process.returncode, out) == (1, "")


class Gate:
    """Lets the first answers of a scripted server out, and holds the others until it is opened."""

    def __init__(self, server: ScriptedServer, *replies: Reply) -> None:
        self.server, self.replies = server, list(replies)
        self.open = threading.Event()
        server.next_reply = self.next_reply  # type: ignore[method-assign]

    def next_reply(self) -> Reply:
        if self.server.requests[-1].method == "GET":
            return MODELS
        with contextlib.suppress(IndexError):
            return self.replies.pop(0)
        self.open.wait(60)
        return Reply({"choices": [{"message": {}}]})

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(asked(self.server)) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*COMMAND, "batch", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_waits_for_what_is_paid_and_asks_nothing_more(
    scripted: ScriptedServer, source: Path, target: Path
) -> None:
    """The rest is done by the same command."""
    gate = Gate(scripted)
    write(source, *map(str, range(20)))
    with started(str(source), str(target), "-m", "m", "--concurrency", "3") as process:
        gate.wait_for(3)
        process.send_signal(signal.SIGINT)
        assert process.stderr
        while "Stopping" not in process.stderr.readline():
            pass
        gate.open.set()
        out, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "3 of 20 answered, 0 failed" in out
    assert (len(asked(scripted)), len(read(target))) == (3, 3)
    assert run("batch", str(source), str(target), "-m", "m", "--concurrency", "3").returncode == 0
    assert (len(asked(scripted)), len(read(target))) == (20, 20)


def test_ctrl_c_twice_waits_for_nothing(scripted: ScriptedServer, source: Path, target: Path) -> None:
    """What was finished is kept."""
    gate = Gate(scripted, Reply({"choices": [{"message": {}}]}))
    write(source, *map(str, range(20)))
    with started(str(source), str(target), "-m", "m", "--concurrency", "3") as process:
        gate.wait_for(4)
        process.send_signal(signal.SIGINT)
        assert process.stderr
        while "Stopping" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
        gate.open.set()

    assert (process.returncode, errors) == (130, "")
    assert "1 of 20 answered, 0 failed" in out
    assert len(read(target)) == 1


def test_two_runs_on_one_output_are_refused(scripted: ScriptedServer, source: Path, target: Path) -> None:
    """While the first is there; if it was killed, its lock went with it."""
    gate = Gate(scripted, Reply({"choices": [{"message": {}}]}))
    write(source, "one", "two")
    link = target.with_name("link.jsonl")
    link.symlink_to(target)
    with started(str(source), str(target), "-m", "m", "--concurrency", "1", "--rpm", "6000") as first:
        gate.wait_for(2)
        second = run("batch", str(source), str(link), "-m", "m")
        first.kill()
    gate.open.set()
    third = run("batch", str(source), str(link), "-m", "m")

    assert second.returncode == 2
    assert second.stderr == "aitoearn-openai: another run is writing out.jsonl; wait for it, or end it\n"
    assert third.returncode == 0
    assert read(target).keys() == {"line-1", "line-2"}


@pytest.mark.usefixtures("sandboxed")
def test_a_person_sees_how_far_it_is(source: Path, target: Path) -> None:
    """On a terminal there is a bar with all that counts, then the summary."""
    write(source, *(question(f"q{n}") for n in range(50)), question("slow", model="slow-first-byte"))
    with Terminal("batch", str(source), str(target)) as terminal:
        terminal.wait_for("50 of 51 answered, 0 failed, ")
        terminal.wait_for("/s, 0:00:00 left")
        terminal.wait_for("50 tokens in, 900 out, about 0.40875 seedance credits")
        terminal.wait_for("out.jsonl: 51 of 51 answered, 0 failed.")
        assert terminal.end() == 0

    assert "━━━━━━━━━━━━━━━━━━━━" in terminal.shown


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on the size of files")
@pytest.mark.usefixtures("sandboxed")
def test_a_full_disk_loses_nothing(source: Path, target: Path) -> None:
    """It stops and says so; with room again, the same command goes on."""
    import resource

    write(source, question("a"), question("b"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(source, target, None) as files:
        first, second = (
            Result(request, {"choices": [{"message": {}}]}).to_dict() for request in files.pending()
        )
        files.keep([first])
        resource.setrlimit(resource.RLIMIT_FSIZE, (target.stat().st_size + 20, limits[1]))
        try:
            with pytest.raises(
                BadFile, match=r"out\.jsonl cannot be written: File too large; the same command"
            ):
                files.keep([second])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    torn = target.read_bytes().splitlines()[1]
    again = run("batch", str(source), str(target))

    assert len(torn) == 20
    assert "2 of 2 answered, 0 failed. This run: 1 token in" in again.stdout
    assert read(target).keys() == {"a", "b"}


def test_an_input_that_changes_underway_is_noticed(source: Path, target: Path) -> None:
    """What was checked is what is asked."""
    write(source, *(f"{number} {'x' * 500}" for number in range(100)))
    with opened(source, target, "m") as files:
        write(source, *(f"{number} {'y' * 500}" for number in range(100)))
        with pytest.raises(BadFile, match="line 1: was changed meanwhile"):
            list(files.pending())


class Log:
    """A service on loopback that remembers what it is asked, by run, and takes up to so many seconds to answer."""

    def __init__(self, seconds: float = 0.01, refused: str | None = None) -> None:
        self.seconds, self.refused = seconds, refused
        self.runs: list[list[str]] = []
        self.connections = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._started.set()
        await self._stop.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int((head.partition(b"content-length: ")[2] or b"0").split(b"\r\n")[0])
                body = json.loads(await reader.readexactly(length) or b"null")
                if body:
                    prompt = body["messages"][0]["content"]
                    self.runs[-1].append(prompt)
                    await asyncio.sleep(random.random() * self.seconds)
                    answer = {"choices": [{"message": {"content": prompt}}]}
                    refusal = {"code": 12300, "message": "Model not found", "data": {}}
                    content = json.dumps(refusal if prompt == self.refused else answer)
                else:
                    content = json.dumps(MODELS.body)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (len(content), content.encode())
                )
        writer.close()
        self.connections -= 1


RUN = """
import os, signal, sys
from aitoearn_openai._cli import app
import aitoearn_openai._cli.batch
for line in sys.stdin:  # A fork for each run, as starting Python takes longer than the run.
    child = os.fork()
    if not child:
        app(sys.argv[1:])
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_run_that_is_killed_again_and_again_answers_each_request_once(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing finished is asked again: twice are only those that were under way at a kill, as the service counts."""
    chance = random.Random(SEED)
    at_once, prompts = 8, [f"prompt {number}" for number in range(100 * KILLS)]
    write(source, *prompts)
    command = ["batch", str(source), str(target), "-m", "m", "--concurrency", str(at_once)]
    kills = again = 0
    kept: set[str] = set()
    with Log() as log:
        monkeypatch.setenv("AITOEARN_BASE_URL", log.origin)
        monkeypatch.setenv("AITOEARN_API_KEY", "k")
        with subprocess.Popen(
            [sys.executable, "-c", RUN, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        ) as runner:
            assert runner.stdin
            assert runner.stdout
            ended = -signal.SIGKILL
            while ended == -signal.SIGKILL:
                log.runs.append([])
                print(file=runner.stdin, flush=True)
                child = int(runner.stdout.readline())
                if kills < KILLS:
                    timer = threading.Timer(chance.random() / 2, kill, (child,))
                    timer.start()
                line = runner.stdout.readline()
                while not line.strip().lstrip("-").isdigit():
                    line = runner.stdout.readline()
                ended = int(line)
                timer.cancel()
                kills += ended == -signal.SIGKILL
                while log.connections:  # What was sent before the kill arrives.
                    time.sleep(0.001)
                asked_now = set(log.runs[-1])
                assert len(asked_now) == len(log.runs[-1])
                assert not asked_now & kept
                lines = target.read_bytes().split(b"\n")[:-1] if target.exists() else []
                kept = {
                    json.loads(each)["response"]["body"]["choices"][0]["message"]["content"] for each in lines
                }
                assert len(kept) == len(lines)
                assert len(asked_now - kept) <= at_once
                again += len(asked_now - kept)
            runner.stdin.close()

    calls = Counter(prompt for run in log.runs for prompt in run)
    print(f"{kills} kills, {sum(calls.values())} calls for {len(prompts)} prompts, {again} twice")
    assert (kills, ended) == (KILLS, 0)
    assert kept == calls.keys() == set(prompts)
    assert sum(calls.values()) == len(prompts) + again
    assert len(read(target)) == len(prompts)


@pytest.mark.usefixtures("sandboxed")
def test_a_batch_stops_before_it_costs_too_much_and_goes_on_the_next_time(source: Path, target: Path) -> None:
    """It keeps what is there and says how far it came."""
    write(source, question("a"), question("b"), question("c"))
    limit = ["--max-credits", "0.24", "--concurrency", "1"]
    first = run("batch", str(source), str(target), *limit)
    second = run("batch", str(source), str(target), *limit)

    assert first.returncode == 1
    assert "out.jsonl: 2 of 3 answered, 0 failed." in first.stdout
    assert "The same command sends the rest." in first.stdout
    assert "'c', is estimated at 0.2251 credits. With the 0.0" in first.stderr
    assert (second.returncode, len(read(target))) == (0, 3)
    assert "3 of 3 answered" in second.stdout


@pytest.mark.usefixtures("sandboxed")
def test_a_limit_on_credits_needs_prices(source: Path, target: Path) -> None:
    """Nothing is asked then."""
    write(source, question("a"), question("b", model="bare-local"))
    refused = run("batch", str(source), str(target), "--max-credits", "1")
    zero = run("batch", str(source), str(target), "--max-credits", "0")

    assert (refused.returncode, zero.returncode) == (2, 2)
    assert "the list has none for bare-local" in refused.stderr
    assert "--max-credits: the number must be above 0" in zero.stderr
    assert not target.exists()


@pytest.mark.usefixtures("sandboxed")
def test_a_dry_run_has_a_sum_for_each_balance(source: Path, target: Path) -> None:
    """As a balance pays for its own models alone; a request over the last limit is called so."""
    big = question("c", "x" * 4_000_004, model="claude-sonnet-5", max_tokens=1)
    write(source, question("a"), question("b", model="gemini-3.1-pro-preview"), big)
    shown = run("batch", str(source), str(target), "--dry-run", COLUMNS="80").stdout

    assert "about 600.2279 seedance credits and 0.6002 general credits by the list" in shown
    assert "over the last limit of the list, and maybe refused: 1 request" in shown


@pytest.mark.usefixtures("scripted")
def test_a_line_that_is_no_object_is_refused(source: Path, target: Path) -> None:
    """By its number."""
    source.write_text('{"prompt": "a"}\n[1]\n')
    refused = run("batch", str(source), str(target), "-m", "m")

    assert refused.returncode == 2
    assert "line 2: a request must be an object" in refused.stderr


@pytest.mark.usefixtures("sandboxed")
def test_a_name_that_is_not_in_the_list_is_told_before_anything_is_sent(source: Path) -> None:
    """With the closest."""
    told = run("batch", str(write(source, question("a", model="glm-5"))), "--dry-run")

    assert told.stdout.splitlines()[-1].startswith("glm-5 is not in the list: 1 request. The closest name")


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("fail-12001", [], "When there are credits, the same command sends the rest."),
        ("fail-401", [], "With the right key the same command sends the rest."),
        (
            "glm-5.2",
            ["--max-credits", "0.01"],
            "With a higher --max-credits the same command sends the rest.",
        ),
        ("fail-html", [], "The same command sends the rest."),
    ],
)
def test_the_summary_says_when_the_same_command_helps(
    source: Path, target: Path, model: str, options: list[str], words: str
) -> None:
    """It depends on what ended the run."""
    done = run("batch", str(write(source, question("a", model=model))), str(target), *options)

    assert done.stdout.rstrip().endswith(words)


def keyed(server: ScriptedServer) -> dict[str, str]:
    return {"AITOEARN_BASE_URL": server.origin, "AITOEARN_API_KEY": KEY, "AITOEARN_MAX_RETRIES": "0"}


def test_what_to_do_next_is_said_by_the_list_that_is_known(
    server: ScriptedServer, source: Path, target: Path
) -> None:
    """Without another request: which balance pays, and which name is close."""
    listed = Reply({"data": [{"name": "m", "creditsScope": "seedance"}], "code": 0})
    server.answer(listed, Reply({"code": 12001, "message": "no credits"}))
    write(source, question("a", model="m"))
    assert (
        "m is paid from the balance 'seedance'"
        in run("batch", str(source), str(target), **keyed(server)).stderr
    )
    server.answer(listed, Reply({"code": 12300, "message": "no such model"}))
    write(source, question("a", model="mm"))
    assert "The closest name is m." in run("batch", str(source), str(target), **keyed(server)).stderr


def test_a_gateway_without_a_list_answers_a_batch(server: ScriptedServer, source: Path, target: Path) -> None:
    """Only prices need the list."""
    absent = Reply({"detail": "Not Found"}, 404)
    server.answer(absent, Reply({"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}))
    write(source, question("a", model="m"))
    answered = run("batch", str(source), str(target), **keyed(server))

    assert (answered.returncode, said(read(target)["a"])) == (0, "Hi")
    server.answer(absent)
    for option in (["--dry-run"], ["--max-credits", "1"]):
        assert run("batch", str(source), str(target), *option, **keyed(server)).returncode == 5


def test_a_lock_that_somebody_removed_ends_no_run(
    scripted: ScriptedServer, source: Path, target: Path
) -> None:
    """Everything is answered by then."""
    write(source, question("a", model="m"))
    with opened(source, target, None):
        Path(f"{target.resolve()}.lock").unlink()
    assert target.exists()


def test_messages_beside_a_url_are_told_where_they_belong(
    scripted: ScriptedServer, source: Path, target: Path
) -> None:
    """As half a line of the Batch API."""
    scripted.answer(MODELS)
    write(source, {"url": "/v1/chat/completions", "messages": [{"role": "user", "content": "Hi"}]})

    assert (
        "messages beside method or url must be in body"
        in run("batch", str(source), str(target), "-m", "m").stderr
    )
