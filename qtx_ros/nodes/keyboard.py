"""Keyboard teleop for any robot: two keys per action dimension."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from qtx_ros import ros
from qtx_ros.errors import QtxError
from qtx_ros.nodes.episode_keys import ACTIONS, EpisodeKeys
from qtx_ros.nodes.intervention import Intervention
from qtx_ros.nodes.teleop_drive import Drive
from qtx_ros.spec import Spec

UP, DOWN = "qwertyuiop", "asdfghjkl;"
EPISODE = dict(zip("1234", ACTIONS, strict=True))
FASTER, SLOWER, STOP, HAND_BACK = "+", "-", " ", "5"
RELEASE = 0.6  # [s] a key counts as held from its first press: terminals repeat after up to half a second
REPEAT = 0.15  # [s] and from each repetition


class KeyboardTeleop(ros.Node):
    """Commands at the contract's rate while a key is held; nothing otherwise, so idling is not recorded as action."""

    def __init__(self, spec: Spec, speed: float, keys: Callable[[], str], **options) -> None:
        """`speed`: share of each dimension's range per tick, in (0, 1]; `keys()` returns what was typed since."""
        super().__init__("teleop", **options)
        if len(spec.dimensions) > len(UP):
            raise QtxError(f"robot {spec.name!r} has {len(spec.dimensions)} dimensions, there are keys for {len(UP)}")
        self._speed, self._keys = speed, keys
        self._drive, self._episodes, self._intervention = Drive(self, spec), EpisodeKeys(self), Intervention(self, spec)
        self._human = False
        self._speeds = np.zeros(len(spec.dimensions))  # -1, 0 or 1
        self._until = np.zeros(len(spec.dimensions))  # [s] when a key counts as released
        # nobody sets the steady clock: letting go must not wait
        self.create_timer(spec.period_ns * 1e-9, self._on_tick, clock=ros.steady_clock())

    def finish(self) -> None:
        """Let the robot stay where it is, if a key moves it."""
        self._drive.finish()

    def _on_tick(self) -> None:
        now, typed = time.monotonic(), self._keys()
        for key in typed:
            self._press(key, now)
            self._human = key != HAND_BACK and (self._human or key == STOP or bool(self._speeds.any()))
        self._intervention.say(self._human)
        self._speeds[self._until < now] = 0.0
        if STOP in typed or HAND_BACK in typed:
            self._speeds[:] = 0.0
        if STOP in typed:
            self._drive.stop()
        self._drive.move(self._speeds * self._speed)

    def _press(self, key: str, now: float) -> None:
        if key in EPISODE:
            self._episodes.send(EPISODE[key])
        elif key in (FASTER, SLOWER):
            self._speed = float(np.clip(self._speed * (1.25 if key == FASTER else 0.8), 0.01, 1.0))
            self.get_logger().info(f"speed {self._speed:.2f}")
        for sign, row in ((1.0, UP), (-1.0, DOWN)):
            dimension = row.find(key)
            if 0 <= dimension < len(self._speeds):
                repeated = self._speeds[dimension] == sign
                self._speeds[dimension] = sign
                self._until[dimension] = now + (REPEAT if repeated else RELEASE)


def help_text(spec: Spec) -> str:
    """Which key does what."""
    rows = [f"  {up} {down}   {d.name} + -" for up, down, d in zip(UP, DOWN, spec.dimensions, strict=False)]
    episodes = ", ".join(f"{key} {action}" for key, action in EPISODE.items())
    driving = f"  space stops, + - changes the speed, {HAND_BACK} hands back to a policy"
    return "\n".join([*rows, f"{driving}; recording: {episodes}; Ctrl-C ends"])
