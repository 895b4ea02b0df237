"""`batch`: files in and out, stopped, broken and killed in every way, and gone on with."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import errno
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import Self

from aitoearn_openai.batch import digest
from commands import COMMAND, KEY, SAID, TerminalProcess, run, run_on, run_process
from conftest import Reply, ScriptedServer

PRICE = {"pricing": {"price": "0.5"}}
MODELS = Reply({"data": [{"name": name, **PRICE} for name in ("m", "zz", "glm-5.2")], "code": 0})
GOOD = Reply({"choices": [{"message": {}}]})
UNKNOWN = {"code": 12300, "message": "no", "data": {}}
KILLS = int(os.environ.get("BATCH_KILLS", "4"))
SEED = int(os.environ.get("BATCH_SEED", "7"))


def question(custom_id: str, prompt: str = "Hi", model: str = "glm-5.2", **more: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], **more}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def write(path: Path, *lines: Any) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return path


@dataclass
class Job:
    """A file of requests and one for the results."""

    folder: Path

    def __post_init__(self) -> None:
        self.source, self.target = self.folder / "in.jsonl", self.folder / "out.jsonl"

    def write(self, *lines: Any) -> Job:
        write(self.source, *lines)
        return self

    def run(
        self, *options: str, stdin: str | bytes | None = None, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Answer the requests, or those that come through a pipe."""
        source = str(self.source) if stdin is None else "-"
        return run("batch", source, str(self.target), *options, stdin=stdin or "", **settings)

    def results(self) -> dict[str, dict[str, Any]]:
        """The results by their name; each stands there once."""
        results = [json.loads(line) for line in self.target.read_bytes().splitlines()]
        assert len({result["custom_id"] for result in results}) == len(results)
        return {result["custom_id"]: result for result in results}

    def answers(self) -> dict[str, str]:
        """The answers by the name of their request."""
        bodies = {name: result["response"]["body"] for name, result in self.results().items()}
        return {
            name: body["choices"][0]["message"]["content"].removeprefix(SAID) for name, body in bodies.items()
        }


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.fixture
def scripted(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    monkeypatch.setenv("AITOEARN_BASE_URL", server.origin)
    monkeypatch.setenv("AITOEARN_API_KEY", KEY)
    monkeypatch.setenv("AITOEARN_MAX_RETRIES", "0")
    server.paths["/models/chat"] = MODELS
    server.answer(GOOD)
    return server


def name_of(prompt: str, number: int = 1) -> str:
    """What a prompt without a `custom_id` is named."""
    return f"prompt-{digest({'prompt': prompt})[:24]}" + (f"-{number}" if number > 1 else "")


ONE = "-m", "m", "--concurrency", "1"
"""The answers come in the order of the requests."""


def asked(server: ScriptedServer) -> list[str]:
    """The prompts that the server was asked, in their order."""
    bodies = [json.loads(each.body) for each in server.requests if each.method == "POST"]
    return [body["messages"][0]["content"] for body in bodies]


@pytest.mark.usefixtures("sandboxed")
def test_a_file_of_the_batch_api_is_answered_in_its_format(job: Job) -> None:
    """So the code that reads those files reads these; what happens is told at the end."""
    job.write(question("a", "你好"), question("b", "fine", user="u"), "")
    done = job.run()

    result = job.results()["a"]
    assert job.answers() == {"a": "你好", "b": "fine"}
    assert result.keys() == {"id", "custom_id", "response", "error"}
    assert result["response"].keys() == {"status_code", "request_id", "body"}
    assert result["response"]["body"]["cost"] == "0"
    assert re.fullmatch(
        r"out\.jsonl: 2 of 2 answered, 0 failed\. "
        r"This run: 3 tokens in, 37 out, about 0\.016875 seedance credits \(list price\), \d+\.\d s\.\n",
        done.stdout,
    )
    before = "0 of 2 answered, 0 failed, 0 tokens in, 0 out, about 0 credits (list price)"
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, before)


