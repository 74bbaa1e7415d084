"""Models of the people and programs that produce data: good demonstrations, helped ones, and attempts that go wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qtx_ros.errors import QtxError
from qtx_ros.sim.expert import Expert


@dataclass(frozen=True)
class Mix:
    """How an operator drives. Times are in ticks of 50 ms, noise in the script's unit (1: full speed)."""

    wanted: str  # the label its episodes should end with
    text: str
    noise: float = 0.15  # standard deviation added to the hand's wish
    bias: float = 0.0  # [m] standard deviation of a constant misjudgement of the object's place
    detour: float = 0.0  # chance per tick to wander off for 2 to 5 ticks
    quit: float = 0.0  # chance per episode to give up after 8 to 24 ticks
    guided: bool = False  # the recording starts after the task's approach, near the object
    spoiled: bool = False  # a sound approach, then one of three failures


MIXES = {
    "demo": Mix("success", "full demonstrations with a little noise", bias=0.01),
    "stitch-demo": Mix("success", "demonstrations recorded from near the object on", guided=True),
    "failure": Mix("failure", "autonomous attempts: a sound approach from home, then all fail", spoiled=True),
    "sloppy": Mix("failure", "full attempts by an unsure operator", noise=0.3, bias=0.05, detour=0.1, quit=0.2),
    "expert": Mix("success", "the scripted expert without noise", noise=0.0),
}
GRIPPER_OPEN = -1.0


class Operator:
    """One operator for one episode: `act` once per tick. `guided` ticks come before the recording starts."""

    def __init__(self, expert: Expert, mix: str, rng: np.random.Generator) -> None:
        """Raises QtxError for a mix that is not in `MIXES`."""
        if mix not in MIXES:
            raise QtxError(f"no mix is called {mix!r}, the mixes are {', '.join(MIXES)}")
        self.mix = MIXES[mix]
        self._expert, self._rng, self._tick, self._detour = expert, rng, 0, 0
        approach = int(rng.integers(*expert.task.approach))
        self.guided = approach if self.mix.guided else 0
        self._bias = rng.normal(0, 1, 3) * self.mix.bias * [1, 1, 0.3]
        self._quits_at = int(rng.integers(8, 25)) if rng.random() < self.mix.quit else None
        self._spoils_at = approach if self.mix.spoiled else None
        self._failure = [self._miss, self._retreat, self._wander][rng.integers(3)]
        angle = rng.uniform(0, 2 * np.pi)
        self._offset = rng.uniform(0.06, 0.12) * np.array([np.cos(angle), np.sin(angle), 0.0])

    def act(self, privileged: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """Joint and gripper targets, float64 [8], from Meta-World's 39 numbers and measured positions, float [8]."""
        hand = self._hand(privileged)
        hand[:3] += self._rng.normal(0, self.mix.noise, 3)
        self._tick += 1
        return self._expert.targets(np.clip(hand, -1.0, 1.0), measured)

    def _hand(self, privileged: np.ndarray) -> np.ndarray:
        if self._quits_at is not None and self._tick >= self._quits_at:
            return np.array([0.0, 0.0, 1.0, GRIPPER_OPEN])
        if self._spoils_at is not None and self._tick >= self._spoils_at:
            return self._failure(privileged)
        hand = self._expert.hand(privileged, self._bias)
        return self._wander_off(hand) if self.mix.detour else hand

    def _wander_off(self, hand: np.ndarray) -> np.ndarray:
        if self._detour == 0 and self._rng.random() < self.mix.detour:
            self._detour, self._direction = int(self._rng.integers(2, 6)), self._rng.uniform(-1, 1, 3)
        if self._detour:
            self._detour -= 1
            hand[:3] = self._direction
        return hand

    def _miss(self, privileged: np.ndarray) -> np.ndarray:
        """Aims 6 to 12 cm beside the object."""
        return self._expert.hand(privileged, self._offset)

    def _retreat(self, privileged: np.ndarray) -> np.ndarray:
        """Lets go and rises."""
        return np.array([*self._rng.normal(0, 0.3, 2), 0.6, GRIPPER_OPEN])

    def _wander(self, privileged: np.ndarray) -> np.ndarray:
        """Loiters where it is."""
        return np.array([*self._rng.normal(0, 0.4, 3), GRIPPER_OPEN])
