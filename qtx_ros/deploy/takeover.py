"""Who drives: the policy, or a human who took over. A teleop that drives says so again and again."""

from __future__ import annotations

HUMAN = "a human drives"
PATIENCE_NS = 500_000_000  # a teleop that drives and says nothing for longer is lost


class Takeover:
    """Hears the intervention topic. Silence is not the end of a takeover: only a message is."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nobody has taken over."""
        self._human, self._heard = False, 0

    def hear(self, human: bool, now_ns: int) -> None:
        """Take one message: whether a human drives."""
        self._human, self._heard = human, now_ns

    def human(self, now_ns: int) -> bool:
        """Whether a human drives now: the policy commands nothing."""
        return self._human and abs(now_ns - self._heard) <= PATIENCE_NS

    def lost(self, now_ns: int) -> str:
        """A sentence if the human's teleop fell silent while it drove: the policy commands a hold."""
        if not self._human or self.human(now_ns):
            return ""
        silent = abs(now_ns - self._heard) / 1e6
        return f"the teleop that took over has been silent for {silent:.0f} ms, limit {PATIENCE_NS / 1e6:.0f} ms"
