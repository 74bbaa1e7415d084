"""`qtx data merge OUT SET…`: several training sets of one robot into one; what is there twice comes once."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from qtx_ros.data.index import manifest_hash, read_index
from qtx_ros.data.manifest import read_manifest
from qtx_ros.data.tools.assemble import assemble, check_manifests
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the new training set")
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET", help="folders of training sets")
    parser.add_argument("--copy", action="store_true", help="copy the files (default: hard links where possible)")


def main(args: argparse.Namespace) -> int:
    spec, episodes, twice = plan(args.sets)
    assemble(args.out, spec, episodes, args.copy)
    print(f"{args.out}: {len(episodes)} episodes" + (f", {twice} left out that were there twice" if twice else ""))
    return 0


def plan(sets: Sequence[Path]) -> tuple[Spec, dict[str, Path], int]:
    """What a merge holds, as name → folder, and how many episodes it leaves out because they are there twice.

    Names that clash get the first digits of their manifest's hash, so the result does not depend on the order of the
    sets. QtxError if the sets are not of one robot description.
    """
    spec, unique, total = None, {}, 0
    for root in sets:
        other, names = read_index(root)
        spec = spec or other
        if other.digest() != spec.digest():
            raise QtxError(f"{root} holds another robot description than {sets[0]}, convert both with one")
        check_manifests(root, names)
        for name in names:
            folder, total = root / name, total + 1
            key = identity(read_manifest(folder))
            unique[key] = min(unique.get(key, folder), folder, key=_rank)
    return spec, _named(sorted(unique.values(), key=_rank)), total - len(unique)


def _rank(folder: Path) -> tuple[str, str]:
    return folder.name, manifest_hash(folder / "manifest.json")


def identity(manifest: dict) -> str:
    """Equal for episodes that are one: the key they were converted with, else the hashes of their files."""
    source = manifest.get("source")
    key = source.get("key") if isinstance(source, dict) else None
    return json.dumps(key or [manifest["label"], manifest["instruction"], manifest["files"]], sort_keys=True)


def _named(folders: Sequence[Path]) -> dict[str, Path]:
    names = [folder.name for folder in folders]
    clash = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    longer = [f"{f.name}-{_rank(f)[1][:8]}" if f.name in clash else f.name for f in folders]
    return dict(zip(longer, folders, strict=True))
