"""`qtx recover`: damaged bags, and recordings whose recorder died, become bags that everybody can read."""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from qtx_ros.bags import lock, sources
from qtx_ros.bags.labels import LABELS_FILE, Label, add_label, read_labels
from qtx_ros.bags.recovered import Recovered, table
from qtx_ros.bags.recovery import TEMPORARY, Progress, recover
from qtx_ros.bags.writer import sync_folder
from qtx_ros.errors import QtxError

__all__ = ["Recovered", "recover", "salvage"]

AUTHOR = "qtx recover"
STARTING_SECONDS = 10  # a folder this young without a file in it may be a recorder that is just starting
LEFTOVER_BYTES = 2 << 20  # an unreadable recording of no more is a first chunk that was never finished


# --- what a recorder left behind ---


def salvage(folder: str | Path, spare: int = 0, progress: Progress = lambda done, total: None) -> list[Recovered]:
    """Finish what recorders that died left in `folder`: each hidden `.NAME` becomes the bag `NAME`, with a comment in
    its labels and no other label; one without a single message is removed.

    Recordings that run are left alone. Killed at any moment and called again, it comes to the same end. A recording
    that cannot be finished stays as it is: its result has `failed`, and its `notes` say why. `spare` and `progress` as
    in `recover`.
    """
    found = [_salvage(hidden, spare, progress) for hidden in _unfinished(Path(folder))]
    return [recovered for recovered in found if recovered is not None]


def _unfinished(folder: Path) -> list[Path]:
    """Hidden folders that hold a recording."""
    if not folder.is_dir():
        return []
    hidden = [path for path in sorted(folder.glob(".*")) if path.is_dir() and not path.name.endswith(TEMPORARY)]
    return [path for path in hidden if any(path.glob(f"{path.name[1:]}_*.mcap")) or (path / lock.LOCK_FILE).exists()]


def _salvage(hidden: Path, spare: int, progress: Progress) -> Recovered | None:
    """Finish one recording; None if it runs, or is no longer there."""
    with _claimed(hidden) as mine:
        if not mine:
            return None
        try:
            return _finish(hidden, spare, progress)
        except QtxError as error:
            return Recovered(hidden, None, notes=(str(error),), failed=True)


@contextmanager
def _claimed(hidden: Path) -> Iterator[bool]:
    """Whether this process alone has the recording: no recorder writes it, nobody else salvages it."""
    try:
        if not _files(hidden) and time.time() - hidden.stat().st_mtime < STARTING_SECONDS:
            yield False
            return
        file = open(hidden / lock.LOCK_FILE, "ab")
    except OSError:
        yield False
        return
    with file:
        yield _lock(file) and hidden.exists()


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if sources.is_storage(path)]


def _finish(hidden: Path, spare: int, progress: Progress) -> Recovered | None:
    """Finish a recording that is ours alone."""
    path = hidden.with_name(hidden.name[1:])
    if path.exists():
        return _already_there(hidden, path)
    recovered = Recovered(hidden, None)
    if _files(hidden):
        recovered = recover(hidden, path, prepare=_comment, progress=progress, claimed=True, spare=spare)
    if recovered.path is None and sum(loss.bytes for loss in recovered.losses) > LEFTOVER_BYTES:
        aside = path.with_name(f"{path.name}_unreadable")
        os.rename(hidden, aside)
        raise QtxError(f"{hidden} holds no message that can be read, it is kept as {aside}")
    shutil.rmtree(hidden)
    sync_folder(hidden.parent)
    return recovered


def _already_there(hidden: Path, path: Path) -> None:
    """A salvage was killed after it gave the bag its name, before it removed what it was made of."""
    if not any(label.by == AUTHOR for label in read_labels(path)):
        raise QtxError(f"{path} and {hidden} are both there, remove or rename one of them")
    shutil.rmtree(hidden)


def _comment(folder: Path, recovered: Recovered) -> None:
    """Say in the labels of a bag that it was cut off. What cannot be read there makes room."""
    try:
        read_labels(folder)
    except QtxError:
        os.replace(folder / LABELS_FILE, folder / f"damaged_{LABELS_FILE}")
    kept = sum(recovered.kept.values())
    comment = f"the recorder died before this was closed; salvaged with {kept} messages, {recovered.loss}"
    add_label(folder, Label(comment=comment, by=AUTHOR))


# --- the command ---


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `qtx recover`."""
    parser.add_argument("path", type=Path, help="a bag: a directory, a .mcap or a .db3 file")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", type=Path, help="where the recovered bag goes (default: beside it, NAME_recovered)")
    where.add_argument("--in-place", action="store_true", help="give it the old name, the old one becomes NAME_damaged")
    parser.add_argument("--keep-damaged", action="store_true", help="keep messages of chunks whose checksum is wrong")


def main(args: argparse.Namespace) -> int:
    """Recover one bag and say what was lost; QtxError if nothing could be read."""
    with _progress(args.path) as progress:
        recovered = recover(args.path, args.out, args.keep_damaged, args.in_place, progress=progress)
    if recovered.path is None:
        raise QtxError(recovered.sentence)
    print(table(recovered))
    print(f"\n{recovered.sentence} ({recovered.seconds:.1f} s)")
    return 0


@contextmanager
def _progress(path: Path) -> Iterator[Callable[[int, int], None]]:
    """A progress bar in bytes, on a terminal only."""
    from tqdm import tqdm

    with tqdm(desc=str(path), unit="B", unit_scale=True, leave=False, disable=not sys.stderr.isatty()) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update
