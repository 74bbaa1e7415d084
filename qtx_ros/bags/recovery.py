"""A readable bag of what is left of a damaged one. The original is never touched; what was written is read back."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from qtx_ros.bags import lock, sources
from qtx_ros.bags.labels import labels_path
from qtx_ros.bags.readback import verify
from qtx_ros.bags.recovered import Loss, Recovered
from qtx_ros.bags.rescue import Rescue, Tally
from qtx_ros.bags.rescue_sqlite import SqliteRescue
from qtx_ros.bags.scan import Scan
from qtx_ros.bags.sources import Source
from qtx_ros.bags.target import Target
from qtx_ros.bags.unzip import unzip_file
from qtx_ros.bags.writer import sync_folder
from qtx_ros.errors import QtxError

Progress = Callable[[int, int], None]  # bytes copied, bytes in all; called often, also while reading back
MIB = 1 << 20
TEMPORARY = ".recovering"  # ends the hidden name of a bag being written


def recover(
    path: str | Path,
    out: str | Path | None = None,
    keep_damaged: bool = False,
    in_place: bool = False,
    prepare: Callable[[Path, Recovered], None] | None = None,
    progress: Progress = lambda done, total: None,
    claimed: bool = False,
    spare: int = 0,
) -> Recovered:
    """Write what can be read of a bag (a directory, a .mcap or a .db3) to `out`, by default beside it.

    `out` is a new bag directory, or a single file if it ends in .mcap. With `in_place` the new bag gets the name of the
    old one, which is renamed to NAME_damaged. Messages of chunks whose checksum is wrong are left out unless
    `keep_damaged`. `prepare(folder, recovered)` may add to a bag directory before it gets its name. A bag without a
    readable message gives a result without path. QtxError if there is no bag, `out` exists, the bag is being recorded
    (unless the caller has `claimed` it), the disk has no room for it and `spare` bytes more, or refuses, or what was
    written does not read back as it was. What `progress` raises ends it, too, and leaves nothing behind.
    """
    source = sources.find(path)
    aside = _aside(source.path) if in_place else None
    out = source.path if in_place else Path(out) if out is not None else _beside(source.path)
    if (aside or out).exists():
        raise QtxError(f"{aside or out} exists already, it is not overwritten")
    if not claimed and source.path.is_dir() and lock.is_held(source.path):
        raise QtxError(f"{source.path} is being recorded right now, stop the recorder first")
    hidden = out.with_name(f".{out.name}{TEMPORARY}")
    if lock.is_held(hidden):
        raise QtxError(f"{out} is being written by another process")
    try:
        shutil.rmtree(hidden, ignore_errors=True)
        hidden.mkdir(parents=True)
        check_room(hidden.parent, source.path, source.bytes, spare)
        with lock.hold(hidden):
            return _Recovery(source, out, hidden, aside, keep_damaged, progress).run(prepare)
    except OSError as error:
        raise QtxError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def check_room(folder: Path, source: Path | str, size: int, spare: int) -> None:
    """QtxError unless the disk of a folder has room for `size` bytes more of a recovered bag, and `spare` besides."""
    free = shutil.disk_usage(folder).free
    if free < size + spare:
        needs = f"{size / MIB:.0f} MiB and {spare / MIB:.0f} MiB to spare, {folder} has {free / MIB:.0f} MiB free"
        raise QtxError(f"recovering {source} needs {needs}: make room, or qtx recover it to another disk with --out")


def _beside(path: Path) -> Path:
    """Where a recovered bag goes by default: a single .mcap stays a single file."""
    name = path.resolve().name
    if path.is_file():
        end = ".mcap" if sources.storage(path) == ".mcap" else ""
        stem = Path(name.removesuffix(sources.COMPRESSED)).stem
        return path.with_name(f"{stem}_recovered{end}")
    return path.resolve().with_name(f"{name.lstrip('.')}_recovered")


def _aside(path: Path) -> Path:
    """Where the original goes when the recovered bag takes its name."""
    if path.is_file() and path.suffix != ".mcap":
        raise QtxError(f"{path} cannot be recovered in place, the recovered bag is a directory: leave out --in-place")
    path = path.resolve()
    return path.with_name(f"{path.stem}_damaged.mcap" if path.is_file() else f"{path.name}_damaged")


@dataclass
class _Recovery:
    """One bag being recovered into `hidden`, which becomes `out`."""

    source: Source
    out: Path
    hidden: Path
    aside: Path | None  # where the original goes, if its name is wanted
    keep_damaged: bool
    progress: Progress
    tallies: list[Tally] = field(default_factory=list)

    def run(self, prepare: Callable[[Path, Recovered], None] | None) -> Recovered:
        started = time.monotonic()
        bag = self.hidden / "bag"
        bag.mkdir()
        self.target = Target(bag, self.out.name.removesuffix(".mcap"))
        self._copy_files()
        custom, distro = self._said()
        self.target.close(custom, distro)
        if not sum(self.target.counts.values()):
            return self._result(None, time.monotonic() - started, verified=False)
        total = self.source.bytes
        verify(bag, self.target.digests, self.target.is_ros, lambda: self.progress(total, total))
        self._copy_beside(bag)
        result = self._result(self.out, time.monotonic() - started, verified=True)
        if prepare:
            prepare(bag, result)
        self._publish(bag)
        return result

    def _copy_files(self) -> None:
        total, done = self.source.bytes, 0
        self.progress(done, total)
        for file in self.source.files:
            self.tallies.append(self._copy_file(file, lambda at, done=done: self.progress(done + at, total)))
            done += file.stat().st_size
            self.progress(done, total)

    def _copy_file(self, file: Path, progress: Callable[[int], None]) -> Tally:
        scratch = self.hidden / "scratch"
        try:
            plain, note = (file, "") if file.suffix != sources.COMPRESSED else _decompressed(file, scratch)
            if sources.storage(file) == ".db3":
                tally = SqliteRescue(plain, self.target, scratch).run(progress)
            else:
                with Scan(plain) as scan:
                    tally = Rescue(scan, self.target, self.source.said.types, self.keep_damaged).run(progress)
            tally.losses += [Loss(file.name, 0, 0, note)] if note else []
            return tally
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _copy_beside(self, bag: Path) -> None:
        """Labels, parameters and whatever else lies beside the recording."""
        for path in self.source.beside:
            if path.is_dir():
                shutil.copytree(path, bag / path.name, symlinks=True)
            elif path.is_file():
                shutil.copy2(path, bag / path.name)

    def _publish(self, bag: Path) -> None:
        """Give the finished bag its name."""
        if self.aside:
            os.rename(self.source.path.resolve(), self.aside)
        if self.out.suffix == ".mcap":
            os.rename(bag / self.target.files[0].name, self.out)
            labels = bag / labels_path(self.source.path if not self.aside else self.aside).name
            if labels.exists():
                os.replace(labels, labels_path(self.out))
        else:
            sync_folder(bag)
            os.rename(bag, self.out)
        sync_folder(self.out.parent)

    # --- what became of it ---

    def _said(self) -> tuple[dict[str, str], str]:
        custom, distro = {}, self.source.said.distro
        for tally in self.tallies:
            custom |= tally.custom
            distro = distro or tally.distro
        return custom | dict(self.source.said.custom), distro

    def _result(self, path: Path | None, seconds: float, verified: bool) -> Recovered:
        kept, used = self.target.counts, [file for file in self.target.files if file.messages]
        losses = [loss for tally in self.tallies for loss in tally.losses]
        losses += [Loss(name, 0, 0, "metadata.yaml names this file, it is not there") for name in self.source.missing]
        lost, exact = self._lost(kept)
        return Recovered(
            source=self.source.path,
            path=path,
            kept=kept,
            lost={topic: count for topic, count in lost.items() if count},
            losses=tuple(losses),
            notes=tuple(note for tally in self.tallies for note in tally.notes),
            first_ns=min((file.first_ns for file in used), default=0),
            last_ns=max((file.last_ns for file in used), default=0),
            exact=exact,
            seconds=seconds,
            verified=verified,
        )

    def _lost(self, kept: dict[str, int]) -> tuple[Counter[str], bool]:
        """Messages known to be lost, and whether that is all of them."""
        totals = [tally.totals for tally in self.tallies if tally.totals is not None]
        exact = len(totals) == len(self.source.files) and not self.source.missing
        expected = sum(totals, Counter()) if exact else Counter(self.source.said.counts)
        exact = exact or bool(expected) and all(expected[topic] >= count for topic, count in kept.items())
        lost = sum((tally.lost for tally in self.tallies), Counter())
        return lost | Counter({topic: count - kept.get(topic, 0) for topic, count in expected.items()}), exact


def _decompressed(file: Path, scratch: Path) -> tuple[Path, str]:
    """A file that rosbag2 compressed as a whole, as far as it decompresses, and why it went no further."""
    scratch.mkdir(exist_ok=True)
    try:
        return unzip_file(file, scratch), ""
    except QtxError as error:
        return scratch / file.name.removesuffix(sources.COMPRESSED), f"the file does not decompress to its end: {error}"
