"""`batch`: files in and out, stopped, broken and killed in every way, and gone on with."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import itertools
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pytest

from aitoearn_openai.batch import digest
from commands import COMMAND, SAID, STREAMS, TerminalProcess, run, run_process, wait_until
from conftest import Reply, ScriptedServer

MODELS = [{"name": name, "pricing": {"price": "0.5"}} for name in ("m", "zz", "glm-5.2")]
GOOD = Reply({"choices": [{"message": {}}]})
KILLS = int(os.environ.get("BATCH_KILLS", "4"))
SEED = int(os.environ.get("BATCH_SEED", "7"))
ONE = "-m", "m", "--concurrency", "1"
"""The answers come in the order of the requests."""


def question(custom_id: str, prompt: str = "Hi", model: str = "glm-5.2", **more: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], **more}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


class Job:
    """A file of requests and one for the results."""

    source, target = Path("in.jsonl"), Path("out.jsonl")

    def write(self, *lines: Any) -> Job:
        texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
        self.source.write_text("".join(f"{text}\n" for text in texts), "utf-8", "surrogateescape")
        return self

    def run(self, *options: str, **settings: str) -> Any:
        return run("batch", str(self.source), str(self.target), *options, **settings)

    def results(self) -> dict[str, dict[str, Any]]:
        """The results by their name; each stands there once."""
        results = [json.loads(line) for line in self.target.read_bytes().splitlines()]
        assert len({result["custom_id"] for result in results}) == len(results)
        return {result["custom_id"]: result for result in results}

    def answers(self) -> dict[str, str]:
        """The answers by the name of their request."""
        choices = {name: result["response"]["body"]["choices"] for name, result in self.results().items()}
        return {name: each[0]["message"]["content"].removeprefix(SAID) for name, each in choices.items()}


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.chdir(tmp_path)
    return Job()


@pytest.fixture
def scripted(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    monkeypatch.setenv("AITOEARN_MAX_RETRIES", "0")
    scripted.lists(*MODELS)
    scripted.answer(GOOD)
    return scripted


def name_of(prompt: str) -> str:
    """What a prompt without a `custom_id` is named."""
    return f"prompt-{digest({'prompt': prompt})[:24]}"


def bodies(server: ScriptedServer) -> list[Any]:
    """What the server was asked; a client that is killed may have sent a part, or nothing of it."""
    return [json.loads(each.body) for each in server.requests if each.body.endswith(b"}")]


def asked(server: ScriptedServer) -> list[str]:
    """The prompts that the server was asked, in their order."""
    return [body["messages"][0]["content"] for body in bodies(server)]


@pytest.mark.usefixtures("sandboxed")
def test_a_file_of_the_batch_api_is_answered_in_its_format(job: Job) -> None:
    """So the code that reads those files reads these; what happens is told at the end."""
    done = job.write(question("a", "你好"), question("b", "fine", user="u"), "").run()

    assert job.answers() == {"a": "你好", "b": "fine"}
    assert job.results()["a"].keys() == {"id", "custom_id", "response", "error"}
    bill = r"glm-5.2, 3 tokens in, 37 out, about 0\.016875 seedance credits \(list price\), \d+\.\d s\."
    assert re.fullmatch(rf"out\.jsonl: 2 of 2 answered, 0 failed\. This run: {bill}\n", done.stdout)
    before = "0 of 2 answered, 0 failed, 0 tokens in, 0 out, about 0 credits (list price)"
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, before)


PROMPTS = ["你好", "", "  How are\tyou? ", "{}"]


@pytest.mark.parametrize(
    ("lines", "encoding"),
    [
        (PROMPTS, "utf-8"),
        (PROMPTS, "utf-16-be"),
        ([{"prompt": prompt.strip()} for prompt in PROMPTS if prompt], "utf-16-le"),
    ],
)
@pytest.mark.usefixtures("sandboxed")
def test_plain_prompts_are_answered_and_named(job: Job, lines: list[Any], encoding: str) -> None:
    """One a line, as text or in JSON, as Windows writes it; a part of the model's name will do, and the summary names it."""
    text = job.write(*lines).source.read_text("utf-8")
    job.source.write_bytes(f"\ufeff{text}".replace("\n", "\r\n").encode(encoding))
    planned = run("batch", "-", "-m", "LM 5", "--dry-run", stdin=job.source.read_bytes())
    done = job.run("-m", "LM 5")

    assert job.answers() == {name_of(prompt): prompt for prompt in ("你好", "How are\tyou?", "{}")}
    assert planned.stdout.startswith("3 requests, 0 answered, 3 to send to glm-5.2\n")
    assert " This run: glm-5.2, " in done.stdout