@pytest.mark.parametrize(
    "lines",
    [
        ["你好", "", "  How are\tyou? ", "{}"],
        [{"prompt": "你好"}, "", {"prompt": "How are\tyou?"}, {"prompt": "{}"}],
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.usefixtures("sandboxed")
def test_plain_prompts_are_answered_under_a_name_of_their_own(
    job: Job, lines: list[Any], encoding: str
) -> None:
    """One a line, as text or in JSON, as Windows writes it; the model may be given by its label."""
    text = job.write(*lines).source.read_text("utf-8")
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    job.source.write_bytes((mark + text).replace("\n", "\r\n").encode(encoding))

    assert job.run("-m", "GLM 5.2").returncode == 0
    assert job.answers() == {name_of(prompt): prompt for prompt in ("你好", "How are\tyou?", "{}")}


def bodies(server: ScriptedServer) -> list[Any]:
    return [json.loads(request.body) for request in server.requests if request.method == "POST"]


def test_what_every_line_would_repeat_may_be_left_out(scripted: ScriptedServer, job: Job) -> None:
    """Method, address, name and model; what is given is sent unchanged."""
    messages = [{"role": "user", "content": "Hi"}]
    job.write(
        {"messages": messages, "temperature": 0.5},
        {"custom_id": "mine", "model": "zz", "messages": messages},
        {"body": {"messages": messages}},
        {"prompt": "Hi", "custom_id": "named", "model": "zz", "temperature": 0},
        {"prompt": "Hi", "system": "Be brief."},
    )

    assert job.run(*ONE[2:], AITOEARN_MODEL="m").returncode == 0
    assert bodies(scripted) == [
        {"messages": messages, "temperature": 0.5, "model": "m"},
        {"model": "zz", "messages": messages},
        {"messages": messages, "model": "m"},
        {"messages": messages, "model": "zz", "temperature": 0},
        {"messages": [{"role": "system", "content": "Be brief."}, *messages], "model": "m"},
    ]
    assert [name[:7] for name in job.results()] == ["prompt-", "mine", "prompt-", "named", "prompt-"]


def test_options_are_for_the_prompts_that_do_not_say_otherwise(scripted: ScriptedServer, job: Job) -> None:
    """A system message, a temperature and a limit; a line of another kind has its own, and is not changed."""
    options = [*ONE, "--system", "Be brief.", "--temperature", "0.5", "--max-tokens", "9"]
    job.write({"prompt": "1"}, {"prompt": "2", "system": "No.", "temperature": 1, "max_completion_tokens": 5})
    done = job.run(*options)
    refused = job.write({"messages": [{"role": "user", "content": "Hi"}]}).run(*options)

    assert done.returncode == 0
    assert [[each["content"] for each in body.pop("messages")] for body in bodies(scripted)] == [
        ["Be brief.", "1"],
        ["No.", "2"],
    ]
    assert [json.loads(each.body) | {"messages": 0} for each in scripted.requests if each.body] == [
        {"temperature": 0.5, "max_tokens": 9, "model": "m", "messages": 0},
        {"temperature": 1, "max_completion_tokens": 5, "model": "m", "messages": 0},
    ]
    assert (refused.returncode, "line 1: has no prompt, for which --system" in refused.stderr) == (2, True)


BESIDE = "messages beside body, method or url must be in body; or leave those out"
NOT_UTF_8 = "is not UTF-8 text; save the file as UTF-8"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([question("a"), "{"], ", line 2: is not JSON: Expecting property name .*, column 2"),
        (["{who} are you?"], ", line 1: is not JSON: .*; if it is a prompt, write it as .*"),
        ([question("a"), "Hello"], ", line 2: is not JSON: .*"),
        (["[" * 100_000], ", line 1: is nested too deeply"),
        (["你好".encode("gbk")], f", line 1: {NOT_UTF_8}"),
        (["Hi".encode("utf-16-le")], f", line 1: {NOT_UTF_8}"),
        ([b"\xff\xfea"], " begins as UTF-16 does and is not; save it as UTF-8"),
        (
            [b"PK\3\4..."],
            " is not text, but a table, a document or an archive. Save the prompts as UTF-8 text",
        ),
        (["Hello"], ", line 1: it needs a model; name one with --model or AITOEARN_MODEL"),
        ([question("a"), "", question("b", stream=True)], ", line 3: remove body.stream: .*"),
        (
            [question("a"), question("b"), question("a")],
            ", line 3: custom_id 'a' is already used in line 1.*",
        ),
        ([{**question("a"), "url": "/v1/embeddings"}], ', line 1: url must be "/v1/chat/comp.*'),
        ([{"prompt": " "}], ", line 1: prompt must be a text that is not empty"),
        ([{"prompt": "Hi", "custom_id": ""}], ", line 1: custom_id must be a text .*"),
        ([{"prompt": "Hi", "body": {}}], ", line 1: body cannot be combined with prompt; .*"),
        ([question("a"), "[1]"], ", line 2: a request must be an object, such as .*"),
        (
            [{"question": "Hi", "custom_id": "a"}],
            ", line 1: needs prompt, messages or body; found: question, .*",
        ),
        (["{}"], ", line 1: needs prompt, messages or body; found: nothing"),
        ([{"body": 5}], ", line 1: body must be an object"),
        ([{"method": "POST", "messages": []}], f", line 1: {BESIDE}"),
        ([{"body": {}, "messages": []}], f", line 1: {BESIDE}"),
        ([""], " holds no requests; write one a line"),
        (["", " "], " holds no requests; write one a line"),
    ],
)
@pytest.mark.parametrize("name", ["in.jsonl", "standard input"])
def test_a_bad_line_is_told_before_anything_is_asked(
    scripted: ScriptedServer, job: Job, lines: list[Any], told: str, name: str
) -> None:
    """By its number, with what is wrong; no file is left."""
    if isinstance(lines[0], bytes):
        job.source.write_bytes(lines[0])
    else:
        job.write(*lines)
    model = [] if lines == ["Hello"] else ["-m", "m"]
    failed = job.run(*model, stdin=None if name == "in.jsonl" else job.source.read_bytes())

    assert failed.returncode == 2
    assert re.fullmatch(f"aitoearn-openai: {name}{told}\n", failed.stderr)
    assert asked(scripted) == []
    assert os.listdir(job.folder) == ["in.jsonl"]


