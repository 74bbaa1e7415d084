"""What may not end by itself: an emergency stop, and a fault that lasted. Both are latched until somebody re-arms."""

from __future__ import annotations

from qtx_ros.deploy.safety import NO_INSTRUCTION
from qtx_ros.deploy.takeover import HUMAN

DEADMAN = "the dead-man button"
DOUBT = "the network is not sure"
PAUSED = "paused"
EXPECTED = (NO_INSTRUCTION, HUMAN, DEADMAN, DOUBT, PAUSED)  # reasons to hold that are no fault
NOT_YET = "has sent nothing yet"  # of an input that never came: waiting for it latches nothing
DEADMAN_NS = 300_000_000  # silence of the joystick after which its button counts as released


class Guard:
    """Latches. `latch_after` [s]: how long a fault may last before it does; 0: never."""

    def __init__(self, latch_after: float = 0.0) -> None:
        self.latch_after = latch_after
        self._pressed = False  # the emergency stop's own input
        self.latched = ""  # why nothing but re-arming ends the hold
        self._since: int | None = None  # when the running fault began [ns]

    def press(self, pressed: bool, who: str) -> None:
        """The emergency stop was pressed or let go; letting go ends nothing."""
        self._pressed = pressed
        if pressed:
            self.latched = f"emergency stop by {who}"

    def stop(self, who: str) -> None:
        """Stop until somebody re-arms."""
        self.latched = f"emergency stop by {who}"

    def reason(self, fault: str, now_ns: int) -> str:
        """Why the robot must hold: what is latched, and the `fault` of this moment (empty: none)."""
        if all(NOT_YET in part or not is_fault(part) for part in fault.split("; ")):
            self._since = None
        elif self._since is None or now_ns < self._since:
            self._since = now_ns
        elif self.latch_after and now_ns - self._since >= self.latch_after * 1e9 and not self.latched:
            self.latched = f"latched after {self.latch_after:g} s: {fault}"
        return "; ".join(filter(None, (self.latched, fault)))

    def rest(self) -> None:
        """Nobody watches for a while: a fault that lasts begins anew."""
        self._since = None

    def rearm(self, fault: str) -> str:
        """Let the robot drive again; a sentence if it must not. `fault`: what is wrong now, empty: nothing."""
        if self._pressed:
            return "the emergency stop is still pressed"
        if is_fault(fault):
            return f"something is still wrong: {fault}"
        self.latched, self._since = "", None
        return ""


class Deadman:
    """A button that must be held for the robot to drive."""

    def __init__(self) -> None:
        self._held, self._heard = False, 0

    def hear(self, held: bool, now_ns: int) -> None:
        """Take one message of the joystick."""
        self._held, self._heard = held, now_ns

    def reason(self, now_ns: int) -> str:
        """Why the robot must hold; empty while the button is held and the joystick alive."""
        if not self._heard or abs(now_ns - self._heard) > DEADMAN_NS:
            return f"{DEADMAN} is unknown: the joystick is silent"
        return "" if self._held else f"{DEADMAN} is not held"


def is_fault(reason: str) -> bool:
    """Whether a reason to hold names anything but what is expected of people."""
    return any(not part.startswith(EXPECTED) for part in reason.split("; ") if part)
