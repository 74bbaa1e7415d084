"""A new training set from episodes of others: files are linked where the disk allows, else copied."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from qtx_ros.data.episode import read_json
from qtx_ros.data.index import INDEX, manifest_hash, write_index
from qtx_ros.data.manifest import read_manifest
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec


def assemble(out: Path, spec: Spec, episodes: Mapping[str, Path], copy: bool = False) -> Path:
    """Make the training set `out` of episodes, given as name → folder they lie in; all or nothing.

    An episode is only ever replaced as a whole, never written in place, so sets may share its files. QtxError if `out`
    exists, or if a manifest is not the one its set's index names.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise QtxError(f"{out} exists already, choose another folder")
    if not episodes:
        raise QtxError(f"no episode is left for {out}")
    hidden = out.resolve().parent / f".{out.resolve().name}.{os.getpid()}"
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir(parents=True)
    try:
        for name, source in sorted(episodes.items()):
            _bring(source, hidden / name, copy)
        write_index(hidden, spec)
        if out.exists():
            out.rmdir()
        os.replace(hidden, out)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    return out


def _bring(source: Path, target: Path, copy: bool) -> None:
    """One episode: the files its manifest names, and the manifest last."""
    target.mkdir()
    for name in (*read_manifest(source)["files"], "manifest.json"):
        try:
            _link(source / name, target / name, copy)
        except OSError as error:
            raise QtxError(f"cannot bring {source / name} to {target.parent}: {error.strerror}") from None


def _link(source: Path, target: Path, copy: bool) -> None:
    if not copy:
        try:
            os.link(source, target)
            return
        except FileNotFoundError:
            raise
        except OSError:  # another disk, or one without links
            pass
    shutil.copyfile(source, target)


def check_manifests(root: Path, names: list[str]) -> None:
    """QtxError if a manifest is not the one `dataset.json` names: its hash would be made good by a new index."""
    hashes = read_json(root / INDEX).get("manifests")
    for name in names if isinstance(hashes, dict) else ():
        path = root / name / "manifest.json"
        if not path.exists() or manifest_hash(path) != hashes.get(name):
            raise QtxError(f"{path} is missing or differs from its hash in {INDEX}, see qtx data verify {root}")
