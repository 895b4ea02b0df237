"""Another user of the machine, who can make files and links where a command works."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from commands import KEY, run
from conftest import Reply, ScriptedServer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and rights of Unix")
SOMEBODY = 12345
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="makes files of another user"
)


class Batch:
    """A batch of two requests, of which the output answers one and has a failure for the other."""

    def __init__(self, hostile: ScriptedServer, place: Path) -> None:
        hostile.answer(Reply({"choices": [{"message": {"content": "yes"}}]}))
        self.environment = {"AITOEARN_BASE_URL": hostile.origin, "AITOEARN_API_KEY": KEY}
        self.source, self.target = place / "in.jsonl", place / "out.jsonl"
        self.source.write_text("one\ntwo\n")

    def run(self, target: Path | None = None) -> Any:
        return run("batch", str(self.source), str(target or self.target), "-m", "m", **self.environment)

    def fail_once(self) -> None:
        """Have something to repair in the output."""
        self.run()
        lines = self.target.read_text().splitlines()
        failed = {**json.loads(lines[1]), "response": None}
        self.target.write_text(f"{lines[0]}\n{json.dumps(failed)}\n")


@pytest.fixture
def batch(hostile: ScriptedServer, tmp_path: Path) -> Batch:
    return Batch(hostile, tmp_path)


def test_a_private_output_is_private_all_the_time(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of it is rewritten into a file that nobody else could ever read, under a name that none can guess."""
    batch.fail_once()
    batch.target.chmod(0o600)
    trap = batch.target.with_name("trap")
    for name in ("out.jsonl.new", ".out.jsonl.new"):
        batch.target.with_name(name).symlink_to(trap)
    made: list[Any] = []
    seen = os.replace

    def look(new: str, target: Path) -> None:
        made.append((Path(new).name, stat.S_IMODE(os.stat(new).st_mode)))
        seen(new, target)

    modes: list[int] = []
    make = tempfile.mkstemp

    def mkstemp(*arguments: Any, **more: Any) -> Any:
        handle, name = make(*arguments, **more)
        modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return handle, name

    monkeypatch.setattr(os, "replace", look)
    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    again = batch.run()

    assert again.returncode == 0
    assert (modes, made[0][1]) == ([0o600], 0o600)
    assert stat.S_IMODE(batch.target.stat().st_mode) == 0o600
    assert not trap.exists()
    assert len(batch.target.read_text().splitlines()) == 2
    assert {each.name for each in batch.target.parent.iterdir()} == {
        "in.jsonl", "out.jsonl", "out.jsonl.new", ".out.jsonl.new"
    }  # fmt: skip


def test_the_mode_of_the_output_stays(batch: Batch) -> None:
    """Of one that others may read, too."""
    batch.fail_once()
    batch.target.chmod(0o664)
    batch.run()

    assert stat.S_IMODE(batch.target.stat().st_mode) == 0o664


