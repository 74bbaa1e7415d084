"""`dataset.json`: what a training set holds. Its hashes reach everything: index → manifests → files."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from qtx_ros.data.episode import FORMAT, read_json, write_json
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

INDEX = "dataset.json"


def read_index(root: Path) -> tuple[Spec, list[str]]:
    """The spec and the episodes' names of a training set."""
    path = Path(root) / INDEX
    index = read_json(path)
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        found = index.get("format") if isinstance(index, dict) else index
        raise QtxError(f"{path}: training set has format {found!r:.60}, this version reads {FORMAT}")
    names = index.get("episodes")
    if not isinstance(names, list) or not all(isinstance(n, str) and Path(n).name == n for n in names):
        raise QtxError(f"{path}: episodes is {names!r:.80}, expected a list of folders' names")
    if not isinstance(index.get("spec"), dict):
        raise QtxError(f"{path}: spec is {index.get('spec')!r:.80}, expected a robot description")
    return Spec.from_dict(index["spec"], str(path)), names


def write_index(root: Path, spec: Spec) -> list[str]:
    """(Re)write `dataset.json` from the finished episodes in a folder; returns their names."""
    paths = sorted(Path(root).glob("[!.]*/manifest.json"))
    index = make_index(spec, {path.parent.name: manifest_hash(path) for path in paths})
    write_json(Path(root) / INDEX, index)
    return index["episodes"]


def make_index(spec: Spec, hashes: Mapping[str, str]) -> dict:
    """What `dataset.json` says of episodes, given as name → SHA-256 of the manifest.

    It holds these hashes, and at its end its own: of the text it would be without that line.
    """
    names = sorted(hashes)
    manifests = {name: hashes[name] for name in names}
    index = {"format": FORMAT, "spec": spec.to_dict(), "episodes": names, "manifests": manifests}
    return {**index, "sha256": index_hash(index)}


def index_hash(index: Mapping) -> str:
    """The hash `dataset.json` holds of its other entries."""
    return hashlib.sha256(json.dumps(index, indent=1).encode()).hexdigest()


def manifest_hash(path: Path) -> str:
    """SHA-256 of an episode's manifest."""
    state = path.stat()
    return _hash_once(path, state.st_ino, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=1 << 17)
def _hash_once(path: Path, *state: int) -> str:
    """A file is hashed again once its inode, time or size changed: converting writes the index after every bag."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