def test_all_bad_lines_are_counted_and_the_first_are_told(scripted: ScriptedServer, job: Job) -> None:
    """Those of the same reason together."""
    lines: list[Any] = [{"question": 1}, {"prompt": "Hi"}, {"prompt": ""}, *[{"question": 1}] * 9]
    failed = job.write(*lines).run("-m", "m")
    reason = "needs prompt, messages or body; found: question"

    assert (failed.returncode, asked(scripted)) == (2, [])
    assert failed.stderr == (
        f"aitoearn-openai: in.jsonl, lines 1, 4, 5, 6, 7, 8, 9, 10, 11: {reason}\n"
        "aitoearn-openai: in.jsonl, line 3: prompt must be a text that is not empty\n"
        "aitoearn-openai: in.jsonl: 11 lines cannot be sent; the first 10 are above; nothing was sent\n"
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "in.csv",
            'read_csv("in.csv").rename(columns={"COLUMN": "prompt"})[["prompt"]].to_json("in.jsonl", ',
        ),
        ("in.TSV", "read_table("),
        ("in.xlsx", "read_excel("),
    ],
)
def test_a_table_is_not_a_file_of_prompts(scripted: ScriptedServer, job: Job, name: str, told: str) -> None:
    """Which it is told, and how to make one of it."""
    job.source = write(job.folder / name, "prompt", "Hi")
    refused = job.run("-m", "m")

    assert (refused.returncode, asked(scripted)) == (2, [])
    assert refused.stderr.startswith(
        f"aitoearn-openai: {name} is a table, not a file of prompts. Copy its column"
    )
    assert told in refused.stderr


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--max-credits", "1"]])
def test_a_model_that_is_not_listed_is_refused_before_anything_is_sent(
    scripted: ScriptedServer, job: Job, options: list[str]
) -> None:
    """With the closest names; a dry run says what it would cost first."""
    job.write(*[question(f"q{n}", model="glm-52") for n in range(3)], question("b"))
    refused = job.run(*options)

    assert (refused.returncode, asked(scripted), job.target.exists()) == (2, [], False)
    assert refused.stderr == (
        "aitoearn-openai: glm-52 is not in the model list: 3 requests. The closest name is glm-5.2. Nothing was sent.\n"
    )
    assert ("4 to send" in refused.stdout) == (options == ["--dry-run"])


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("{}/in.jsonl", "the output must be another file than the input"),
        ("/dev/null", "/dev/null is not a file"),
        ("{}", "Invalid value for 'OUT.jsonl': file '.*' is a directory. `.*"),
        ("{}/nowhere/out.jsonl", "there is no folder .*/nowhere"),
        ("{}/" + "x" * 300, ".*xxx: File name too long"),
        ("-", "name a file for the results instead of -: .*"),
        ("", ".*OUT.jsonl.*only --dry-run does without. `.*"),
    ],
)
def test_an_output_that_cannot_be_is_refused(
    scripted: ScriptedServer, job: Job, target: str, told: str
) -> None:
    """It is the record of what is answered; only a dry run does without."""
    job.write("Hi")
    failed = run("batch", str(job.source), *filter(None, [target.format(job.folder)]), "-m", "m")

    assert (failed.returncode, job.source.read_text(), asked(scripted)) == (2, "Hi\n", [])
    assert re.fullmatch(f"aitoearn-openai: {told}\n", failed.stderr)


def test_what_is_answered_is_not_asked_again(scripted: ScriptedServer, job: Job) -> None:
    """The same command does the rest, also of a file that has grown; what failed is told, and asked again."""
    scripted.answer(GOOD, Reply(UNKNOWN), GOOD)
    first = job.write("one", "two", "three").run(*ONE)
    failed = job.results()[name_of("two")]
    job.write("one", "two", "three", "four")
    scripted.answer(GOOD)
    second, third = job.run(*ONE), job.run(*ONE)

    assert (first.returncode, second.returncode, third.returncode) == (1, 0, 0)
    assert "2 of 3 answered, 1 failed" in first.stdout
    assert first.stdout.endswith("Asking again will not help: change the requests that failed.\n")
    told = r"^aitoearn-openai: 1 request failed: Error code: 404 - no .* lists the names\.$"
    assert re.search(told, first.stderr, re.MULTILINE)
    assert (failed["response"]["status_code"], failed["error"]) == (404, None)
    assert failed["response"]["body"]["error"]["code"] == "12300"
    assert "4 of 4 answered, 0 failed" in second.stdout
    assert asked(scripted) == ["one", "two", "three", "two", "four"]
    assert [result["response"]["status_code"] for result in job.results().values()] == [200] * 4
    assert list(job.results()) == [name_of(each) for each in ("one", "three", "two", "four")]


@pytest.mark.parametrize(
    ("lines", "again"),
    [
        (["new", "b", "a", "a", "c"], ["new"]),  # Added at the top, moved, doubled.
        (["c", "a"], []),  # Removed, one of two that are the same among them.
        (["a", "a", "a", "b", "c"], ["a"]),
        ([{"prompt": "b"}, {"prompt": "c", "custom_id": "mine"}, {"prompt": "a", "seed": 1}], ["c", "a"]),
    ],
)
def test_an_answer_is_found_by_what_was_asked(
    scripted: ScriptedServer, job: Job, lines: list[Any], again: list[str]
) -> None:
    """Wherever its line is now; a `custom_id` is a name, and what is asked for otherwise is another request."""
    job.write("a", "b", "a", "c").run(*ONE)
    before = job.target.read_bytes()
    scripted.requests.clear()
    done = job.write(*lines).run(*ONE)

    assert (done.returncode, asked(scripted)) == (0, again)
    assert f"{len(lines)} of {len(lines)} answered" in done.stdout
    assert job.target.read_bytes().startswith(before)
    assert len(job.results()) == 4 + len(again)


def test_of_two_that_are_the_same_each_answer_counts(scripted: ScriptedServer, job: Job) -> None:
    """Also where the first of them failed, and is not asked for any more."""
    scripted.answer(Reply(UNKNOWN), GOOD)
    job.write("a", "a").run(*ONE)
    done = job.write("a").run(*ONE)

    assert (done.returncode, asked(scripted)) == (0, ["a", "a"])
    assert list(job.results()) == [name_of("a", 2)]


