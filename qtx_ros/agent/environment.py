"""What an agent acts in: any robot or simulator that gives a robot's observations and takes its actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qtx_ros.spec import Spec


@dataclass(frozen=True)
class Observed:
    """What a policy gets to see at one tick."""

    frames: dict[str, np.ndarray]  # camera name → uint8 [H, W, 3], as large as the contract says
    state: np.ndarray  # float64 [S] in the order of spec.state_names


class Environment(Protocol):
    """One robot with one task."""

    spec: Spec  # the contract
    instruction: str  # what to do, in words

    def reset(self, seed: int) -> Observed:
        """Begin an episode; equal seeds begin alike."""

    def step(self, action: np.ndarray) -> tuple[Observed, float, bool, bool]:
        """Do `action`, float64 [D] in the contract's terms, for one tick.

        Returns what is seen then, the reward of this tick, whether the episode ended by itself (terminated), and
        whether it was cut off (truncated).
        """
