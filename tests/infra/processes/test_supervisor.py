"""The process tree of `bx24app up`: real processes, real signals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

PARTS = ["bx24app: cron", "bx24app: web", "bx24app: worker", "bx24app: worker"]


@contextmanager
def tree(name: str, folder: Path, grace: float = 10.0, group: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A running tree of tests.support.sample_trees; whatever is left of it at the end is killed."""
    command = [sys.executable, "-m", "tests.support.sample_trees", name, str(folder), str(grace)]
    up = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=group
    )
    try:
        yield up
    finally:
        up.kill()
        up.communicate()


def until(condition: Callable[[], object], words: str) -> None:
    """Waits for a condition, generously."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {words}"
        time.sleep(0.02)


def ready(up: subprocess.Popen[str]) -> None:
    assert up.stdout is not None
    assert "ready\n" in iter(up.stdout.readline, ""), "it ended before it was ready"


def children(pid: int) -> dict[int, str]:
    """The living children of a process, with their titles."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        title = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        found[int(child)] = title
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def lines(folder: Path, name: str) -> list[str]:
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def test_parts_carry_their_names_and_end_their_work_on_sigterm(tmp_path: Path) -> None:
    with tree("plain", tmp_path) as up:
        ready(up)
        until(
            lambda: len(lines(tmp_path, "worker")) == 2 and lines(tmp_path, "web") and lines(tmp_path, "cron"),
            "all started",
        )
        parts = children(up.pid)
        assert sorted(parts.values()) == PARTS
        up.send_signal(signal.SIGTERM)
        assert up.wait(10) == 0
        assert [words for words in lines(tmp_path, "worker") if words.startswith("end")] == ["end [15]", "end [15]"]
        assert not any(lives(pid) for pid in parts)


def test_ctrl_c_in_a_terminal_says_sigterm_once_to_each_part(tmp_path: Path) -> None:
    with tree("plain", tmp_path, group=True) as up:
        ready(up)
        until(lambda: len(lines(tmp_path, "worker")) == 2 and lines(tmp_path, "web"), "all started")
        os.killpg(up.pid, signal.SIGINT)
        assert up.wait(10) == 0
        assert lines(tmp_path, "web")[-1] == "end [15]"
        assert lines(tmp_path, "worker")[-1] == "end [15]"


def test_a_killed_part_is_started_again_and_the_others_stay(tmp_path: Path) -> None:
    with tree("plain", tmp_path) as up:
        ready(up)
        until(lambda: sorted(children(up.pid).values()) == PARTS, "all started")
        before = children(up.pid)
        killed = next(pid for pid, title in before.items() if title == "bx24app: worker")
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(lines(tmp_path, "worker")) >= 3, "another worker")
        after = children(up.pid)
        assert set(before) - set(after) == {killed}
        assert sorted(after.values()) == PARTS
        up.send_signal(signal.SIGTERM)
        out, err = up.communicate(timeout=10)
        assert "part died, starting it again" in out + err
        assert "SIGKILL" in out + err


def test_five_deaths_within_a_minute_end_the_tree(tmp_path: Path) -> None:
    with tree("failing", tmp_path) as up:
        out, err = up.communicate(timeout=60)
    assert up.returncode == 1
    assert "bx24app: worker died 5 times within a minute, the last time by exit code 3; ending" in err.splitlines()
    assert len(lines(tmp_path, "worker")) == 5
    assert [float(wait) for wait in re.findall(r"seconds=([\d.]+)", out + err)] == [0.2, 0.4, 0.8, 1.6]
    assert lines(tmp_path, "web")[-1] == "end [15]"
    assert out.startswith("ready")


def test_what_does_not_hear_sigterm_is_killed(tmp_path: Path) -> None:
    with tree("stubborn", tmp_path, grace=1.5) as up:
        ready(up)
        until(lambda: lines(tmp_path, "worker") and lines(tmp_path, "cron"), "all started")
        deaf = int(lines(tmp_path, "worker")[0].split()[1])
        up.send_signal(signal.SIGTERM)
        out, err = up.communicate(timeout=20)
    assert up.returncode == 0
    assert "part did not end in time, killed" in out + err
    assert lines(tmp_path, "cron")[-1] == "end [15]"
    assert not lives(deaf)


def test_parts_are_killed_when_the_parent_is(tmp_path: Path) -> None:
    with tree("whole", tmp_path) as up:
        ready(up)
        parts = children(up.pid)
        assert [title.split()[1] for title in parts.values()] == ["valkey", "worker", "web"]
        up.kill()
        up.wait()
        until(lambda: not any(lives(pid) for pid in parts), "the parts are gone")
    with tree("whole", tmp_path) as successor:
        ready(successor)  # neither its socket nor its lock is in the way
        successor.send_signal(signal.SIGTERM)
        assert successor.wait(10) == 0


def test_what_a_dead_part_leaves_running_is_killed(tmp_path: Path) -> None:
    with tree("families", tmp_path) as up:
        ready(up)
        until(lambda: lines(tmp_path, "worker"), "started")
        _, part, child = lines(tmp_path, "worker")[0].split()
        os.kill(int(part), signal.SIGKILL)
        until(lambda: not lives(int(child)), "the orphan is gone")
        until(lambda: len(lines(tmp_path, "worker")) == 2, "started again")
        child = lines(tmp_path, "worker")[1].split()[2]
        up.send_signal(signal.SIGTERM)
        assert up.wait(10) == 0
        assert not lives(int(child))


def test_valkey_is_there_until_the_last_word_of_the_others(tmp_path: Path) -> None:
    with tree("whole", tmp_path) as up:
        ready(up)
        until(lambda: lines(tmp_path, "worker"), "the worker started")
        up.send_signal(signal.SIGTERM)
        assert up.wait(10) == 0
    assert lines(tmp_path, "worker") == ["start True", "end True"]


def test_one_data_directory_has_one_tree(tmp_path: Path) -> None:
    with tree("whole", tmp_path) as first:
        ready(first)
        with tree("whole", tmp_path) as second:
            _, err = second.communicate(timeout=30)
    assert second.returncode == 1
    assert f"another bx24app up runs on {tmp_path / 'data'}" in err


def test_a_part_waits_for_what_stands_before_it(tmp_path: Path) -> None:
    with tree("patient", tmp_path) as up:
        until(lambda: lines(tmp_path, "cron"), "cron started")
        os.kill(int(lines(tmp_path, "cron")[0].split()[1]), signal.SIGKILL)
        until(lambda: len(lines(tmp_path, "cron")) == 2, "cron started again while its readiness is waited for")
        assert lines(tmp_path, "worker") == []
        (tmp_path / "go").touch()
        ready(up)
        until(lambda: lines(tmp_path, "worker"), "the worker started")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_comes_up_ends_it(number: int, tmp_path: Path) -> None:
    with tree("patient", tmp_path) as up:
        until(lambda: lines(tmp_path, "cron"), "cron started")
        up.send_signal(number)
        out, _ = up.communicate(timeout=10)
    assert up.returncode == 0
    assert "ready" not in out
    assert lines(tmp_path, "cron")[-1] == "end [15]"