MESSAGES = [{"role": "user", "content": "Hi"}]
BRIEF = [{"role": "system", "content": "Be brief."}, *MESSAGES]
OPTIONS = ["--system", "Be brief.", "--temperature", "0.5", "--max-tokens", "9"]


@pytest.mark.parametrize(
    ("line", "options", "body"),
    [
        ({"messages": MESSAGES, "top_p": 1}, [], {"messages": MESSAGES, "top_p": 1, "model": "m"}),
        ({"custom_id": "mine", "model": "zz", "messages": MESSAGES}, [], {"model": "zz", "messages": MESSAGES}),
        ({"body": {"messages": MESSAGES}}, [], {"messages": MESSAGES, "model": "m"}),
        ({"prompt": "Hi", "method": "POST", "model": "zz", "temperature": 0}, [], {"messages": MESSAGES, "model": "zz", "temperature": 0}),
        ("Hi", OPTIONS, {"messages": BRIEF, "model": "m", "temperature": 0.5, "max_tokens": 9}),
        (
            {"prompt": "Hi", "system": "Be brief.", "temperature": 1, "max_completion_tokens": 5},
            ["--system", "No.", *OPTIONS[2:]],
            {"messages": BRIEF, "model": "m", "temperature": 1, "max_completion_tokens": 5},
        ),
    ],
)  # fmt: skip
def test_what_every_line_would_repeat_may_be_left_out(
    scripted: ScriptedServer, job: Job, line: Any, options: list[str], body: Any
) -> None:
    """Method, address, name and model, and for prompts a few options; what the line says is sent unchanged."""
    assert job.write(line).run(*options, AITOEARN_MODEL="m").returncode == 0
    assert bodies(scripted) == [body]
    assert next(iter(job.results())).startswith("mine" if "custom_id" in line else "prompt-")


NOT_UTF_8 = "is not UTF-8 text; save the file as UTF-8"
NEEDS = "must be an object with one of prompt, messages or body; found:"
FILES = "in", "out"
OUT = "in", "out", "-m", "m"
THEIRS = {
    "diary": "Dear diary\n",
    "cut": "no end",
    "json": '{"custom_id": [], "id": "batch_req_1", "response": null}\n',
    "5": "5\n",
}
"""Files of somebody else."""


