"""The closed loop in process, at the tick rate of a robot's contract and with the delay of the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from qtx_ros import preprocess
from qtx_ros.data import messages
from qtx_ros.errors import QtxError
from qtx_ros.sim.world import SUB_STEP, World
from qtx_ros.spec import Spec

HORIZON = 70  # ticks: 3.5 s; the slowest of the scripted experts needs about 50
DELAY = 1  # sub-steps of 12.5 ms between an observation and the start of the command that answers it
IMAGE = 128  # [px] of the simulated camera, as the node publishes it


@dataclass(frozen=True)
class Step:
    """One tick: what was seen, what was done, what it brought."""

    image: np.ndarray  # uint8 [H, W, 3], as the network sees it; empty without rendering
    state: np.ndarray  # float64 [S] in the order of spec.state_names
    action: np.ndarray  # float64 [D] in the order of spec.dimensions, in the contract's terms
    reward: float  # earned until the next tick
    done: bool  # the task was completed before the next tick: the last step


Act = Callable[[np.ndarray, np.ndarray], np.ndarray]


def rollout(
    world: World,
    spec: Spec,
    act: Act,
    horizon: int = HORIZON,
    delay: int = DELAY,
    binned: bool = True,
    render: bool = True,
) -> Iterator[Step]:
    """Drive `world` from where it stands until the task is done or `horizon` ticks have passed.

    `act(image, state)` returns an action in the contract's terms, float [D]; `binned` rounds it to the contract's bins.
    An action takes effect `delay` sub-steps after the observation it answers, as it would over ROS topics.
    """
    per_tick, names = sub_steps(spec), [dimension.name for dimension in spec.dimensions]
    for _ in range(horizon):
        image, state = observe(world, spec, render)
        action = np.asarray(act(image, state), np.float64)
        if binned:
            action = preprocess.from_bins(spec, preprocess.to_bins(spec, action))
        command = dict(zip(names, messages.targets(spec, action, state), strict=True))
        done = tick(world, command, per_tick, delay, 1.0 / spec.rate)
        yield Step(image, state, action, float(done), done)
        if done:
            return


def observe(world: World, spec: Spec, render: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 [H, W, 3] and state float64 [S] of this moment, as the policy would get them from the topics.

    The image is empty without rendering, and for a robot without a camera.
    """
    state = world.read(spec.state_names)
    if not render or not spec.cameras:
        return np.zeros((0, 0, 3), np.uint8), state
    return preprocess.resize(world.render(IMAGE, IMAGE), spec.cameras[0]), state


def tick(world: World, command: dict[str, float], per_tick: int, delay: int, duration: float) -> bool:
    """One tick of `per_tick` sub-steps, the `command` given after `delay` of them; whether the task is done."""
    for i in range(per_tick):
        if i == delay:
            world.command(command, duration)
        if world.step():
            return True
    return False


def sub_steps(spec: Spec) -> int:
    """Sub-steps per tick; QtxError if the contract does not fit the simulated robot."""
    steps = round(1.0 / (spec.rate * SUB_STEP))
    if abs(steps * SUB_STEP * spec.rate - 1.0) > 1e-6:
        raise QtxError(f"robot {spec.name!r}: rate is {spec.rate} Hz, expected a whole fraction of {1 / SUB_STEP:g} Hz")
    _check_names(spec, {dimension.name for dimension in spec.dimensions}, World.names)
    _check_names(spec, set(spec.state_names), World.readable)
    return steps


def _check_names(spec: Spec, wanted: set[str], known: tuple[str, ...]) -> None:
    unknown = sorted(wanted - set(known))
    if unknown:
        raise QtxError(f"robot {spec.name!r}: the simulator has {', '.join(known)}, but no {', '.join(unknown)}")
