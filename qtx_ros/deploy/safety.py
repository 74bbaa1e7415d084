"""What keeps a command safe: pure functions of one robot's contract, a command and a measurement.

Commands are absolute, float64 [D] in the order of `spec.dimensions`. NaN stands for "unknown": it is never sent.
"""

from __future__ import annotations

import numpy as np

from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

NO_INSTRUCTION = "no instruction"
BLANK = 3  # of 255 levels: with no more contrast than a sensor's noise a picture shows nothing


def measured(spec: Spec, state: np.ndarray) -> np.ndarray:
    """The measured position of each delta dimension, float64 [D] of a state [S]; NaN for absolute dimensions."""
    state = np.asarray(state, np.float64)
    index = spec.state_names.index
    return np.array([state[index(d.state_name)] if d.mode == "delta" else np.nan for d in spec.dimensions])


def hold(spec: Spec, state: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The command that keeps the robot where it is, float64 [D]. Velocities and efforts are zero.

    Delta dimensions take the measured position of `state` [S], even outside their limits: the joint is there already.
    Absolute dimensions, and delta dimensions never measured, repeat the `last` command [D]. NaN: neither is known.
    """
    position = measured(spec, state)
    held = np.where(np.isfinite(position), position, np.asarray(last, np.float64))
    return np.where(resting(spec), 0.0, held)


def resting(spec: Spec) -> np.ndarray:
    """Which dimensions rest at zero, bool [D]: those of velocity and effort interfaces."""
    return np.array([stream.interface != "position" for stream in spec.commands for _ in stream.dimensions])


def clip(spec: Spec, command: np.ndarray) -> np.ndarray:
    """The command [D] inside the limits of its dimensions, and their margins."""
    low = [-np.inf if d.limits is None else d.limits[0] + d.margin for d in spec.dimensions]
    high = [np.inf if d.limits is None else d.limits[1] - d.margin for d in spec.dimensions]
    return np.clip(command, low, high)


def limit_step(spec: Spec, command: np.ndarray, origin: np.ndarray, max_step: float) -> np.ndarray:
    """The command [D] at most `max_step` away from `origin` [D]; unknown (NaN) origins do not limit.

    `max_step` is a share of each dimension's range high − low, so that one number serves radians and grippers.
    """
    if not 0 < max_step <= 1:
        raise QtxError(f"max_step is {max_step}, expected a share of the range in (0, 1]")
    step = max_step * np.array([d.high - d.low for d in spec.dimensions])
    low = np.where(np.isfinite(origin), origin - step, -np.inf)
    high = np.where(np.isfinite(origin), origin + step, np.inf)
    return np.clip(command, low, high)


def shape(spec: Spec, command: np.ndarray, state: np.ndarray, last: np.ndarray, max_step: float) -> np.ndarray:
    """Limits first, then the step from where the robot is (delta) or from the last command (absolute).

    The step rule wins: a joint measured far outside its limits comes back step by step and not at once.
    """
    return limit_step(spec, clip(spec, command), hold(spec, state, last), max_step)


def blank(frame: np.ndarray) -> bool:
    """Whether a picture, uint8 [H, W, 3], is black, white or one colour, up to a sensor's noise."""
    pixels = frame.reshape(-1, 3)
    return bool((pixels.max(0) - pixels.min(0) <= BLANK).all())


def too_fast(before: np.ndarray, now: np.ndarray, elapsed_ns: int, max_speed: float) -> np.ndarray:
    """Which entries went from `before` [n] to `now` [n] faster than `max_speed` [unit/s]; bool [n], unknown: no."""
    return np.abs(np.asarray(now) - np.asarray(before)) > max_speed * elapsed_ns / 1e9


def unfit(spec: Spec, problems: tuple[str, ...], state: np.ndarray, instruction: str) -> str:
    """Why an observation must not move the robot, in words; empty when it may. `problems` are the observation's own."""
    reasons = list(problems)
    bad = [name for name, value in zip(spec.state_names, state, strict=True) if not np.isfinite(value)]
    if bad and not problems:
        reasons.append(f"measured {', '.join(bad)} is not a finite number")
    if not instruction:
        reasons.append(f"{NO_INSTRUCTION} on {spec.instruction.topic!r} yet")
    return "; ".join(reasons)