@pytest.mark.parametrize(
    ("lines", "arguments", "told"),
    [
        ([question("a"), "{"], FILES, r"in, line 2: is not JSON: Expecting property name .*: column 2 \(char 1\); if .*"),
        (["{who} are you?"], FILES, 'in, line 1: is not JSON: .*; if it is a prompt, write {"prompt": "..."}'),
        (["[" * 100_000], FILES, "in, line 1: is not JSON: maximum recursion depth exceeded.*"),
        (["\udcc4\udce3"], FILES, f"in, line 1: {NOT_UTF_8}"),
        (["H\0i\0"], ["-", "out"], f"standard input, line 1: {NOT_UTF_8}"),
        (["\udcff\udcfe"], FILES, "in begins as UTF-16 does and is not; save it as UTF-8"),
        (["Hello"], FILES, "in, line 1: it needs a model; name one with --model or AITOEARN_MODEL"),
        ([question("a"), question("b"), question("a")], FILES, "in, line 3: custom_id 'a' is already used in line 1; .*"),
        ([{"prompt": "Hi", "body": {}}], ["-", "--dry-run"], f"standard input, line 1: {NEEDS} prompt, body"),
        ([question("a"), "[1]"], FILES, f"in, line 2: {NEEDS} nothing"),
        ([{"body": 5}], FILES, "in, line 1: body must be an object"),
        (["", " "], FILES, "in holds no requests; write one a line"),
        (
            [question("a"), question("b", model="glm-52"), question("c", model="glm-52")],
            FILES,
            "in, lines 2, 3: glm-52 is not in the model list. The closest name is glm-5.2.",
        ),
        (
            [{"a": 1}, question("a"), {"prompt": "", "model": "m"}, *[{"a": 1}] * 9],
            FILES,
            (f"in, lines 1, 4, 5, 6, 7, 8, 9, 10, 11: {NEEDS} a\n"
            "aitoearn-openai: in, line 3: prompt must be a text that is not empty\n"
            "aitoearn-openai: in: reading ended at 10 bad lines; nothing was sent"),
        ),
        ([{"messages": [{}]}], [*OUT, "--system", "Hi"], "in, line 1: has no prompt, for which --system, .*"),
        (["Hi"], [*FILES, "--max-credits", "1", "-m", "free"], "in, line 1: a limit on credits needs prices, and .* none for the model 'free'"),
        (["Hi"], [*OUT, "--max-credits", "0"], "Invalid value for --max-credits: the number must be above 0. `.*"),
        (["Hi"], [*OUT, "--concurrency", "0"], "Invalid value for '--concurrency': .* 1: '0'. `.*"),
        (["Hi"], [*OUT, "--csv", "mine.csv"], "mine.csv is there and is not a table of answers; name another file for --csv"),
        (["Hi"], [*OUT, "--csv", "out"], "Invalid value: the input, the output and the table must be different files. `.*"),
        (["Hi"], ["in.XLSX", "out"], "in.XLSX is a table, not a file of prompts; copy .* text file, one prompt a line"),
        (["Hi"], ["in", "a.csv"], "the results are JSON, a line each: name OUT.jsonl, and --csv a.csv for a table"),
        (["Hi"], ["in", "."], "Invalid value for 'OUT.jsonl': file '.*' is a directory. `.*"),
        (["Hi"], ["in", "nowhere/out"], "there is no folder .*/nowhere"),
        (["Hi"], ["in", "x" * 300], ".*xxx: File name too long"),
        (["Hi"], ["in", "-"], "name a file for the results instead of -: .*"),
        (["Hi"], ["in"], ".*OUT.jsonl.*only --dry-run does without. `.*"),
        *((["Hi"], ["in", name], f"{name}, line 1: is not a result; name another file") for name in THEIRS),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_before_anything_is_asked(
    scripted: ScriptedServer, job: Job, lines: list[Any], arguments: list[str], told: str
) -> None:
    """With the numbers of bad lines: of many the first ten, those of the same reason together. No file is changed or made."""
    scripted.lists(*MODELS, {"name": "free"})
    job.source = Path(arguments[0])
    job.write(*lines)
    for name, text in {**THEIRS, "mine.csv": "question,answer"}.items():
        Path(name).write_text(text)
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    failed = run("batch", *arguments, stdin=before.get("-", b""))

    assert (failed.returncode, asked(scripted)) == (2, [])
    assert re.fullmatch(f"aitoearn-openai: {told}\n", failed.stderr)
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_what_is_answered_is_not_asked_again(scripted: ScriptedServer, job: Job) -> None:
    """The rest is, also of a file that has grown, and what failed, which stays until then. Another model's answers are others."""
    scripted.answer(GOOD, Reply({"code": 12300, "message": "no"}), GOOD)
    first = job.write("one", "two", "three").run(*ONE)
    job.write("of another input").run(*ONE)
    failed = job.results()[name_of("two")]
    planned = job.write("one", "two", "three", "four").run("-m", "m", "--dry-run", AITOEARN_API_KEY="")
    assert len(job.results()) == 4
    with job.target.open("a") as end:
        end.write("\n")  # As editors do.
    second, third = job.run(*ONE), job.run(*ONE)
    before = job.target.read_bytes()
    others = job.run("-m", "zz")

    assert (first.returncode, second.returncode, third.returncode) == (1, 0, 0)
    assert "2 of 3 answered, 1 failed" in first.stdout
    assert first.stdout.endswith(" s. The same command sends the rest.\n")
    told = r"^aitoearn-openai: 1 request failed: Error code: 404 - no .* lists the names\.$"
    assert re.search(told, first.stderr, re.MULTILINE)
    assert (failed["response"]["status_code"], failed["error"]) == (404, None)
    assert failed["response"]["body"]["error"]["code"] == "12300"
    assert planned.stdout.startswith("4 requests, 2 answered, 2 to send to m\n2 tokens in, 1,000 out, ")
    assert "4 of 4 answered, 0 failed" in second.stdout
    assert asked(scripted) == ["one", "two", "three", "of another input", "two", "four"]
    assert list(job.results()) == list(map(name_of, ("one", "three", "of another input", "two", "four")))
    assert (
        "in.jsonl, lines 1, 2, 3, 4: out.jsonl answers it with another text, model or option" in others.stderr
    )
    assert (others.returncode, job.target.read_bytes()) == (2, before)


@pytest.mark.parametrize(
    ("lines", "again"),
    [
        (["new", "b", "a", "a", "c"], ["new"]),  # Added at the top, moved, doubled.
        (["c", "a"], []),  # Removed, one of two that are the same among them.
        (["a", "a", "a", "b", "c"], ["a"]),
        ([{"prompt": "b"}, {"prompt": "c", "custom_id": "mine"}, {"prompt": "a", "seed": 1}], ["c", "a"]),
        (["other"], ["other"]),  # Several inputs may share an output.
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


def test_the_reasons_of_all_failures_are_counted(scripted: ScriptedServer, job: Job) -> None:
    """Each once, whatever id a request got, and the most common first; of very many, only the number is kept."""
    messages = ["away"] * 2 + ["no"] * 3 + [f"away {number}" for number in range(10)]
    said = ({"code": 10002, "message": each, "requestId": f"r{n}"} for n, each in enumerate(messages))
    scripted.answer(*map(Reply, said))
    done = job.write(*map(str, range(15))).run(*ONE)
    reasons = [line for line in done.stderr.splitlines() if " failed: " in line]

    most = "3 requests failed: Error code: 400 - no (AiToEarn code 10002). Change the request as it says."
    assert reasons[0] == f"aitoearn-openai: {most}"
    assert "aitoearn-openai: 2 requests failed: for other reasons, which the output names." in reasons
    assert len(reasons) == 11


def test_requests_come_through_a_pipe(scripted: ScriptedServer, job: Job) -> None:
    """As - says; the same requests through a pipe again are not asked again. A closed one has none."""
    job.source = Path("-")
    first, again = (job.run("-m", "m", stdin=f"你好\nHi\n{more}") for more in ("", "three\n"))

    assert (first.returncode, again.returncode) == (0, 0)
    assert sorted(asked(scripted)) == ["Hi", "three", "你好"]
    assert os.listdir() == ["out.jsonl"]
    assert job.run(streams=dict.fromkeys(STREAMS)).returncode == 2


@pytest.mark.parametrize(
    ("cut", "kept"),
    [
        (lambda text: text[:-20], 2),
        (lambda text: text[: text.rindex(b"\n", 0, -1) + 2], 2),
        (lambda text: text[:-1], 3),
        (lambda text: text[: text.index(b"\n") + 1] + b"\0" * 300 + text[text.index(b"\n") + 301 :], 2),
        (lambda text: b"", 0),
    ],
)
def test_what_a_power_cut_leaves_is_mended(scripted: ScriptedServer, job: Job, cut: Any, kept: int) -> None:
    """Each answer is on disk before it is counted. A line that was cut off is asked again; one that lacks its end is kept."""
    scripted.answer(Reply({"choices": [{"message": {}}], "padding": "x" * 300}))
    with patch.object(os, "fsync", wraps=os.fsync) as synced:
        job.write("one", "two", "three").run(*ONE)
    assert synced.call_count == 1 + 3  # The name of the file too.
    job.target.write_bytes(cut(job.target.read_bytes()))
    scripted.requests.clear()

    assert job.run("-m", "m").returncode == 0
    assert len(asked(scripted)) == 3 - kept
    assert job.results().keys() == {name_of("one"), name_of("two"), name_of("three")}


MASKED = "<**********>"


@pytest.mark.parametrize("key", ["message", "e"])
def test_a_key_that_is_a_common_word_stays_out_of_files(scripted: ScriptedServer, job: Job, key: str) -> None:
    """Names of requests and of fields, ids and statuses stay all the same."""
    error = {"message": f"<{key}>", "type": f"<{key}>", "param": {f"<{key}>": [f"<{key}>"]}, "code": 7}
    away = Reply(f"<{key}>", content_type=f"text/html; {key}")
    scripted.answer(Reply({"error": error}, status=400, headers={"X-Request-Id": f"<{key}>"}), away)
    job.write(question(f"test-{key}-1"), question(f"check {key}"))
    failed = job.run("--concurrency", "1", AITOEARN_API_KEY=key)
    refused, page = job.results().values()
    words = refused["response"]["body"]["error"]

    assert [refused["custom_id"], page["custom_id"]] == [f"test-{key}-1", f"check {key}"]
    assert (refused["response"]["request_id"], words["type"], words["code"]) == (MASKED, MASKED, "7")
    assert words["message"].startswith("Error code: 400 - ")
    assert page["error"]["code"] == "invalid_response"
    assert "Check the base URL: AiToEarn's ends in /api/ai." in page["error"]["message"]
    assert f"<{key}>" not in job.target.read_text("utf-8") + failed.stderr + failed.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")
@pytest.mark.parametrize(
    ("limit", "code"),
    [("ulimit -Sn 64", 0), ('for n in {10..39}; do eval "exec $n</dev/null"; done; ulimit -n 64', 1)],
)
@pytest.mark.usefixtures("sandboxed")
def test_a_small_limit_on_open_files_is_raised_if_that_is_allowed(job: Job, limit: str, code: int) -> None:
    """As on macOS, where it is 256; otherwise the results and the end say so, and what to do."""
    job.write(*(question(f"q{number}", model="slow-first-byte") for number in range(80)))
    command = ["bash", "-c", f'{limit} && exec "$@"', "bash", *COMMAND, "batch", "in.jsonl", "out.jsonl"]
    done = run_process("--concurrency", "80", command=command, AITOEARN_MAX_RETRIES="0")
    errors = [result["error"]["message"] for result in job.results().values() if result["error"]]

    assert (done.returncode, bool(errors)) == (code, bool(code))
    assert all("Too many open files" in error for error in errors)
    assert ("Too many open files. Lower --concurrency" in done.stderr) == bool(code)


@contextlib.contextmanager
def little_room() -> Iterator[None]:
    """No file may become larger than 1 KB."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_loses_nothing(scripted: ScriptedServer, job: Job) -> None:
    """It stops and says so; with room again, the same command goes on. Temporary files have a folder of their own."""
    scripted.answer(Reply({"choices": [{"message": {}}], "padding": "x" * 500}))
    with little_room():
        full = job.write("one", "two", "three").run(*ONE)
    torn, before = job.target.read_bytes(), asked(scripted)
    again = job.run(*ONE)
    job.write(*(f"{number} {'x' * 9999}" for number in range(500)))
    with little_room():
        no_room = job.run(*ONE)

    assert (full.returncode, before) == (2, ["one", "two"])
    assert "out.jsonl cannot be written: File too large; the same command goes on from here\n" in full.stderr
    assert (len(torn), torn.count(b"\n")) == (1024, 1)
    assert (again.returncode, "3 of 3 answered" in again.stdout) == (0, True)
    assert job.results().keys() == {name_of("one"), name_of("two"), name_of("three")}
    assert no_room.returncode == 2
    assert re.search(
        r"in.jsonl: no temporary file \(.*\); set TMPDIR to a folder with room\n", no_room.stderr
    )


def test_odd_answers_are_counted_as_far_as_they_tell(scripted: ScriptedServer, job: Job) -> None:
    """By the list, whatever they say of `cost`; neither half a character nor an odd end of a line breaks the file."""
    message = {"choices": [{"message": {"content": "\ud83d…\u2028b\u2029c\x85d"}}]}
    scripted.answer(
        Reply({**message, "cost": "0", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
        Reply({**message, "cost": "Infinity", "usage": {"prompt_tokens": "3"}}),
        Reply({**message, "cost": 2.5, "usage": 5}),
        Reply({**message, "cost": "9E+999999", "usage": {"prompt_tokens": 10**4000}}),
    )
    done = job.write(*"abcd").run(*ONE)

    counted = "This run: m, 3 tokens in, 4 out, about 2 credits (list price)"
    assert f"4 of 4 answered, 0 failed. {counted}" in done.stdout
    assert set(job.answers().values()) == {"\ud83d…\u2028b\u2029c\x85d"}
    assert len(job.target.read_text("utf-8").splitlines()) == 4  # As httpx and Node count them too.
    assert "…" in job.target.read_text("utf-8")


def test_a_service_that_was_away_for_a_while_costs_no_answer(scripted: ScriptedServer, job: Job) -> None:
    """A long job tries more often than the SDK does, unless a setting says how often."""
    scripted.answer(*[Reply({"error": {"message": "busy"}}, status=503)] * 5, GOOD)

    assert job.write("Hi").run("-m", "m", AITOEARN_MAX_RETRIES="").returncode == 0


IMAGE = {"role": "user", "content": [{"type": "text", "text": "12345678"}, {"type": "image_url"}]}
A = question("a")
LOCAL = question("local", model="llama-5-local")
ASSUMED = "Assumed: 4 bytes of text a token, and up to 500 tokens an answer.\n"


@pytest.mark.parametrize(
    ("requests", "options", "told"),
    [
        ([A], [], f" to send to glm-5.2\n1 token in, 500 out, about 0.225075 seedance credits (list price)\n{ASSUMED}"),
        ([A], ["--answer-tokens", "0"], "\n1 token in, 0 out, about 0.000075 seedance credits (list price)\n"),
        ([question("a", "x" * 4000, max_completion_tokens=10)], [], "\n1,000 tokens in, 10 out, about 0.0795 seedance"),
        ([question("a", messages=[IMAGE, "odd"], n=2)], [], "\n2 tokens in, 1,000 out, about 0.45015 seedance"),
        ([question("a", max_tokens="many", max_completion_tokens=-5, n=0)], [], "\n1 token in, 500 out, about 0.225075"),
        ([A, LOCAL], [], " to 2 models\n2 tokens in, 1,000 out, about 0.225075 seedance credits (list price), the cost of 1 answer is not known\n"),
        ([LOCAL], [], "\n1 token in, 500 out, the cost of 1 answer is not known\n"),
        ([A, question("b", model="gemini-3.1-pro-preview")], [], "about 0.225075 seedance credits and 0.6002 general credits"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("sandboxed")
def test_a_dry_run_counts_and_estimates(job: Job, requests: list[Any], options: list[str], told: str) -> None:
    """For each balance, as it pays for its own models alone; it needs no key, and makes no output."""
    job.write(*requests)
    shown = run("batch", "in.jsonl", "--dry-run", *options, AITOEARN_API_KEY="")

    assert (shown.returncode, os.listdir()) == (0, ["in.jsonl"])
    assert told in shown.stdout


@pytest.mark.usefixtures("sandboxed")
def test_a_batch_stops_before_it_costs_too_much_and_goes_on_the_next_time(job: Job) -> None:
    """It keeps what is there and says how far it came."""
    limit = ["--max-credits", "0.24", "--concurrency", "1"]
    first = job.write(question("a"), question("b"), question("c")).run(*limit)
    second = job.run(*limit)

    assert (first.returncode, second.returncode, len(job.results())) == (1, 0, 3)
    assert "out.jsonl: 2 of 3 answered, 0 failed." in first.stdout
    assert "'c', is estimated at 0.2251 credits. With the 0.0" in first.stderr


def test_without_credits_it_stops_and_says_what_to_do(scripted: ScriptedServer, job: Job) -> None:
    """By the list that is known, with the code that other commands have for it, and without hundreds of failures."""
    scripted.lists({"name": "m", "creditsScope": "seedance"})
    scripted.answer(GOOD, Reply({"code": 12001, "message": "no"}))
    stopped = job.write(*map(str, range(200))).run(*ONE)

    assert (stopped.returncode, len(job.results())) == (5, 1)
    assert "1 of 200 answered, 0 failed. This run: m, " in stopped.stdout
    assert stopped.stdout.endswith(" s. The same command sends the rest.\n")
    assert "m is paid from the balance 'seedance'" in stopped.stderr
    assert [request.method for request in scripted.requests][:3] == ["GET", "POST", "POST"]
    assert len(scripted.requests) <= 4  # One may be under way.


@pytest.mark.parametrize(("options", "code"), [("--rpm=6000", 0), ("--dry-run", 5), ("--max-credits=1", 5)])
def test_only_prices_need_the_list(scripted: ScriptedServer, job: Job, options: str, code: int) -> None:
    """A gateway that has none answers a batch."""
    scripted.paths.clear()
    scripted.answer(Reply({"detail": "Not Found"}, 404), GOOD)

    assert job.write(question("a")).run(options).returncode == code
    assert len(asked(scripted)) == (code == 0)


def test_excel_opens_the_answers(scripted: ScriptedServer, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a table in the order of the input, with what went wrong, without formulas; a dry run makes it anew, or fails."""
    table = Path("answers.csv")
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
    stopped = job.run(*ONE, "--csv", "answers.csv")
    text = table.read_bytes()
    job.run("--dry-run", "-m", "m", "--csv", "answers.csv")
    monkeypatch.setattr(os, "replace", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
    failed = job.run(
        "--dry-run", "-m", "m", "--csv", "answers.csv"
    )  # As where Excel has it open, on Windows.
    rows = list(csv.reader(io.StringIO(text.decode("utf-8-sig"), newline="")))

    assert "answers.csv has the answers as a table." in stopped.stdout
    assert text.startswith(b"\xef\xbb\xbfline,")
    assert text == table.read_bytes()
    assert failed.returncode == 2
    assert "answers.csv cannot be written: Permission denied; close it elsewhere, and " in failed.stderr
    assert rows[0] == ["line", "prompt", "answer", "error", "custom_id"]
    assert rows[1] == ["1", "one", '\'=HYPERLINK("http://evil")\nb, c\n\nd?', "", name_of("one")]
    assert rows[2][:3] == ["3", "'+two", ""]
    assert "away" in rows[2][3]
    assert "text/html" in rows[3][3]
    assert rows[4][1:4] == ["four", "-5", ""]
    assert rows[5][1:4] == ["five", "", "no text; finish_reason: length"]
    assert rows[6][1:4] == ["six", "", "not answered yet"]
    assert sorted(os.listdir()) == ["answers.csv", "in.jsonl", "out.jsonl"]


@contextlib.contextmanager
def started(*options: str) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, "batch", "in.jsonl", "out.jsonl", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, encoding="utf-8") as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("is_pressed_twice", [False, True])
def test_ctrl_c_finishes_what_is_paid_and_twice_drops_it(
    scripted: ScriptedServer, job: Job, monkeypatch: pytest.MonkeyPatch, is_pressed_twice: bool
) -> None:
    """What was finished is kept, and the rest is done by the same command, but not by two at once."""
    number, gate = itertools.count(), threading.Event()
    monkeypatch.setattr(scripted, "next_reply", lambda: GOOD if not next(number) or gate.wait(60) else None)
    Path("link.jsonl").symlink_to(job.target)
    job.write(*map(str, range(20)))
    with started("-m", "m", "--concurrency", "3") as process:
        wait_until(lambda: len(asked(scripted)) == 4)
        second = run("batch", "in.jsonl", "link.jsonl", "-m", "m")
        Path("out.jsonl.lock").unlink()  # Somebody takes it for a leftover.
        process.send_signal(signal.SIGINT)
        said = next(line for line in process.stderr if "answered" not in line)
        assert "finishing 3 requests; Ctrl-C again drops them" in said
        if is_pressed_twice:
            process.send_signal(signal.SIGINT)
        else:
            gate.set()
        out, errors = process.communicate(timeout=60)
    gate.set()
    kept = 1 if is_pressed_twice else 4

    told = "aitoearn-openai: another run is writing out.jsonl; wait for it, or end it\n"
    assert (second.returncode, second.stderr) == (2, told)
    assert (process.returncode, errors, len(asked(scripted)), len(job.results())) == (130, "", 4, kept)
    assert f"{kept} of 20 answered, 0 failed" in out
    assert job.run("-m", "m").returncode == 0
    assert (len(asked(scripted)), len(job.results())) == (24 - kept, 20)


@pytest.mark.usefixtures("sandboxed")
def test_a_person_sees_how_far_it_is(job: Job) -> None:
    """On a terminal there is a bar with all that counts, then the summary."""
    job.write(*(question(f"q{n}") for n in range(50)), question("slow", model="slow-first-byte"))
    with TerminalProcess("batch", "in.jsonl", "out.jsonl") as terminal:
        terminal.wait_for("Reading")
        terminal.wait_for("50 of 51 answered, 0 failed")
        terminal.wait_for("50 tokens in, 900 out, about 0.40875 seedance credits")
        terminal.wait_for("out.jsonl: 51 of 51 answered, 0 failed.")
        assert terminal.end() == 0

    assert "━━━━━━━━━━━━" in terminal.shown


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_answers_each_request_once(
    scripted: ScriptedServer, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing finished is asked again: twice are only those that were under way at a kill, as the service counts."""
    chance = random.Random(SEED)
    at_once, prompts = 8, [f"prompt {number}" for number in range(100 * KILLS)]
    names = {name_of(prompt): prompt for prompt in prompts}
    job.write(*prompts)

    def next_reply() -> Reply:
        time.sleep(chance.random() / 100)
        return GOOD

    monkeypatch.setattr(scripted, "next_reply", next_reply)
    kept: set[str] = set()
    calls: Counter[str] = Counter()
    for number in range(KILLS + 1):
        scripted.requests.clear()
        with started("-m", "m", "--concurrency", str(at_once)) as process:
            wait_until(lambda: asked(scripted))
            job.write("something else")  # What was checked is what is asked.
            if number < KILLS:
                time.sleep(chance.random() / 4)
            else:
                process.communicate(timeout=60)
        job.write(*prompts)
        assert process.returncode == (-signal.SIGKILL if number < KILLS else 0)
        while any("process_request" in each.name for each in threading.enumerate()):
            time.sleep(0.001)  # What was sent before the kill arrives.
        now = Counter(asked(scripted))
        calls += now
        assert set(now.values()) == {1}
        assert not now.keys() & kept
        lines = job.target.read_bytes().split(b"\n")[:-1]
        kept = {names[json.loads(each)["custom_id"]] for each in lines}
        assert len(kept) == len(lines)
        assert len(now.keys() - kept) <= at_once

    print(f"{KILLS} kills, {calls.total()} calls for {len(prompts)} prompts")
    assert kept == calls.keys() == set(prompts)
    assert len(job.results()) == len(prompts)
