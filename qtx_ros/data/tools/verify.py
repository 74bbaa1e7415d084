"""`qtx data verify SET…`: index → manifests → files, every byte against a hash, and whether the numbers make sense."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qtx_ros.data.episode import read_json
from qtx_ros.data.index import INDEX, index_hash, read_index
from qtx_ros.data.manifest import read_manifest
from qtx_ros.data.report import REPORT, seal
from qtx_ros.data.tools.verify_numbers import check_numbers
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

KNOWN = {INDEX, REPORT, ".convert.json", ".lock"}  # what a set's folder holds besides episodes
THREADS = 4
SHOWN = 50  # differences printed per set


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET", help="folder of a training set")
    parser.add_argument("--decode", action="store_true", help="decode every frame too")


def main(args: argparse.Namespace) -> int:
    status = 0
    for root in args.sets:
        problems = verify(root, args.decode)
        sound = f"{root}: {count(root)} episodes, every byte as it was written" if not problems else ""
        print("\n".join(problems[:SHOWN]) or sound)
        if len(problems) > SHOWN:
            print(f"{root}: {len(problems) - SHOWN} more")
        status |= bool(problems)
    return int(status)


def count(root: Path) -> int:
    """Episodes of a set."""
    return len(read_index(root)[1])


def verify(root: Path, decode: bool = False) -> list[str]:
    """Everything that is not as it was written, each a sentence that names the file; empty for a sound set."""
    try:
        spec, names = read_index(root)
        index = read_json(root / INDEX)
    except QtxError as error:
        return [f"{root / INDEX} is not as it was written: {error}"]
    hashes = index.get("manifests")
    known = hashes if isinstance(hashes, dict) else {}
    problems = [*_check_index(root, index, names), *_check_folder(root, names), *_check_report(root)]
    with ThreadPoolExecutor(THREADS) as pool:
        for found in pool.map(lambda name: check_episode(root / name, spec, known.get(name), decode), names):
            problems += found
    return problems


def _check_index(root: Path, index: dict, names: list[str]) -> Iterator[str]:
    path = root / INDEX
    if "sha256" not in index or not isinstance(index.get("manifests"), dict):
        yield f"{path} holds no hashes of the manifests: an older version wrote it, convert again to have them"
        return
    given = index["sha256"]
    rest = {key: value for key, value in index.items() if key != "sha256"}
    if given != index_hash(rest) or path.read_text(encoding="utf-8") != json.dumps({**rest, "sha256": given}, indent=1):
        yield f"{path} differs from its own hash"
    if sorted(index["manifests"]) != names:
        yield f"{path}: the hashes are not of the episodes it lists"


def _check_folder(root: Path, names: list[str]) -> Iterator[str]:
    for path in sorted(root.iterdir()):
        if path.name in names or path.name in KNOWN:
            continue
        if path.name.startswith("."):
            yield f"{path} is left from an interrupted conversion, delete it"
        elif (path / "manifest.json").exists():
            yield f"{path} is an episode that {INDEX} does not list"
        else:
            yield f"{path} does not belong to the set"


def _check_report(root: Path) -> Iterator[str]:
    path = root / REPORT
    if not path.exists():
        return
    data = path.read_bytes()
    cut = data.rstrip(b"\n").rfind(b"\n") + 1
    if data[cut:] != seal(data[:cut]):
        yield f"{path} differs from its own hash, write it anew with qtx data report"


# --- one episode -------------------------------------------------------------------------------------------------

def check_episode(folder: Path, spec: Spec, expected: str | None, decode: bool = False) -> list[str]:
    """What is wrong with one episode; `expected` is the hash of its manifest, if the index holds one."""
    path = folder / "manifest.json"
    if not path.exists():
        return [f"{path} is missing, but {INDEX} lists the episode"]
    if expected is not None and _sha256(path) != expected:
        return [f"{path} differs from its hash in {INDEX}"]
    try:
        manifest = read_manifest(folder)
    except QtxError as error:
        return [str(error)]
    problems = [*_check_files(folder, manifest)]
    if manifest["spec_digest"] != spec.digest():
        problems.append(f"{path}: the episode is of another robot description than the set")
    return problems or check_numbers(folder, spec, manifest, decode)


def _check_files(folder: Path, manifest: dict) -> Iterator[str]:
    files = manifest["files"]
    for path in sorted(folder.iterdir()):
        if path.name not in files and path.name != "manifest.json":
            yield f"{path} does not belong to the episode"
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            yield f"{path} is missing"
        elif (size := path.stat().st_size) != entry["bytes"]:
            yield f"{path} has {size} bytes, the manifest says {entry['bytes']}"
        elif _sha256(path) != entry["sha256"]:
            yield f"{path} differs from its hash in the manifest"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