def test_the_reasons_of_all_failures_are_counted(scripted: ScriptedServer, job: Job) -> None:
    """Each once, whatever id a request got, and the most common first; of very many, only the number is kept."""
    messages = ["no"] * 3 + ["away"] * 2 + [f"away {number}" for number in range(103)]
    failures = [
        {**UNKNOWN, "code": 10002, "message": each, "requestId": f"r{n}"} for n, each in enumerate(messages)
    ]
    scripted.answer(*map(Reply, failures))
    done = job.write(*messages).run(*ONE)
    reasons = [line for line in done.stderr.splitlines() if " failed: " in line]

    assert done.returncode == 1
    assert reasons[0] == (
        "aitoearn-openai: 3 requests failed: Error code: 400 - no (AiToEarn code 10002). "
        "Change the request as it says."
    )
    assert reasons[1].startswith("aitoearn-openai: 2 requests failed: Error code: 400 - away (AiToEarn")
    assert len(reasons) == 11
    assert reasons[-1] == "aitoearn-openai: 95 requests failed: for other reasons, which the output names."


def test_requests_come_through_a_pipe(scripted: ScriptedServer, job: Job) -> None:
    """As - says; the same requests through a pipe again are not asked again. A closed one has none."""
    first = job.run("-m", "m", stdin="你好\nHi\n")
    again = job.run("-m", "m", stdin="你好\nHi\nthree\n")

    assert (first.returncode, again.returncode) == (0, 0)
    assert sorted(asked(scripted)) == ["Hi", "three", "你好"]
    assert os.listdir(job.target.parent) == ["out.jsonl"]
    assert run_on(None, None, None, ["batch", "-", str(job.target)]) == 2


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            ["two", "one"],
            "answers line 2 of in.jsonl, with another model or other options; name another file ",
        ),
        ([question("a")], "answers another request as 'a'; name another file "),
    ],
)
def test_answers_to_something_else_are_never_taken_for_these(
    scripted: ScriptedServer, job: Job, lines: list[Any], told: str
) -> None:
    """Another model, or another request of the same name, needs another output."""
    job.write(*(["one", "two"] if lines[0] == "two" else [question("a", "other")])).run(*ONE)
    before = job.target.read_bytes()
    refused = job.write(*lines).run("-m", "zz")

    assert refused.returncode == 2
    assert re.match(f"aitoearn-openai: out.jsonl, line 1: {told}", refused.stderr)
    assert job.target.read_bytes() == before


def test_results_of_other_requests_stay(scripted: ScriptedServer, job: Job) -> None:
    """Several inputs may share an output, as long as their names differ."""
    job.write(question("a")).run()

    assert "1 of 1 answered" in job.write(question("b")).run().stdout
    assert list(job.results()) == ["a", "b"]


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
    scripted: ScriptedServer, job: Job, cut: Callable[[bytes], bytes], kept: int
) -> None:
    """A line that was cut off is asked again; one that only lacks its end is kept; zeros go."""
    scripted.answer(Reply({"choices": [{"message": {}}], "padding": "x" * 300}))
    job.write("one", "two", "three").run("-m", "m")
    job.target.write_bytes(cut(job.target.read_bytes()))
    job.target.chmod(0o640)
    scripted.requests.clear()

    assert job.run("-m", "m").returncode == 0
    assert len(asked(scripted)) == 3 - kept
    assert job.results().keys() == {name_of("one"), name_of("two"), name_of("three")}
    assert (job.target.stat().st_mode & 0o777, b"\0" in job.target.read_bytes()) == (0o640, False)


@pytest.mark.parametrize(
    "text", ["My diary\n", "no end", '{"a": 1}\n', '{"custom_id": [], "id": 1, "response": 2}\n', "5\n"]
)
def test_a_file_of_somebody_else_is_left_alone(scripted: ScriptedServer, job: Job, text: str) -> None:
    """An output that holds anything but results is refused as it is."""
    job.target.write_text(text)
    refused = job.write("Hi").run("-m", "m")

    assert (refused.returncode, job.target.read_text()) == (2, text)
    assert refused.stderr == "aitoearn-openai: out.jsonl, line 1: is not a result; name another file\n"


@pytest.mark.parametrize(
    ("model", "code", "told", "when"),
    [
        ("fail-12001", 5, "Insufficient credits", "When there are credits, the"),
        ("fail-401", 3, "Unauthorized", "With the right key the"),
    ],
)
@pytest.mark.usefixtures("sandboxed")
def test_without_credits_or_with_a_refused_key_it_stops(
    job: Job, model: str, code: int, told: str, when: str
) -> None:
    """With the exit code that other commands have for it, and not with hundreds of failures in the file."""
    slow = question("slow", "kept", "slow-first-byte")
    job.write(slow, *(question(f"q{n}", "Hi", model) for n in range(199)))
    stopped = job.run("--concurrency", "2")

    assert stopped.returncode == code
    assert told in stopped.stderr
    assert "1 of 200 answered, 0 failed" in stopped.stdout
    assert stopped.stdout.endswith(f"{when} same command sends the rest.\n")
    assert job.results().keys() == {"slow"}


