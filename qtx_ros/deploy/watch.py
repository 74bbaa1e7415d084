"""Whether the policy's process still lives: a motion and then silence means that nobody holds the robot any more."""

from __future__ import annotations


class Watch:
    """Hears every decision of a policy. Times are of a clock that nobody sets [ns]."""

    def __init__(self, patience_ns: int) -> None:
        """`patience_ns`: silence after a motion that is no delay any more."""
        self._patience = patience_ns
        self._moved: int | None = None  # when the last decision came, if it was a motion

    def decided(self, hold: bool, now_ns: int) -> None:
        """Take one decision. After a hold the policy may be silent: the robot stays where it was told to stay."""
        self._moved = None if hold else now_ns

    def reason(self, now_ns: int) -> str:
        """Why the watchdog must hold the robot; empty while the policy lives or holds."""
        if self._moved is None or now_ns - self._moved <= self._patience:
            return ""
        silent, limit = (now_ns - self._moved) / 1e6, self._patience / 1e6
        return f"the policy moved the robot and has been silent for {silent:.0f} ms, limit {limit:.0f} ms"
