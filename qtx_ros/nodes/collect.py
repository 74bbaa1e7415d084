"""`qtx collect`: records labelled episodes of the simulated robot, with a running sim and recorder, or offline.

A scripted operator drives, or a policy: with its failures it makes the data of the next training.
"""

from __future__ import annotations

import argparse
import queue
import time
from collections.abc import Callable
from pathlib import Path

from qtx_ros import ros
from qtx_ros.deploy.exploration import Exploration
from qtx_ros.errors import QtxError
from qtx_ros.nodes.expert_driver import ExpertDriver
from qtx_ros.nodes.outcome import Outcome, summary
from qtx_ros.nodes.run import DELIVERY, stop_signals
from qtx_ros.spec import Spec

SETTLED = 2  # frames to wait after a reset: whatever was on its way before it has arrived by then
AFTERWARDS = 2  # frames recorded after the end, so that the last step has a successor
ATTEMPTS = 5  # per wanted episode, before giving up


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", nargs="+", default=["drawer-open"], metavar="TASK", help="names or instructions")
    parser.add_argument("--episodes", type=int, default=10, help="to keep per task (default 10)")
    parser.add_argument("--mix", help="demo, stitch-demo, failure, sloppy or expert (default demo)")
    parser.add_argument("--policy", metavar="BUNDLE", help="a policy drives, not a mix; its failures are kept, too")
    parser.add_argument("--epsilon", type=float, default=0.0, help="of the policy: chance per tick of random bins")
    parser.add_argument("--temperature", type=float, default=0.0, help="of the policy: draws from softmax(Q / T)")
    parser.add_argument("--anneal", type=int, default=0, metavar="TICKS", help="over which the temperature falls to 0")
    parser.add_argument("--device", default="auto", help="of the policy (default auto)")
    parser.add_argument("--seed", type=int, default=0, help="of the first scene, the others count up (default 0)")
    parser.add_argument("--horizon", type=int, default=70, help="ticks until an episode counts as failed (default 70)")
    parser.add_argument("--keep-all", action="store_true", help="keep episodes that end unlike the mix wants")
    parser.add_argument(
        "--offline", type=Path, metavar="FOLDER", help="write bags there without ROS topics, faster than real time"
    )
    parser.add_argument("--timeout", type=float, default=20.0, help="[s] to wait for sim and recorder (default 20)")
    parser.add_argument("--no-record", action="store_true", help="only drive and count, without a recorder")
    parser.add_argument("--robot", default="sawyer_sim", help="robot YAML, or the name of a shipped one (sawyer_sim)")


def main(args: argparse.Namespace) -> int:
    from qtx_ros.sim.operators import MIXES
    from qtx_ros.sim.tasks import find

    mix, exploration = args.mix or "demo", Exploration(args.epsilon, args.temperature, args.anneal, args.seed)
    if mix not in MIXES:
        raise QtxError(f"no mix is called {mix!r}, the mixes are {', '.join(MIXES)}")
    if args.policy and (args.mix or args.no_record):
        raise QtxError("--policy takes neither --mix nor --no-record: a policy drives, and all it does is recorded")
    if not args.policy and not exploration.off:
        raise QtxError("--epsilon and --temperature are for a policy: name one with --policy")
    if args.episodes < 1 or args.horizon < 1:
        raise QtxError(f"episodes is {args.episodes} and horizon {args.horizon}, expected at least 1 of each")
    tasks = [find(text).name for text in args.tasks]
    spec = Spec.load(args.robot)
    plan = (tasks, mix, args.episodes, args.seed, args.horizon, args.keep_all or bool(args.policy))
    collect_all = _collect_offline if args.offline else _collect_live
    kept = collect_all(spec, plan, args, exploration)
    for task, outcomes in kept.items():
        print(f"{task:22} {summary(outcomes)}")
    return 0


def _collect_offline(spec: Spec, plan: tuple, args: argparse.Namespace, exploration: Exploration) -> dict:
    from qtx_ros.nodes.offline_collector import OfflineCollector

    collector = OfflineCollector(spec, args.offline, _operator(spec, args, exploration) if args.policy else None)
    try:
        return collect(collector, *plan)
    finally:
        collector.close()


def _operator(spec: Spec, args: argparse.Namespace, exploration: Exploration):
    from qtx_ros.agent.operator import PolicyOperator
    from qtx_ros.deploy.bundle import bundle_folder, for_robot, load_bundle
    from qtx_ros.deploy.policy import Policy

    policy = Policy(for_robot(load_bundle(bundle_folder(args.policy)), spec), args.device)
    print(policy.device_line)
    return PolicyOperator(policy, exploration)


def _collect_live(spec: Spec, plan: tuple, args: argparse.Namespace, exploration: Exploration) -> dict:
    context, signals = ros.Context(), stop_signals()
    ros.init(args=args.ros_args, context=context)
    try:
        node = _live(spec, args, exploration, signals, context)
        try:
            return collect(node, *plan)
        finally:
            node.finish()
            time.sleep(DELIVERY)
            node.destroy_node()
    finally:
        ros.try_shutdown(context=context)


def _live(spec: Spec, args: argparse.Namespace, exploration: Exploration, signals: queue.SimpleQueue, context):
    if not args.policy:
        return Collector(spec, not args.no_record, args.timeout, signals, context=context)
    from qtx_ros.nodes.policy_collector import PolicyCollector

    parameters = {"bundle": args.policy, "robot": args.robot, "device": args.device, "explore_seed": exploration.seed}
    parameters |= {name: getattr(exploration, name) for name in ("epsilon", "temperature", "anneal")}
    return PolicyCollector(spec, parameters, args.timeout, signals, context)


