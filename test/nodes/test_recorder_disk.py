"""A disk that says nothing, or that it cannot say: the recorder goes on listening, and tells."""

import errno
import os
import shutil
import threading
from contextlib import contextmanager

import pytest
from recorder_inside import recorder_inside
from recorder_process import robot_on

from qtx_ros.errors import QtxError
from qtx_ros.nodes.recorder_disk import Disk

CAMERA = "/camera/image_raw"


@pytest.fixture(scope="module")
def robot():
    with robot_on(64) as robot:
        yield robot


@contextmanager
def recorder(robot, folder):
    robot.sent.clear()
    robot.statuses.clear()
    with recorder_inside(folder) as node:
        robot.wait(robot.everybody_listens)
        robot.wait(lambda: robot.statuses)
        yield node


def silent_until(answer):
    """A disk that answers when it is told to."""

    def usage(path, usage=shutil.disk_usage):
        answer.wait(30)
        return usage(path)

    return usage


def broken(path):
    raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))


def test_a_disk_that_cannot_say_stops_the_episode_and_not_the_recorder(robot, tmp_path, monkeypatch):
    with recorder(robot, tmp_path):
        episode = robot.call("start").episode
        robot.play(0.5)
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", broken)
            robot.wait(lambda: robot.statuses[-1].problems and not robot.statuses[-1].recording)
            (problem,) = robot.statuses[-1].problems
            assert problem == f"cannot write to {tmp_path / 'bags'}: Input/output error"
            assert robot.statuses[-1].free_disk == 0
            assert "Input/output error" in robot.call("start").message
        assert (tmp_path / "bags" / episode / "metadata.yaml").exists()
        robot.wait(lambda: not robot.statuses[-1].problems and robot.statuses[-1].free_disk > 0)
        assert robot.call("start").success
        assert robot.call("stop", label="discard").success


def test_while_the_disk_does_not_answer_messages_are_heard_and_the_episode_goes_on(robot, tmp_path, monkeypatch):
    answer = threading.Event()
    with recorder(robot, tmp_path):
        robot.call("start")
        monkeypatch.setattr(shutil, "disk_usage", silent_until(answer))
        robot.play(1.0)
        robot.wait(lambda: any("has not answered for" in text for text in robot.statuses[-1].problems))
        assert robot.statuses[-1].recording
        before = robot.statuses[-1].messages
        robot.play(0.5)
        robot.wait(lambda: robot.statuses[-1].messages > before + 40)
        answer.set()
        robot.wait(lambda: not robot.statuses[-1].problems)
        stopped = robot.call("stop")
    assert stopped.success and stopped.problems == []


def test_a_disk_that_owes_an_answer_is_not_asked_before_an_episode(tmp_path, monkeypatch, wait_until):
    answer = threading.Event()
    monkeypatch.setattr("qtx_ros.nodes.recorder_disk.PATIENCE", 0.0)
    monkeypatch.setattr(shutil, "disk_usage", silent_until(answer))
    disk = Disk(tmp_path, 0)
    disk.watch()
    wait_until(disk.silence)
    with pytest.raises(QtxError, match="has not answered for"):
        disk.prepare()
    disk.close()
    answer.set()


def test_a_folder_that_is_not_there_matters_only_while_an_episode_runs(tmp_path, wait_until):
    disk = Disk(tmp_path / "bags", 0)
    disk.watch()
    wait_until(disk.problem)
    assert disk.problem(running=False) == "" and disk.free == 0
    disk.prepare()
    assert (tmp_path / "bags").is_dir() and disk.problem() == "" and disk.free > 0
    disk.close()
