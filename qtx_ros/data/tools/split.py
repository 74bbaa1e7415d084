"""`qtx data split SET OUT_A OUT_B`: two parts of a training set, drawn evenly from each stratum, or given by name."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

from qtx_ros.data.index import read_index
from qtx_ros.data.manifest import read_manifest
from qtx_ros.data.tools.assemble import assemble, check_manifests
from qtx_ros.errors import QtxError

STRATA = ("episode", "instruction", "label")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("set", type=Path, metavar="SET", help="folder of the training set")
    parser.add_argument("out_a", type=Path, metavar="OUT_A", help="folder of the first part")
    parser.add_argument("out_b", type=Path, metavar="OUT_B", help="folder of the rest")
    parser.add_argument("--fraction", type=float, default=0.9, help="share of the episodes in OUT_A (default 0.9)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default 0)")
    parser.add_argument("--by", choices=STRATA, default="episode", help="keep the shares of these (default: episode)")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="episodes of OUT_A, or @FILE with one name a line")
    parser.add_argument("--copy", action="store_true", help="copy the files (default: hard links where possible)")


def main(args: argparse.Namespace) -> int:
    spec, names = read_index(args.set)
    check_manifests(args.set, names)
    if args.names:
        first = named(args.set, names, args.names)
    else:
        first = draw(args.set, names, args.fraction, args.seed, args.by)
    parts = [(args.out_a, first), (args.out_b, [name for name in names if name not in set(first)])]
    if args.out_a.resolve() == args.out_b.resolve():
        raise QtxError(f"both parts would go to {args.out_a}, give two folders")
    for out, part in parts:
        if out.exists() or not part:
            raise QtxError(f"{out} " + ("exists already, choose another folder" if part else "would hold no episode"))
    for out, part in parts:
        assemble(out, spec, {name: args.set / name for name in part}, args.copy)
        print(f"{out}: {len(part)} episodes")
    return 0


def named(root: Path, names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The wanted names, read from a file where one begins with @. QtxError for a name the set does not have."""
    listed = [line for entry in wanted for line in (_lines(entry) if entry.startswith("@") else [entry])]
    missing = sorted(set(listed) - set(names))
    if missing:
        raise QtxError(f"{root} has no episode {missing[0]!r}, see qtx data info {root}")
    return [name for name in names if name in set(listed)]


def _lines(entry: str) -> list[str]:
    try:
        return [line.strip() for line in Path(entry[1:]).read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise QtxError(f"cannot read the names in {entry[1:]}: {error.strerror}") from None


def draw(root: Path, names: Sequence[str], fraction: float, seed: int, by: str) -> list[str]:
    """The names of the first part: a share of each stratum, fixed by the seed and the names alone.

    Episodes of one recording stay together: what is in one part must not be known from the other.
    """
    if not 0 < fraction < 1:
        raise QtxError(f"fraction is {fraction}, expected a number between 0 and 1")
    groups: dict[str, list[str]] = {}
    strata: dict[str, list[str]] = {}
    for name in names:
        manifest = read_manifest(root / name)
        group = _recording(manifest) or name
        if group not in groups:
            strata.setdefault("" if by == "episode" else manifest[by], []).append(group)
        groups.setdefault(group, []).append(name)
    order = {group: hashlib.sha256(f"{seed} {members[0]}".encode()).hexdigest() for group, members in groups.items()}
    taken = _quota({key: len(members) for key, members in strata.items()}, fraction)
    chosen = [g for key, members in strata.items() for g in sorted(members, key=order.__getitem__)[: taken[key]]]
    return sorted(name for group in chosen for name in groups[group])


def _recording(manifest: dict) -> str:
    source = manifest.get("source")
    key = source.get("key") if isinstance(source, dict) else None
    return str(key["sha256"]) if isinstance(key, dict) and "sha256" in key else ""


def _quota(sizes: dict[str, int], fraction: float) -> dict[str, int]:
    """How many of each stratum: its share rounded down, what is missing to the whole by the largest remainders."""
    exact = {key: fraction * size for key, size in sizes.items()}
    quota = {key: int(value) for key, value in exact.items()}
    missing = round(fraction * sum(sizes.values())) - sum(quota.values())
    for key in sorted(exact, key=lambda k: (quota[k] - exact[k], k))[:missing]:
        quota[key] += 1
    return quota
