"""How sure the network is: the margin between its two best bins, and the entropy of its Q-values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qtx_ros.deploy.guard import DOUBT

ACTIONS = ("off", "hold", "slow")
TEMPERATURE = 0.05  # of the softmax over Q-values in [0, 1]: a twentieth of the largest return


def margins(q_all: np.ndarray) -> np.ndarray:
    """Best minus second best Q of each dimension, float64 [D], from Q [D, max bins] with −inf for absent bins."""
    best = np.sort(np.asarray(q_all, np.float64), axis=1)[:, -2:]
    return best[:, 1] - best[:, 0]


def runners_up(q_all: np.ndarray) -> np.ndarray:
    """The second-best bin of each dimension, int64 [D], from Q [D, max bins]; −inf is never it."""
    return np.argsort(-np.asarray(q_all, np.float64), axis=1, kind="stable")[:, 1]


def entropies(q_all: np.ndarray, temperature: float = TEMPERATURE) -> np.ndarray:
    """Entropy of softmax(Q / temperature) of each dimension as a share of the largest possible, float64 [D] in [0, 1].
    """
    q = np.asarray(q_all, np.float64)
    present = np.isfinite(q)
    p = np.exp((q - q.max(1, keepdims=True)) / temperature)
    p /= p.sum(1, keepdims=True)
    spread = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(1)
    return spread / np.log(present.sum(1))


@dataclass(frozen=True)
class Confidence:
    """Below which confidence the robot holds or slows down; the defaults ask for nothing."""

    action: str = "off"  # off, hold, slow
    min_margin: float = 0.0  # of the dimension with the smallest margin
    max_entropy: float = 1.0  # of the dimension with the largest entropy
    slow_step: float = 0.2  # slow: the step per tick, as a share of the one allowed

    def doubt(self, q_all: np.ndarray) -> str:
        """Why the choice is not sure enough; empty when it is, or nobody asks."""
        if self.action == "off":
            return ""
        margin, entropy = float(margins(q_all).min()), float(entropies(q_all).max())
        if margin < self.min_margin:
            return f"{DOUBT}: its best two bins differ by {margin:.3g}, min_margin is {self.min_margin:g}"
        if entropy > self.max_entropy:
            return f"{DOUBT}: the entropy of its Q-values is {entropy:.3g}, max_entropy is {self.max_entropy:g}"
        return ""
