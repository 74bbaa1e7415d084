"""`qtx inspect BAG`: replay a bag through a bundle; where would the policy have differed, and what did it think?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from qtx_ros.bags.marks import Mark, parse_split
from qtx_ros.bags.reader import Bag, open_bag
from qtx_ros.data.storage import find_bags, local_bag
from qtx_ros.deploy.bundle import Bundle, bundle_folder, for_robot, load_bundle
from qtx_ros.deploy.policy import Policy
from qtx_ros.errors import QtxError
from qtx_ros.inspect import live
from qtx_ros.inspect.compare import Inspected
from qtx_ros.inspect.replay import replay as replay_episode
from qtx_ros.inspect.steps import Messages
from qtx_ros.inspect.summary import as_json, table
from qtx_ros.spec import Spec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("bags", nargs="+", metavar="BAG", help="bag directory or file, or a folder of bags")
    add("--bundle", default="sawyer_sim", help="bundle folder, or the name of a shipped one (default: %(default)s)")
    add("--robot", help="robot description (YAML or shipped name); default: the contract in the bag, else the bundle's")
    add("--out", type=Path, metavar="FOLDER", help="write inspect.html there (default: inspect/NAME OF THE BAG)")
    add("--instruction", default="", help="what to do, in words; default: what the bag says")
    add("--split", default="", metavar="HOW", help="episodes of a bag: marks, none, instruction, events, gap:SECONDS")
    add("--decisions", default=live.TOPIC, metavar="TOPIC", help="decisions of a policy (default: %(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda, tensorrt or torch-cuda (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the numbers as JSON, too")


def main(args: argparse.Namespace) -> int:
    parse_split(args.split)
    bags = find_bags(args.bags)
    bundle = load_bundle(bundle_folder(args.bundle))
    episodes = [episode for path in bags for episode in inspect(path, bundle, args)]
    print(table(episodes))
    if args.json:
        args.json.write_text(json.dumps(as_json(episodes, bundle.manifest.name), indent=1) + "\n", encoding="utf-8")
    from qtx_ros.inspect.page import write_page

    folder = args.out or Path("inspect") / Path(bags[0]).resolve().name
    print(f"written to {write_page(folder, episodes, bundle.manifest)}")
    return 0


def inspect(path: str, bundle: Bundle, args: argparse.Namespace) -> Iterator[Inspected]:
    """Every episode of one bag. QtxError if it has none, cannot be read, or the bundle does not fit its robot."""
    given = Spec.load(args.robot) if args.robot else None
    with local_bag(path) as folder, open_bag(folder) as bag:
        marks = bag.marks(args.split, given or bundle.manifest.spec)
        if not marks and args.split not in ("", "marks"):
            raise QtxError(f"{path} holds no episode when it is split by {args.split}")
        for mark in marks or [Mark()]:
            yield _episode(bag, mark, bundle, given, args)


def _episode(bag: Bag, mark: Mark, bundle: Bundle, given: Spec | None, args: argparse.Namespace) -> Inspected:
    spec = given or (Spec.from_json(mark.contract, f"the contract in {bag.path}") if mark.contract else None)
    fitting = bundle if spec is None else for_robot(bundle, spec)
    spec = fitting.manifest.spec
    mark = replace(mark, instruction=mark.instruction or _in_force(bag, spec, mark))
    decisions = live.read_decisions(bag, spec, mark, args.decisions)
    follower = live.Follower(Policy(fitting, args.device), decisions)
    name = mark.episode or bag.path.name
    total = round(_seconds(bag, mark) * spec.rate)
    with tqdm(total=total, unit="tick", desc=f"inspect {name}", disable=None, leave=False) as bar:
        heard = _both(bag.messages(spec, mark), follower)
        policy = Policy(fitting, args.device)
        replayed = replay_episode(policy, heard, mark, args.instruction, discount(bundle), bar.update)
    return Inspected(name, str(bag.path), replayed, follower.finish())


def _seconds(bag: Bag, mark: Mark) -> float:
    if mark.start_ns is None or mark.stop_ns is None:
        return bag.seconds
    return (mark.stop_ns - mark.start_ns) / 1e9


def _both(recorded: Messages, follower: live.Follower) -> Messages:
    """The messages; the follower hears them, too."""
    for topic, receive_ns, msg in recorded:
        follower.push(topic, receive_ns, msg)
        yield topic, receive_ns, msg


def _in_force(bag: Bag, spec: Spec, mark: Mark) -> str:
    """The instruction said last before an episode that was cut out of a bag; empty if there is none."""
    try:
        said = bag.marks("instruction", spec)
    except QtxError:  # the bag has no such topic
        return ""
    before = [other.instruction for other in said if (other.start_ns or 0) <= (mark.start_ns or 0)]
    return before[-1] if before else ""


def discount(bundle: Bundle) -> float:
    """The discount the policy was trained with; 1 if its manifest does not say."""
    config = bundle.manifest.training.get("config")
    gamma = config.get("gamma") if isinstance(config, dict) else None
    return float(gamma) if isinstance(gamma, (int, float)) and 0 < gamma <= 1 else 1.0
