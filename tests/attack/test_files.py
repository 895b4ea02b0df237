"""Another user of the machine, who can make files and links where a command works."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import run
from conftest import Reply, ScriptedServer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and rights of Unix")
SOMEBODY = 12345
as_root = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="makes files of others")


@pytest.fixture
def target(scripted: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output of a batch, which answers one of two requests and has a failure for the other."""
    monkeypatch.chdir(tmp_path)
    scripted.lists({"name": "m"})
    scripted.answer(Reply({"choices": [{"message": {"content": "yes"}}]}))
    (tmp_path / "in.jsonl").write_text("one\ntwo\n")
    batch()
    target = tmp_path / "out.jsonl"
    answered, failed = target.read_text().splitlines()
    target.write_text(f"{answered}\n{json.dumps({**json.loads(failed), 'response': None})}\n")
    return target


def batch(source: str = "in.jsonl", target: str = "out.jsonl") -> Any:
    return run("batch", source, target, "-m", "m")


def test_a_private_output_is_private_all_the_time(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of it is rewritten into a file that nobody else could ever read, under a name that none can guess."""
    target.chmod(0o664)
    modes: list[int] = []
    copy = shutil.copymode

    def copymode(source: Path, new: str) -> None:
        modes.append(stat.S_IMODE(os.stat(new).st_mode))
        copy(source, new)

    monkeypatch.setattr(shutil, "copymode", copymode)

    assert batch().returncode == 0
    assert [*modes, stat.S_IMODE(target.stat().st_mode)] == [0o600, 0o664]
    assert len(target.read_text().splitlines()) == 2
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
    if link == "folder":
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
def test_pipes_and_devices_are_refused(target: Path, special: str) -> None:
    """They could wait, or go on, for ever; standard input of a batch is `-`, and an image is a file too."""
    pipe = target.with_name("pipe")
    os.mkfifo(pipe)
    pipe.with_name("image.png").symlink_to(special)
    refused = batch(source=special), batch(target=special)
    image = run("chat", "Hi", "-m", "m", "--image", "image.png")

    assert [each.returncode for each in (*refused, image)] == [2, 2, 2]
    assert all("is not a file" in each.stderr for each in refused)
    assert "is not a file" in image.stderr
