"""From an observation to a command: the network's choice when all is well, a hold with its reason when it is not."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qtx_ros.data.align import Observation
from qtx_ros.data.messages import check_commands, commanded, targets
from qtx_ros.deploy import safety
from qtx_ros.deploy.confidence import Confidence
from qtx_ros.deploy.exploration import Exploration, Explorer
from qtx_ros.deploy.motion import Motion
from qtx_ros.deploy.policy import Choice, Policy
from qtx_ros.deploy.senses import Senses
from qtx_ros.deploy.urdf import JointLimits, narrowed
from qtx_ros.errors import QtxError
from qtx_ros.spec import CommandStream


@dataclass(frozen=True)
class Command:
    """What to send to the robot, and why."""

    values: np.ndarray  # float64 [D], absolute; NaN: nothing to send for this dimension
    choice: Choice | None = None  # None while holding
    reason: str = ""  # why it holds; empty: the network's choice


class Pilot:
    """Drives one robot with one policy; remembers what was measured and commanded last.

    A tick is `judge`, `choose`, `settle`. Only `choose` takes long, and a `hold` may come from another thread in the
    meantime: the caller serialises everything but `choose`.
    """

    def __init__(
        self,
        policy: Policy,
        max_step: float = 1.0,
        confidence: Confidence | None = None,
        exploration: Exploration | None = None,
    ) -> None:
        self.policy, self.spec, self.max_step = policy, policy.spec, max_step
        self._measured = np.full(len(self.spec.state_names), math.nan)
        self._sent = np.full(len(self.spec.dimensions), math.nan)
        self._latched: np.ndarray | None = None
        self._motion, self._planned_ns = Motion(self.spec), 0
        self.streamed = False  # the commands of `at` are sent all the time, not only that of each tick
        self._senses = Senses(self.spec)
        self._confidence = confidence or Confidence()
        self._explore = Explorer(exploration or Exploration(), self.spec, policy.cells)

    def reset(self) -> None:
        """A new episode: forget all frames."""
        self.policy.reset()

    def judge(self, observation: Observation) -> str:
        """Why this observation must not move the robot; empty when it may. Remembers what was measured."""
        state = np.asarray(observation.state, np.float64)
        jumps = self._senses.jumps(observation)
        if not jumps:  # a hold at an impossible position would be a motion
            self._measured = np.where(np.isfinite(state), state, self._measured)
        problems = (*observation.problems, *jumps, *self._senses.pictures(observation))
        return safety.unfit(self.spec, problems, state, observation.instruction)

    def choose(self, observation: Observation) -> Choice:
        """The network's choice for an observation that `judge` found nothing against, explored if asked for."""
        self.policy.instruct(observation.instruction)
        return self._explore(self.policy.act(observation.frames, observation.state))

    def settle(self, observation: Observation, choice: Choice) -> Command:
        """The command for a choice, inside limits and step; QtxError if it is none that can be sent."""
        if not np.isfinite(choice.q).all():
            sentence = f"the network's Q-values are {choice.q.tolist()}, expected finite numbers"
            return self.hold(sentence, observation.tick_ns)
        doubt, step = self._confidence.doubt(choice.q_all), self.max_step
        if doubt and self._confidence.action == "hold":
            return self.hold(doubt, observation.tick_ns)
        wanted = targets(self.spec, choice.values, observation.state)
        step *= self._confidence.slow_step if doubt else 1.0
        wanted = safety.shape(self.spec, wanted, observation.state, self._sent, step)
        origin = safety.hold(self.spec, observation.state, self._sent)
        elapsed = self._elapsed(observation.tick_ns)
        sent = self._motion.toward(wanted, origin, elapsed, self.streamed)
        check_commands(self.spec, sent)
        self._sent, self._latched = sent, None
        return Command(sent, choice)

    def hold(self, reason: str, now_ns: int) -> Command:
        """Keep the robot where it was when the hold began: following the measurement would let it creep under load.
        Dimensions with a velocity limit brake to a standstill.

        The frames seen before a hold are forgotten: what comes after it is a new beginning for the network.
        """
        position = safety.hold(self.spec, self._measured, self._sent)
        if self._latched is not None:
            position = np.where(np.isfinite(self._latched), self._latched, position)
        self._latched = self._sent = self._motion.brake(position, self._elapsed(now_ns), self.streamed)
        self.policy.reset()
        return Command(position, reason=reason)

    def at(self, now_ns: int) -> np.ndarray:
        """The command of this moment, float64 [D], between the last tick's and the next; NaN where there is none."""
        return self._motion.at((now_ns - self._planned_ns) / 1e9)

    def narrow(self, limits: Mapping[str, JointLimits]) -> None:
        """Keep inside the limits of a URDF, too; QtxError where nothing is left."""
        self.spec = narrowed(self.spec, limits)
        self._motion = Motion(self.spec)

    def _elapsed(self, now_ns: int) -> float | None:
        """Seconds since the motion was last planned; None for the first time."""
        elapsed = (now_ns - self._planned_ns) / 1e9 if self._planned_ns else None
        self._planned_ns = now_ns
        return None if elapsed is not None and elapsed < 0 else elapsed

    def stand_by(self, reason: str) -> Command:
        """Somebody else drives: command nothing, and begin anew afterwards."""
        self._latched = None
        self._motion.forget()
        self.policy.reset()
        return Command(np.full(len(self.spec.dimensions), math.nan), reason=reason)

    def witness(self, stream: CommandStream, msg: Any) -> None:
        """Remember what somebody else commanded: a hold keeps absolute dimensions there."""
        with contextlib.suppress(QtxError):  # whoever reads the command will say so
            self._sent = commanded(self.spec, self._sent, stream, msg)

    def decide(self, observation: Observation) -> Command:
        """One whole tick, for callers with a single thread."""
        reason = self.judge(observation)
        return self.hold(reason, observation.tick_ns) if reason else self.settle(observation, self.choose(observation))
