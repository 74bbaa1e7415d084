"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import threading

import pytest
from small_disk import files_no_larger_than

from qtx_ros.errors import QtxError
from qtx_ros.files import alone, write_atomically


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path):
    for content in (b"before", b""):
        write_atomically(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert os.listdir(tmp_path) == ["file"]


def test_what_cannot_be_written_leaves_the_old_file_and_says_why(tmp_path):
    write_atomically(tmp_path / "file", b"before")
    with files_no_larger_than(100), pytest.raises(QtxError, match=r"cannot write .*/file: File too large"):
        write_atomically(tmp_path / "file", bytes(1000))
    assert (tmp_path / "file").read_bytes() == b"before" and os.listdir(tmp_path) == ["file"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(QtxError, match="none/file: No such file or directory"):
        write_atomically(tmp_path / "none" / "file", b"")


def test_one_waits_until_the_other_is_done(tmp_path):
    inside, done, order = threading.Event(), threading.Event(), []

    def first() -> None:
        with alone(tmp_path / "set"):
            inside.set()
            done.wait(10)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    threading.Timer(0.2, done.set).start()
    with alone(tmp_path / "other"):
        assert not order
    with alone(tmp_path / "set"):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