def test_a_rewrite_that_fails_leaves_nothing_behind(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is as it was."""
    batch.fail_once()
    before = batch.target.read_bytes()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "out.jsonl")

    monkeypatch.setattr(os, "replace", refuse)
    failed = batch.run()

    assert (failed.returncode, "Permission denied" in failed.stderr) == (2, True)
    assert batch.target.read_bytes() == before
    assert len(list(batch.target.parent.iterdir())) == 2


@as_root
@pytest.mark.parametrize("where", ["the file", "the lock", "a folder on the way"])
def test_a_link_of_another_user_is_refused(batch: Batch, tmp_path: Path, where: str) -> None:
    """It could lead to any file of ours; our own links are followed."""
    (tmp_path / "elsewhere").mkdir()
    link, target = {
        "the file": (tmp_path / "link.jsonl", tmp_path / "link.jsonl"),
        "the lock": (tmp_path / "link.jsonl.lock", tmp_path / "link.jsonl"),
        "a folder on the way": (tmp_path / "folder", tmp_path / "folder" / "out.jsonl"),
    }[where]
    leads = tmp_path / "elsewhere" if where == "a folder on the way" else tmp_path / "elsewhere" / "x"
    link.symlink_to(leads)
    os.lchown(link, SOMEBODY, SOMEBODY)
    refused = batch.run(target)

    assert (refused.returncode, "is a link of another user" in refused.stderr) == (2, True)
    assert not list((tmp_path / "elsewhere").iterdir())
    if where != "the lock":
        os.lchown(link, os.geteuid(), os.getegid())
        assert batch.run(target).returncode == 0


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.lock"])
def test_a_file_with_another_name_is_not_written(batch: Batch, name: str) -> None:
    """Whoever made the hard link would have us write into it."""
    other = batch.target.with_name("other")
    other.write_text("")
    os.link(other, batch.target.with_name(name))
    refused = batch.run()

    assert (refused.returncode, "has another name too, a hard link" in refused.stderr) == (2, True)
    assert other.read_text() == ""


def test_a_link_that_comes_in_between_is_not_followed(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked at need not be what is opened."""
    trap, opened = batch.target.with_name("trap"), os.open

    def swap(path: Any, *arguments: Any, **more: Any) -> int:
        if str(path) == str(batch.target):
            batch.target.symlink_to(trap)
        return opened(path, *arguments, **more)

    monkeypatch.setattr(os, "open", swap)
    refused = batch.run()

    assert (refused.returncode, trap.exists()) == (2, False)


@pytest.mark.parametrize("kind", ["source", "target"])
@pytest.mark.parametrize("special", ["a pipe", "a device"])
def test_a_batch_takes_no_pipes_and_devices(batch: Batch, kind: str, special: str) -> None:
    """They could wait, or go on, for ever; standard input is `-`."""
    pipe = batch.source.with_name("pipe")
    os.mkfifo(pipe)
    setattr(batch, kind, pipe if special == "a pipe" else Path("/dev/zero"))
    refused = batch.run()

    assert (refused.returncode, "is not a file" in refused.stderr) == (2, True)


@pytest.mark.parametrize("special", ["a pipe", "a device", "a link to a device", "a folder"])
def test_an_image_is_a_regular_file(hostile: ScriptedServer, tmp_path: Path, special: str) -> None:
    """Nothing is waited for, and no device fills the memory."""
    image = tmp_path / "image.png"
    if special == "a pipe":
        os.mkfifo(image)
    elif special == "a folder":
        image.mkdir()
    else:
        image.symlink_to("/dev/zero")
    refused = run(
        "chat", "Hi", "-m", "m", "--image", str(image), AITOEARN_API_KEY=KEY, AITOEARN_BASE_URL=hostile.origin
    )

    assert refused.returncode == 2
    assert ("regular file" in refused.stderr) != (special == "a folder")
    assert not hostile.requests


def test_images_are_no_more_than_the_service_takes(hostile: ScriptedServer, tmp_path: Path) -> None:
    """50 MB in a request, in which they are a third larger; all of them count."""
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    small.write_bytes(b"\x89PNG\r\n\x1a\n" * 100)
    with large.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(50 * 2**20 * 3 // 4)
    options = ["--image", str(small), "--image", str(large)]
    refused = run("chat", "Hi", "-m", "m", *options, AITOEARN_API_KEY=KEY, AITOEARN_BASE_URL=hostile.origin)

    assert refused.returncode == 2
    assert "with 'large.png' the request has more than the 50 MB that the service takes" in refused.stderr


def test_an_image_that_cannot_be_read_says_why(
    hostile: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the words of the system."""
    image = tmp_path / "image.png"
    image.write_bytes(b"x")
    opened = os.open

    def refuse(path: Any, *arguments: Any, **more: Any) -> int:
        if str(path) == str(image):
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **more)

    monkeypatch.setattr(os, "open", refuse)
    refused = run(
        "chat", "Hi", "-m", "m", "--image", str(image), AITOEARN_API_KEY=KEY, AITOEARN_BASE_URL=hostile.origin
    )

    assert "'image.png' cannot be read: Permission denied." in refused.stderr
