"""examples/ray_batch.py on a real Ray cluster of several processes on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from conftest import Reply, ScriptedServer
from test_cli_batch import GOOD, Job, asked, question

pytestmark = pytest.mark.skipif(not find_spec("ray"), reason="Ray is an extra of its own")

EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_batch.py"
ROWS = 400
BLOCK = 64
HANGS = 600  # Seconds: far more than a busy machine takes.


def start(source: Path, folder: Path, server: ScriptedServer) -> subprocess.Popen[str]:
    settings = {"AITOEARN_BASE_URL": server.origin, "AITOEARN_API_KEY": "k", "RAY_USAGE_STATS_ENABLED": "0"}
    server.requests.clear()
    return subprocess.Popen(
        [sys.executable, EXAMPLE, source, folder],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def finish(process: subprocess.Popen[str]) -> None:
    told, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 0, told


def actors_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes of its actors: Ray starts them, so they are its descendants."""
    parents, actors = {}, []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if b"ray::" in (title := (path / "cmdline").read_bytes()) and b"Asker" in title:
                actors.append(int(path.name))
        except OSError:  # It has just ended.
            continue

    def descends(pid: int) -> bool:
        return pid == process.pid or (pid in parents and descends(parents[pid]))

    return [pid for pid in actors if descends(pid)]


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines()]


def test_every_row_is_there_once_though_a_worker_was_killed(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the worker had under way is asked again by another; the command asks only what is left, or failed before."""
    source, folder, job = tmp_path / "in.jsonl", tmp_path / "out", Job()
    job.source = source
    rows = [question(f"q-{number}", f"prompt {number}") for number in range(ROWS)]
    job.write(*rows)
    folder.mkdir()
    failed = {"id": "batch_req_1", "custom_id": "q-0", "response": None, "error": {"code": "request_timeout"}}
    (folder / "before.jsonl").write_text(json.dumps(failed) + "\n" + '{"id": "batch_re')
    seconds, under_way = 1.5, list[Reply]()

    def next_reply() -> Reply:
        under_way.append(GOOD)
        time.sleep(seconds)
        return under_way.pop()

    monkeypatch.setattr(server, "next_reply", next_reply)
    with start(source, folder, server) as process:
        deadline = time.monotonic() + HANGS
        while len(under_way) <= 16:  # The most of one actor: beyond, both have something under way.
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        killed = actors_of(process)
        os.kill(killed[0], signal.SIGKILL)
        seconds = 0.05
        finish(process)
    first, calls = results(folder), Counter(asked(server))
    job.write(*rows, question("one more", "one more"))

    assert len(killed) == 2
    assert Counter(result["custom_id"] for result in first) == {f"q-{number}": 1 for number in range(ROWS)}
    assert {result["response"]["status_code"] for result in first} == {200}
    assert len(calls) == ROWS
    assert 0 < calls.total() - ROWS <= BLOCK

    for reply, status in ((Reply({"code": 12300, "message": "no", "data": {}}), 404), (GOOD, 200)):
        monkeypatch.setattr(server, "next_reply", lambda reply=reply: reply)
        with start(source, folder, server) as process:
            finish(process)
        statuses = {result["custom_id"]: result["response"]["status_code"] for result in results(folder)}
        assert asked(server) == ["one more"]
        assert (len(results(folder)), len(statuses), statuses["one more"]) == (ROWS + 1, ROWS + 1, status)
