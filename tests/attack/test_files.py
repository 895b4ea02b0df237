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


@pytest.fixture
def target(hostile: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output of a batch, which answers one of two requests and has a failure for the other."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AITOEARN_BASE_URL", hostile.origin)
    monkeypatch.setenv("AITOEARN_API_KEY", KEY)
    hostile.answer(Reply({"choices": [{"message": {"content": "yes"}}]}))
    (tmp_path / "in.jsonl").write_text("one\ntwo\n")
    batch()
    target = tmp_path / "out.jsonl"
    answered, failed = target.read_text().splitlines()
    target.write_text(f"{answered}\n{json.dumps({**json.loads(failed), 'response': None})}\n")
    return target


def batch(source: str = "in.jsonl", target: Any = "out.jsonl") -> Any:
    return run("batch", source, str(target), "-m", "m")


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_a_private_output_is_private_all_the_time(
    target: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """What is kept of it is rewritten into a file that nobody else could ever read, under a name that none can guess."""
    target.chmod(mode)
    trap = target.with_name("trap")
    for name in ("out.jsonl.new", ".out.jsonl.new"):
        target.with_name(name).symlink_to(trap)
    modes: list[int] = []
    make, replace = tempfile.mkstemp, os.replace

    def mkstemp(*arguments: Any, **more: Any) -> Any:
        handle, name = make(*arguments, **more)
        modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return handle, name

    def look(new: str, target: Path) -> None:
        modes.append(stat.S_IMODE(os.stat(new).st_mode))
        replace(new, target)

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    monkeypatch.setattr(os, "replace", look)

    assert batch().returncode == 0
    assert (*modes, stat.S_IMODE(target.stat().st_mode)) == (0o600, mode, mode)
    assert len(target.read_text().splitlines()) == 2
    assert {each.name for each in target.parent.iterdir()} == {
        "in.jsonl", "out.jsonl", "out.jsonl.new", ".out.jsonl.new"
    }  # fmt: skip


def test_a_rewrite_that_fails_leaves_nothing_behind(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is as it was."""
    before = target.read_bytes()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "out.jsonl")

    monkeypatch.setattr(os, "replace", refuse)
    failed = batch()

    assert (failed.returncode, "Permission denied" in failed.stderr) == (2, True)
    assert target.read_bytes() == before
    assert len(list(target.parent.iterdir())) == 2


@as_root
@pytest.mark.parametrize(
    ("link", "output"),
    [("link.jsonl", "link.jsonl"), ("link.jsonl.lock", "link.jsonl"), ("folder", "folder/out.jsonl")],
)
def test_a_link_of_another_user_is_refused(target: Path, link: str, output: str) -> None:
    """It could lead to any file of ours; our own links are followed."""
    elsewhere = target.with_name("elsewhere")
    elsewhere.mkdir()
    place = target.with_name(link)
    place.symlink_to(elsewhere if link == "folder" else elsewhere / "x")
    os.lchown(place, SOMEBODY, SOMEBODY)
    refused = batch(target=output)

    assert (refused.returncode, "is a link of another user" in refused.stderr) == (2, True)
    assert not list(elsewhere.iterdir())
    if link != "link.jsonl.lock":
        os.lchown(place, os.geteuid(), os.getegid())
        assert batch(target=output).returncode == 0


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.lock"])
def test_a_file_with_another_name_is_not_written(target: Path, name: str) -> None:
    """Whoever made the hard link would have us write into it."""
    other = target.with_name("other")
    other.write_text("")
    target.unlink()
    os.link(other, target.with_name(name))
    refused = batch()

    assert (refused.returncode, "has another name too, a hard link" in refused.stderr) == (2, True)
    assert other.read_text() == ""


def test_a_link_that_comes_in_between_is_not_followed(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked at need not be what is opened."""
    trap, opened = target.with_name("trap"), os.open

    def swap(path: Any, *arguments: Any, **more: Any) -> int:
        if str(path) == str(target):
            target.unlink()
            target.symlink_to(trap)
        return opened(path, *arguments, **more)

    monkeypatch.setattr(os, "open", swap)

    assert (batch().returncode, trap.exists()) == (2, False)


@pytest.mark.parametrize("special", ["pipe", "/dev/zero"])
def test_a_batch_takes_no_pipes_and_devices(target: Path, special: str) -> None:
    """They could wait, or go on, for ever; standard input is `-`."""
    os.mkfifo(target.with_name("pipe"))

    for refused in batch(source=special), batch(target=special):
        assert (refused.returncode, "is not a file" in refused.stderr) == (2, True)


def chat(hostile: ScriptedServer, *images: Path) -> Any:
    options = [option for image in images for option in ("--image", str(image))]
    return run("chat", "Hi", "-m", "m", *options, AITOEARN_API_KEY=KEY, AITOEARN_BASE_URL=hostile.origin)


@pytest.mark.parametrize("special", ["a pipe", "a link to a device", "a folder"])
def test_an_image_is_a_regular_file(hostile: ScriptedServer, tmp_path: Path, special: str) -> None:
    """Nothing is waited for, and no device fills the memory."""
    image = tmp_path / "image.png"
    if special == "a pipe":
        os.mkfifo(image)
    elif special == "a folder":
        image.mkdir()
    else:
        image.symlink_to("/dev/zero")
    refused = chat(hostile, image)

    assert (refused.returncode, hostile.requests) == (2, [])
    assert "is not a regular file" in refused.stderr


def test_images_are_no_more_than_the_service_takes(hostile: ScriptedServer, tmp_path: Path) -> None:
    """50 MB in a request, in which they are a third larger; all of them count."""
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    small.write_bytes(b"\x89PNG\r\n\x1a\n" * 100)
    with large.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(50 * 2**20 * 3 // 4)
    refused = chat(hostile, small, large)

    assert refused.returncode == 2
    assert "with 'large.png' the request has more than the 50 MB that the service takes" in refused.stderr
