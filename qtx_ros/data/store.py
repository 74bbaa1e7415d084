"""The home of a training set: a local folder, or a URL to which finished episodes are uploaded."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qtx_ros.data import storage
from qtx_ros.data.index import manifest_hash
from qtx_ros.errors import QtxError
from qtx_ros.files import write_atomically

try:
    import fcntl
except ImportError:  # not on Windows: there nobody is kept from converting twice at a time
    fcntl = None

HALF = re.compile(r"\..+\.(\d+)")  # the hidden name under which a process writes an episode


class LocalStore:
    """A training set in a folder. Episodes are written into it under hidden names and renamed."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def __str__(self) -> str:
        return str(self.folder)

    def read(self, name: str) -> bytes | None:
        """A file of the set; None if there is none."""
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        """Replace a file of the set at once."""
        write_atomically(self.folder / name, data)

    def hashes(self) -> dict[str, str]:
        """Name → SHA-256 of the manifest of every finished episode."""
        return {path.parent.name: manifest_hash(path) for path in sorted(self.folder.glob("[!.]*/manifest.json"))}

    def remove(self, name: str) -> None:
        """Take an episode out of the set, if it is there."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """The folder into which an EpisodeWriter is to write."""
        yield self.folder

    def publish(self, folder: Path) -> None:
        """Bring an episode that was finished in the workplace into the set: here it is there already."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make the folder, keep every other conversion out of it, and remove what killed ones left."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = open(self.folder / ".lock", "w")
        except OSError as error:
            raise QtxError(f"cannot write into {self.folder}: {error.strerror}") from None
        with file:
            _lock(file, self.folder)
            self.sweep()
            yield

    def sweep(self, pid: int | None = None) -> None:
        """Remove half-written episodes of a process, or all of them."""
        for path in self.folder.glob(".*"):
            match = HALF.fullmatch(path.name)
            if match and (pid is None or int(match[1]) == pid):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _lock(file: Any, folder: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise QtxError(f"another qtx convert writes into {folder}, wait for it or choose another folder") from None
    except OSError:  # a filesystem without locks
        pass


class RemoteStore:
    """A training set behind a URL. Episodes are written on this machine and uploaded file by file, manifest last."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def __str__(self) -> str:
        return self.url

    def read(self, name: str) -> bytes | None:
        """A file of the set; None if there is none."""
        with storage.remote(self.url) as (fs, root):
            try:
                return fs.cat_file(f"{root}/{name}")
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """Replace a file of the set at once."""
        with storage.remote(self.url) as (fs, root):
            fs.pipe_file(f"{root}/{name}", data)

    def hashes(self) -> dict[str, str]:
        """Name → SHA-256 of the manifest of every finished episode."""
        with storage.remote(self.url) as (fs, root):
            paths = sorted(fs.glob(f"{root}/*/manifest.json"))
            found = fs.cat(paths, on_error="raise") if len(paths) > 1 else {path: fs.cat_file(path) for path in paths}
            return {path.rsplit("/", 2)[1]: hashlib.sha256(found[path]).hexdigest() for path in paths}

    def remove(self, name: str) -> None:
        """Take an episode out of the set, if it is there: its manifest first, so that no reader sees half of one."""
        with storage.remote(self.url) as (fs, root):
            for path in sorted(fs.find(f"{root}/{name}"), key=lambda path: not path.endswith("/manifest.json")):
                fs.rm_file(path)

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """The folder into which an EpisodeWriter is to write."""
        with storage.scratch() as folder:
            yield folder

    def publish(self, folder: Path) -> None:
        """Upload an episode that was finished in the workplace. Its manifest goes last: without it nobody sees it."""
        self.remove(folder.name)
        files = sorted(folder.iterdir(), key=lambda file: file.name == "manifest.json")
        with storage.remote(self.url) as (fs, root):
            fs.makedirs(f"{root}/{folder.name}", exist_ok=True)
            for file in files:
                fs.put_file(str(file), f"{root}/{folder.name}/{file.name}")
        shutil.rmtree(folder)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A bucket knows no locks: two conversions at a time into one URL do the same work twice."""
        with storage.remote(self.url) as (fs, root):
            fs.makedirs(root, exist_ok=True)
        yield

    def sweep(self, pid: int | None = None) -> None:
        """Nothing of a killed process is in the set; its temporary folders go when the next one needs one."""


def open_store(out: str | Path) -> LocalStore | RemoteStore:
    """The home of a training set at a path or URL."""
    return RemoteStore(str(out)) if storage.is_url(out) else LocalStore(out)