@pytest.mark.parametrize("key", ["k", "test", "message", "e", KEY])
def test_a_key_that_the_service_repeats_stays_out_of_the_file(
    scripted: ScriptedServer, job: Job, key: str
) -> None:
    """Where it is an everyday word, names of requests and of fields, ids and statuses stay all the same."""
    error = {"message": f"<{key}>", "type": f"<{key}>", "param": {f"<{key}>": [f"<{key}>"]}, "code": 7}
    away = Reply(f"<{key}>", content_type=f"text/html; {key}")
    scripted.answer(Reply({"error": error}, status=400), away)
    job.write(question(f"test-{key}-1"), question(f"check {key}"))
    failed = job.run("--concurrency", "1", AITOEARN_API_KEY=key)
    refused, page = job.results().values()
    words = refused["response"]["body"]["error"]

    assert [refused["custom_id"], page["custom_id"]] == [f"test-{key}-1", f"check {key}"]
    assert refused.keys() == page.keys() == {"id", "custom_id", "response", "error"}
    assert refused["id"].startswith("batch_req_")
    assert words.keys() == {"message", "type", "param", "code"}
    assert (words["type"], words["param"]) == ("<**********>", {"<**********>": ["<**********>"]})
    assert words["message"].startswith("Error code: 400 - ")
    assert page["error"]["code"] == "invalid_response"
    assert "Check the base URL: AiToEarn's ends in /api/ai." in page["error"]["message"]
    assert f"<{key}>" not in job.target.read_text("utf-8") + failed.stderr + failed.stdout


