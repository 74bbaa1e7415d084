"""Bags and folders on this machine or behind a URL that fsspec knows, such as s3://bucket/prefix."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qtx_ros.bags.labels import LABELS_FILE, labels_path
from qtx_ros.bags.reader import STORAGES
from qtx_ros.errors import QtxError

LISTINGS = 16  # remote folders listed at once
SCRATCH = "qtx-convert"  # temporary folders are called so, with host and process id


def is_url(path: str | Path) -> bool:
    """Whether a path is remote: it has a protocol, as s3://bucket/bags."""
    return "://" in str(path)


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL and the path on it; QtxError names what is missing."""
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise QtxError(f"{url} needs a package ({error}): pip install 'qtx_ros[s3]'") from None
    except ValueError as error:
        raise QtxError(f"cannot use {url}: {error}") from None


@contextmanager
def remote(url: str) -> Iterator[tuple[Any, str]]:
    """The filesystem and path of a URL; whatever goes wrong inside is a QtxError that names the URL."""
    fs, path = filesystem(url)
    try:
        yield fs, path
    except QtxError:
        raise
    except Exception as error:  # every filesystem has errors of its own
        text = " ".join(str(error).split()) or type(error).__name__
        raise QtxError(f"cannot reach {url}: {text}") from None


def fetch(url: str, folder: str | Path) -> Path:
    """Copy a remote file or folder into a local folder, under its own name; returns where it lies.

    QtxError if it is not there or does not fit on the disk.
    """
    name = url.rstrip("/").rsplit("/", 1)[-1]
    with remote(url) as (fs, root):
        sizes = {path: int(info["size"] or 0) for path, info in _files(fs, root).items()}
        if not sizes:
            raise QtxError(f"there is nothing at {url}")
        _check_room(url, sum(sizes.values()), folder)
        for path in sizes:
            target = Path(folder) / name / path[len(root) :].lstrip("/") if path != root else Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(path, str(target))
    return Path(folder) / name


def _files(fs: Any, root: str) -> dict[str, dict]:
    """Path → information of a file, or of all files below a folder; nothing for a path that is not there."""
    return dict(sorted(fs.find(root, detail=True).items()))


def _check_room(url: str, size: int, folder: str | Path) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise QtxError(f"{url} has {size / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free: choose another TMPDIR")


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder. Those of killed processes of this machine are removed on the way."""
    mine = f"{SCRATCH}-{socket.gethostname()}-"
    for folder in Path(tempfile.gettempdir()).glob(f"{mine}*"):
        pid = folder.name[len(mine) :].split("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{mine}{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


# --- bags --------------------------------------------------------------------------------------------------------

@contextmanager
def local_bag(bag: str) -> Iterator[Path]:
    """A bag as a local path: itself, or a copy of a remote one for as long as the context lasts."""
    if not is_url(bag):
        yield Path(bag)
        return
    with scratch() as folder:
        yield fetch(bag, folder)


def find_bags(paths: Sequence[str | Path]) -> list[str]:
    """The bags meant by the given paths or URLs: each a bag, or a folder whose direct children are bags."""
    bags: list[str] = []
    for path in paths:
        found = _remote_bags(str(path)) if is_url(path) else _local_bags(Path(path))
        if not found:
            raise QtxError(f"{path} is not a bag and holds none")
        bags += found
    return list(dict.fromkeys(bags))


def _local_bags(path: Path) -> list[str]:
    if not path.exists():
        raise QtxError(f"there is no bag {path}")
    alone = path.is_file() or _is_bag(path)
    return [str(p) for p in ([path] if alone else sorted(path.iterdir())) if alone or _is_bag(p)]


def _is_bag(path: Path) -> bool:
    if path.is_dir() and not path.name.startswith("."):
        return _holds_bag(path.name, (p.name for p in path.iterdir()))
    return path.is_file() and _is_bag_file(path.name)


def _is_bag_file(name: str) -> bool:
    return not name.startswith(".") and name.endswith(STORAGES)


def _holds_bag(folder: str, files: Iterable[str]) -> bool:
    """Whether the files of a folder make it a bag."""
    return bool({"metadata.yaml", *(f"{folder}_0{end}" for end in STORAGES)} & set(files))


def _remote_bags(url: str) -> list[str]:
    with remote(url) as (fs, root):
        folders: dict[str, list[str]] = {}
        for path in _files(fs, root):
            parent, name = path.rsplit("/", 1)
            folders.setdefault(parent, []).append(name)
        if not folders:
            raise QtxError(f"there is no bag {url}")
        return [fs.unstrip_protocol(path) for path in _bags_below(root.rstrip("/"), folders)]


def _bags_below(root: str, folders: dict[str, list[str]]) -> list[str]:
    """The bags at a remote path, given the files of all folders there."""
    if root not in folders and root.rsplit("/", 1)[-1] in folders.get(root.rsplit("/", 1)[0], ()):
        return [root]  # a file
    if _holds_bag(root.rsplit("/", 1)[-1], folders.get(root, ())):
        return [root]
    below = [f for f in folders if f.rsplit("/", 1)[0] == root and not f.rsplit("/", 1)[-1].startswith(".")]
    bags = [folder for folder in below if _holds_bag(folder.rsplit("/", 1)[-1], folders[folder])]
    return sorted([*bags, *(f"{root}/{name}" for name in folders.get(root, ()) if _is_bag_file(name))])


def stamps(bags: Sequence[str]) -> list[str]:
    """For each bag a text that changes when one of its files or its labels do; nothing is read."""
    with ThreadPoolExecutor(LISTINGS) as pool:
        return list(pool.map(_stamp, bags))


def _stamp(bag: str) -> str:
    if is_url(bag):
        with remote(bag) as (fs, root):
            keys = ("size", "ETag", "etag", "LastModified", "mtime", "created")
            facts = [(path, *(str(info.get(key, "")) for key in keys)) for path, info in _files(fs, root).items()]
    else:
        about = [(file.name, file.stat()) for file in _bag_files(Path(bag)) if file.exists()]
        facts = [(name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in about]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _bag_files(path: Path) -> list[Path]:
    """The files of a local bag and what people said of it."""
    if path.is_file():
        return [path, labels_path(path)]
    return sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))


def recording_hash(path: Path) -> str:
    """SHA-256 over the files of a local bag as it was recorded, without what people said of it later."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else _bag_files(path):
        if file.name == LABELS_FILE:
            continue
        digest.update(b"" if file == path else file.name.encode() + b"\0")
        with open(file, "rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