def collect(
    collector, tasks: list[str], mix: str, episodes: int, seed: int, horizon: int, keep_all: bool
) -> dict[str, list[Outcome]]:
    """Record until `episodes` of each task are kept; returns every attempt, by task.

    `collector` is a `Collector`, a `PolicyCollector` or an `OfflineCollector`: something with their method `episode`.
    """
    from tqdm import tqdm

    outcomes: dict[str, list[Outcome]] = {task: [] for task in tasks}
    with tqdm(total=len(tasks) * episodes, unit="episode", dynamic_ncols=True) as bar:
        for task in tasks:
            kept, attempts = 0, outcomes[task]
            while kept < episodes:
                if len(attempts) >= ATTEMPTS * episodes:
                    raise QtxError(f"{task}: only {kept} of {len(attempts)} episodes ended as {mix!r} wants, giving up")
                attempts.append(collector.episode(task, mix, seed + len(attempts), horizon, keep_all))
                kept += attempts[-1].kept
                bar.update(int(attempts[-1].kept))
                bar.set_postfix_str(f"{task} {attempts[-1].label}, {attempts[-1].ticks} ticks")
    return outcomes


class Collector(ros.Node):
    """The scripted operator, with the sim's reset and the recorder in its hands. Spins itself while it waits."""

    def __init__(self, spec: Spec, recording: bool, timeout: float, signals: queue.SimpleQueue, **options) -> None:
        """`timeout` [s]: for a service to appear or answer, and for a camera frame to come.

        Once there is one in `signals`, `episode` raises KeyboardInterrupt.
        """
        super().__init__("teleop", **options)
        self._driver = ExpertDriver(self, spec)
        self._recording, self._timeout, self._success = recording, timeout, False
        self._signals, self._running = signals, False  # `_running`: the recorder records
        self._reset = self.create_client(ros.service("qtx_ros/srv/Reset"), "sim/reset")
        self._start = self.create_client(ros.service("qtx_ros/srv/StartEpisode"), "recorder/start")
        self._stop = self.create_client(ros.service("qtx_ros/srv/StopEpisode"), "recorder/stop")
        self.create_subscription(ros.message(spec.events.type), spec.events.topic, self._on_event, 10)
        self._executor = ros.SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self)

    def finish(self) -> None:
        """Let the robot stay where it is, and discard an episode that was not completed."""
        self._driver.halt()
        if self._running:
            self._ask(self._stop, label="discard", comment="collecting was interrupted")

    def episode(self, task: str, mix: str, seed: int, horizon: int, keep_all: bool) -> Outcome:
        """One episode: reset, guide the hand where the mix says so, record, drive, label."""
        instruction = self._ask(self._reset, task=task, seed=seed).instruction
        driver = self._driver
        self._wait_frames(SETTLED)
        self._success = False
        driver.drive(task, mix, seed)
        operator = driver.operator
        if operator.guided:
            self._spin_until(lambda: self._success or driver.commands >= operator.guided)
            driver.pause()
        if self._success:  # nothing left to show
            return Outcome(seed, "success", 0, False, "")
        if self._recording:
            self._ask(self._start, instruction=instruction)
            self._running = True
        driver.commands, driver.operator = 0, operator
        self._spin_until(lambda: self._success or driver.commands >= horizon)
        ticks, label = driver.commands, "success" if self._success else "failure"
        driver.pause()
        self._wait_frames(AFTERWARDS)
        return self._finish(seed, label, ticks, keep_all or label == operator.mix.wanted)

    def _finish(self, seed: int, label: str, ticks: int, kept: bool) -> Outcome:
        bag = ""
        if self._recording:
            self._running = False
            bag = self._ask(self._stop, label=label if kept else "discard", comment=f"ended as {label}").path
        return Outcome(seed, label, ticks, kept, bag)

    def _on_event(self, msg) -> None:
        self._success = self._success or bool(msg.success)

    def _wait_frames(self, count: int) -> None:
        last = self._driver.frames + count
        self._spin_until(lambda: self._driver.frames >= last)

    def _spin_until(self, done: Callable[[], bool]) -> None:
        quiet, seen = time.monotonic(), self._driver.frames
        while not done():
            self._check()
            self._executor.spin_once(timeout_sec=0.1)
            if self._driver.frames != seen:
                quiet, seen = time.monotonic(), self._driver.frames
            if time.monotonic() - quiet > self._timeout:
                raise QtxError(f"no camera frames for {self._timeout:g} s: is the simulated robot running?")

    def _check(self) -> None:
        if not self._signals.empty():
            raise KeyboardInterrupt

    def _ask(self, client, **fields):
        """A reply that says it succeeded, or a QtxError with the reply's own words."""
        deadline = time.monotonic() + self._timeout
        while not client.wait_for_service(timeout_sec=0.1):
            self._check()
            if time.monotonic() > deadline:
                raise QtxError(f"nobody offers the service {client.srv_name!r} after {self._timeout:g} s")
        future = client.call_async(client.srv_type.Request(**fields))
        self._executor.spin_until_future_complete(future, timeout_sec=self._timeout)
        if not future.done():
            raise QtxError(f"{client.srv_name} did not answer within {self._timeout:g} s")
        if not future.result().success:
            raise QtxError(f"{client.srv_name}: {future.result().message}")
        return future.result()