def limited(limit: str) -> list[str]:
    """The command under a limit of the shell's."""
    return ["bash", "-c", f'{limit} && exec "$@"', "bash", *COMMAND, "batch"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.parametrize(
    ("limit", "concurrency", "code"),
    [("ulimit -Sn 64", 100, 0), ("ulimit -n 64", 16, 0), ("ulimit -n 64", 100, 2)],
)
@pytest.mark.usefixtures("sandboxed")
def test_a_small_limit_on_open_files_is_raised_if_that_is_allowed(
    job: Job, limit: str, concurrency: int, code: int
) -> None:
    """As on macOS, where it is 256; otherwise both numbers are told, and what to do, and nothing is asked."""
    job.write(*(question(f"q{number}", model="slow-first-byte") for number in range(concurrency)))
    options = str(job.source), str(job.target), "--concurrency", str(concurrency)
    done = run_process(*options, command=limited(limit), AITOEARN_MAX_RETRIES="0")

    assert (done.returncode, job.target.exists() and len(job.results())) == (code, 0 if code else concurrency)
    assert not code or done.stderr == (
        "aitoearn-openai: too many open files: --concurrency 100 needs 132 of them, and the limit is 64. "
        "Lower --concurrency, or raise the limit with `ulimit -n`\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.usefixtures("sandboxed")
def test_too_many_open_files_are_named(job: Job) -> None:
    """In the results and at the end, where the limit is reached all the same, such as by files of the parent."""
    job.write(*(question(f"q{number}", model="slow-first-byte") for number in range(30)))
    files = 'for n in {10..39}; do eval "exec $n</dev/null"; done; ulimit -n 64'
    options = str(job.source), str(job.target), "--concurrency", "30"
    failed = run_process(*options, command=limited(files), AITOEARN_MAX_RETRIES="0")
    errors = [result["error"]["message"] for result in job.results().values() if result["error"]]

    assert failed.returncode == 1
    assert errors
    assert all("Too many open files" in error for error in errors)
    assert "Too many open files. Lower --concurrency" in failed.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on the size of files")
def test_a_full_disk_loses_nothing(scripted: ScriptedServer, job: Job) -> None:
    """It stops and says so; with room again, the same command goes on."""
    import resource

    scripted.answer(Reply({"choices": [{"message": {}}], "padding": "x" * 500}))
    job.write("one", "two", "three")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        full = job.run(*ONE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    torn = job.target.read_bytes()
    again = job.run(*ONE)

    assert full.returncode == 2
    assert "out.jsonl cannot be written: File too large; the same command goes on from here\n" in full.stderr
    assert (len(torn), torn.count(b"\n")) == (1024, 1)
    assert (again.returncode, "3 of 3 answered" in again.stdout) == (0, True)
    assert job.results().keys() == {name_of("one"), name_of("two"), name_of("three")}


def test_odd_answers_are_counted_as_far_as_they_tell(scripted: ScriptedServer, job: Job) -> None:
    """By the list, whatever they say of `cost`; neither half a character nor an odd end of a line breaks the file."""
    message = {"choices": [{"message": {"content": "\ud83d…\u2028b\u2029c\x85d"}}]}
    answers = (
        {**message, "cost": "0", "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
        {**message, "cost": "much", "usage": {"prompt_tokens": "3"}},
        {**message, "cost": "Infinity", "usage": 5},
        {**message, "cost": 2.5},
        {**message, "cost": "9E+999999", "usage": {"prompt_tokens": 10**4000}},
        {**message, "cost": "9E+999999"},
    )
    scripted.answer(*(Reply(json.dumps(answer)) for answer in answers))
    done = job.write(*"abcdef").run(*ONE)

    counted = "This run: 3 tokens in, 4 out, about 3 credits (list price)"
    assert f"6 of 6 answered, 0 failed. {counted}" in done.stdout
    assert set(job.answers().values()) == {"\ud83d…\u2028b\u2029c\x85d"}
    assert len(job.target.read_text("utf-8").splitlines()) == 6  # As httpx and Node count them too.
    assert "…" in job.target.read_text("utf-8")


def test_a_service_that_was_away_for_a_while_costs_no_answer(
    scripted: ScriptedServer, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long job tries more often than the SDK does, unless a setting says how often."""
    monkeypatch.delenv("AITOEARN_MAX_RETRIES")
    busy = Reply({"error": {"message": "busy"}}, status=503, headers={"Retry-After-Ms": "1"})
    scripted.answer(*[busy] * 5, GOOD)

    assert job.write("Hi").run("-m", "m").returncode == 0


BIG = question("big", "x" * 4_000_004, model="claude-sonnet-5", max_tokens=1)
IMAGE = {"role": "user", "content": [{"type": "text", "text": "12345678"}, {"type": "image_url"}]}


@pytest.mark.parametrize(
    ("requests", "options", "told"),
    [
        ([question("a")], [], "1 request, 0 answered, 1 to send\nabout 0.2251 seedance credits (list price), for 1 token in\nAssumed"),
        ([question("a")], [], "\nAssumed: 4 bytes of text a token, and up to 500 tokens an answer.\n"),
        ([question("a")], ["--answer-tokens", "0"], "about 0.0001 seedance credits (list price), for 1 token in\n"),
        ([question("a", max_completion_tokens=10)], [], "about 0.0046 seedance credits (list price), for 1 token in\n"),
        ([question("a", "x" * 4000, max_tokens=100)], [], "about 0.12 seedance credits (list price), for 1,000 tokens in\n"),
        ([question("a", messages=[IMAGE, "odd"])], [], "about 0.2252 seedance credits (list price), for 2 tokens in\n"),
        ([question("a"), question("b", model="llama-5-local")], [], "for 2 tokens in; without a price in the list: 1 request\n"),
        ([question("a", model="llama-5-local")], [], "\n1 token in; without a price in the list: 1 request\n"),
        ([question("a"), question("b", model="gemini-3.1-pro-preview")], [], "about 0.2251 seedance credits and 0.6002 general credits (list price)"),
        ([BIG], [], "; over the last limit of the list, and maybe refused: 1 request\n"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("sandboxed")
def test_a_dry_run_counts_and_estimates(job: Job, requests: list[Any], options: list[str], told: str) -> None:
    """For each balance, as it pays for its own models alone; it needs no key, and makes no output."""
    job.write(*requests)
    shown = run("batch", str(job.source), "--dry-run", *options, AITOEARN_API_KEY="")

    assert told in shown.stdout
    assert os.listdir(job.folder) == ["in.jsonl"]


@pytest.mark.usefixtures("sandboxed")
def test_a_dry_run_changes_nothing(job: Job) -> None:
    """And counts what is answered; what has no price is not said to cost nothing, neither before nor after."""
    done = job.write(question("a", model="llama-5-local")).run()
    before = job.target.read_bytes()
    job.write(question("a", model="llama-5-local"), question("b"))
    told = job.run("--dry-run")

    assert re.search(r"1 token in, \d+ out, the cost of 1 answer is not known, ", done.stdout)
    assert told.stdout.startswith("2 requests, 1 answered, 1 to send\nabout 0.2251 seedance credits")
    assert job.target.read_bytes() == before


@pytest.mark.usefixtures("sandboxed")
def test_a_batch_stops_before_it_costs_too_much_and_goes_on_the_next_time(job: Job) -> None:
    """It keeps what is there and says how far it came."""
    job.write(question("a"), question("b"), question("c"))
    limit = ["--max-credits", "0.24", "--concurrency", "1"]
    first, second = job.run(*limit), job.run(*limit)

    assert first.returncode == 1
    assert "out.jsonl: 2 of 3 answered, 0 failed." in first.stdout
    assert first.stdout.endswith(" s. The same command sends the rest.\n")
    assert "'c', is estimated at 0.2251 credits. With the 0.0" in first.stderr
    assert (second.returncode, len(job.results())) == (0, 3)
    assert "3 of 3 answered" in second.stdout


@pytest.mark.parametrize(
    ("model", "limit", "told"),
    [
        ("bare-local", "1", "the list has none for bare-local"),
        ("glm-5.2", "0", "--max-credits: the number must be above 0"),
        ("glm-5.2", "abc", "Invalid value for '--max-credits': 'abc' is not a number. `"),
    ],
)
@pytest.mark.usefixtures("sandboxed")
def test_a_limit_on_credits_needs_prices(job: Job, model: str, limit: str, told: str) -> None:
    """Nothing is asked then."""
    job.write(question("a"), question("b", model=model))
    refused = job.run("--max-credits", limit)

    assert (refused.returncode, job.target.exists()) == (2, False)
    assert told in refused.stderr


@pytest.mark.parametrize(
    ("model", "options", "when"),
    [("glm-5.2", ["--max-credits", "0.01"], "With a higher --max-credits the"), ("fail-html", [], "The")],
)
@pytest.mark.usefixtures("sandboxed")
def test_the_summary_says_when_the_same_command_helps(
    job: Job, model: str, options: list[str], when: str
) -> None:
    """It depends on what ended the run."""
    done = job.write(question("a", model=model)).run(*options)

    assert done.stdout.endswith(f" s. {when} same command sends the rest.\n")


def test_what_to_do_next_is_said_by_the_list_that_is_known(server: ScriptedServer, job: Job) -> None:
    """Without another request: which balance pays."""
    listed = Reply({"data": [{"name": "m", "creditsScope": "seedance"}], "code": 0})
    server.answer(listed, Reply({"code": 12001, "message": "no"}))
    settings = {"AITOEARN_BASE_URL": server.origin, "AITOEARN_API_KEY": KEY}

    told = job.write(question("a", model="m")).run(**settings).stderr
    assert "m is paid from the balance 'seedance'" in told
    assert [request.method for request in server.requests] == ["GET", "POST"]


def test_ten_unknown_models_in_a_row_stop_a_batch(server: ScriptedServer, job: Job) -> None:
    """At a gateway without a list, which could have said so before."""
    server.answer(Reply({"detail": "Not Found"}, 404))
    settings = {"AITOEARN_BASE_URL": server.origin, "AITOEARN_API_KEY": KEY}
    stopped = job.write(*(question(f"q{n}") for n in range(99))).run("--concurrency", "1", **settings)

    assert stopped.returncode == 5
    assert len(asked(server)) in range(10, 12)  # One may be under way.
    assert stopped.stdout.endswith("With a model that the service has, the same command sends the rest.\n")


ROW = ["line", "prompt", "answer", "error", "custom_id"]


def test_the_answers_are_a_table_for_excel(scripted: ScriptedServer, job: Job) -> None:
    """In the order of the input, with what went wrong, and nothing in it is a formula; a dry run makes it anew."""
    table = job.folder / "answers.csv"
    message = {"content": '=HYPERLINK("http://evil")\nb, c', "role": "assistant"}
    parts = [{"type": "text", "text": "-5"}, {"type": "image_url"}]
    scripted.answer(
        Reply({"choices": [{"message": message}, {"message": {"content": "d\ud83d"}}]}),
        Reply({"code": 12301, "message": "away", "data": {}}),
        Reply("<p>", content_type="text/html"),
        Reply({"choices": [{"message": {"content": parts}}, "odd"]}),
        Reply({"choices": [{"message": {"content": None}, "finish_reason": "length"}]}),
        Reply({"code": 12001, "message": "no credits", "data": {}}),
    )
    job.write("one", "", "+two", {"prompt": "x"}, "four", "five", "six")
    stopped = job.run(*ONE, "--csv", str(table))
    text = table.read_bytes()
    job.run("--dry-run", "-m", "m", "--csv", str(table))
    rows = list(csv.reader(io.StringIO(text.decode("utf-8-sig"), newline="")))

    assert stopped.returncode == 5
    assert "answers.csv has the answers as a table." in stopped.stdout
    assert text.startswith(b"\xef\xbb\xbfline,")
    assert text == table.read_bytes()
    assert rows[0] == ROW
    assert rows[1] == ["1", "one", '\'=HYPERLINK("http://evil")\nb, c\n\nd?', "", name_of("one")]
    assert rows[2][:3] == ["3", "'+two", ""]
    assert "away" in rows[2][3]
    assert "text/html" in rows[3][3]
    assert rows[4][1:4] == ["four", "-5", ""]
    assert rows[5][1:4] == ["five", "", "no text; finish_reason: length"]
    assert rows[6][1:4] == ["six", "", "not answered yet"]
    assert sorted(os.listdir(job.folder)) == ["answers.csv", "in.jsonl", "out.jsonl"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mine.csv", "is there and is not a table of answers; name another file for --csv"),
        ("nowhere/a.csv", "there is no folder .*nowhere"),
    ],
)
def test_no_file_of_somebody_else_becomes_a_table(
    scripted: ScriptedServer, job: Job, name: str, told: str
) -> None:
    """Nothing is sent before that is known."""
    write(job.folder / "mine.csv", "question,answer")
    refused = job.write("Hi").run("-m", "m", "--csv", str(job.folder / name))

    assert (refused.returncode, asked(scripted)) == (2, [])
    assert re.search(told, refused.stderr)
    assert (job.folder / "mine.csv").read_text() == "question,answer\n"


@pytest.mark.usefixtures("scripted")
def test_a_table_that_cannot_be_written_loses_no_answer(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where Excel has it open, on Windows."""

    def replace(source: str, target: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", source)

    monkeypatch.setattr(os, "replace", replace)
    failed = job.write("Hi").run("-m", "m", "--csv", str(job.folder / "answers.csv"))

    assert failed.returncode == 2
    assert "answers.csv cannot be written: Permission denied; close it elsewhere, and " in failed.stderr
    assert len(job.results()) == 1
    assert sorted(os.listdir(job.folder)) == ["in.jsonl", "out.jsonl"]


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--concurrency", "0", "0 is below 1"),
        ("--concurrency", "1001", "1001 is above 1000"),
        ("--rpm", "1.5", "'1.5' is not a whole number"),
        ("--site", "x", "'x' is not one of cn, ai, sandbox"),
    ],
)
def test_a_value_that_cannot_be_is_told_in_plain_words(job: Job, option: str, value: str, told: str) -> None:
    """Whoever finds it."""
    assert re.match(
        f"aitoearn-openai: Invalid value for '?{option}'?: {told}[.] `", job.run(option, value).stderr
    )


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--dry-run"], 5), (["--max-credits", "1"], 5)])
def test_a_gateway_without_a_list_answers_a_batch(
    server: ScriptedServer, job: Job, options: list[str], code: int
) -> None:
    """Only prices need the list."""
    server.answer(Reply({"detail": "Not Found"}, 404), GOOD)
    settings = {"AITOEARN_BASE_URL": server.origin, "AITOEARN_API_KEY": KEY}
    answered = job.write(question("a", model="m")).run(*options, **settings)

    assert (answered.returncode, job.target.exists()) == (code, not code)


def test_an_input_that_changes_underway_is_noticed(scripted: ScriptedServer, job: Job) -> None:
    """What was checked is what is asked; a lock that somebody removed meanwhile ends no run."""
    job.write(*(f"{number} {'x' * 500}" for number in range(100)))

    def change() -> Reply:
        if scripted.requests[-1].method == "POST":
            job.write(*(f"{number} {'y' * 500}" for number in range(100)))
            Path(f"{job.target.resolve()}.lock").unlink(missing_ok=True)
        return MODELS if scripted.requests[-1].method == "GET" else GOOD

    scripted.next_reply = change  # type: ignore[method-assign]
    stopped = job.run(*ONE)

    assert stopped.returncode == 2
    assert re.search(
        r"aitoearn-openai: in.jsonl, line \d+: was changed meanwhile; start again\n$", stopped.stderr
    )
    assert all("y" not in prompt for prompt in asked(scripted))


class Gate:
    """Lets the first answers of a scripted server out, and holds the others until it is opened."""

    def __init__(self, server: ScriptedServer, *replies: Reply) -> None:
        self.server, self.replies = server, list(replies)
        self.open = threading.Event()
        server.paths["/models/chat"] = MODELS
        server.next_reply = self.next_reply  # type: ignore[method-assign]

    def next_reply(self) -> Reply:
        with contextlib.suppress(IndexError):
            return self.replies.pop(0)
        self.open.wait(60)
        return GOOD

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(asked(self.server)) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@contextlib.contextmanager
def started(job: Job, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, "batch", str(job.source), str(job.target), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupt(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C, and wait until it says so."""
    process.send_signal(signal.SIGINT)
    assert process.stderr
    while "Ctrl-C again drops them" not in process.stderr.readline():
        pass


def test_ctrl_c_waits_for_what_is_paid_and_asks_nothing_more(scripted: ScriptedServer, job: Job) -> None:
    """The rest is done by the same command."""
    gate = Gate(scripted)
    job.write(*map(str, range(20)))
    with started(job, "-m", "m", "--concurrency", "3") as process:
        gate.wait_for(3)
        interrupt(process)
        gate.open.set()
        out, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "3 of 20 answered, 0 failed" in out
    assert (len(asked(scripted)), len(job.results())) == (3, 3)
    assert job.run("-m", "m").returncode == 0
    assert (len(asked(scripted)), len(job.results())) == (20, 20)


def test_ctrl_c_twice_waits_for_nothing(scripted: ScriptedServer, job: Job) -> None:
    """What was finished is kept."""
    gate = Gate(scripted, GOOD)
    job.write(*map(str, range(20)))
    with started(job, "-m", "m", "--concurrency", "3") as process:
        gate.wait_for(4)
        interrupt(process)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
        gate.open.set()

    assert (process.returncode, errors) == (130, "")
    assert "1 of 20 answered, 0 failed" in out
    assert len(job.results()) == 1


def test_two_runs_on_one_output_are_refused(scripted: ScriptedServer, job: Job) -> None:
    """While the first is there; if it was killed, its lock went with it."""
    gate = Gate(scripted, GOOD)
    job.write("one", "two")
    link = job.target.with_name("link.jsonl")
    link.symlink_to(job.target)
    with started(job, *ONE, "--rpm", "6000") as first:
        gate.wait_for(2)
        second = run("batch", str(job.source), str(link), "-m", "m")
        first.kill()
    gate.open.set()

    assert second.returncode == 2
    assert second.stderr == "aitoearn-openai: another run is writing out.jsonl; wait for it, or end it\n"
    assert run("batch", str(job.source), str(link), "-m", "m").returncode == 0
    assert job.results().keys() == {name_of("one"), name_of("two")}


@pytest.mark.usefixtures("scripted")
def test_a_reader_of_the_progress_that_goes_away_ends_it_quietly(job: Job) -> None:
    """As other commands end then."""
    with started(job.write("Hi"), "-m", "m") as process:
        assert process.stderr
        process.stderr.close()
        out, _ = process.communicate(timeout=60)

    assert (process.returncode, out) == (1, "")


@pytest.mark.usefixtures("sandboxed")
def test_a_person_sees_how_far_it_is(job: Job) -> None:
    """On a terminal there is a bar with all that counts, then the summary."""
    job.write(*(question(f"q{n}") for n in range(50)), question("slow", model="slow-first-byte"))
    job.source.write_text(job.source.read_text("utf-8") + "\n" * 2000, "utf-8")
    with TerminalProcess("batch", str(job.source), str(job.target)) as terminal:
        terminal.wait_for("Reading")
        terminal.wait_for("50 of 51 answered, 0 failed, ")
        terminal.wait_for("/s, 0:00:00 left")
        terminal.wait_for("50 tokens in, 900 out, about 0.40875 seedance credits")
        terminal.wait_for("out.jsonl: 51 of 51 answered, 0 failed.")
        assert terminal.end() == 0

    assert "━━━━━━━━━━━━━━━━━━━━" in terminal.shown


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
import aitoearn_openai._cli.batch_job
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
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing finished is asked again: twice are only those that were under way at a kill, as the service counts."""
    chance = random.Random(SEED)
    at_once, prompts = 8, [f"prompt {number}" for number in range(100 * KILLS)]
    job.write(*prompts)
    command = ["batch", str(job.source), str(job.target), "-m", "m", "--concurrency", str(at_once)]
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
                lines = job.target.read_bytes().split(b"\n")[:-1] if job.target.exists() else []
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
    assert len(job.results()) == len(prompts)
