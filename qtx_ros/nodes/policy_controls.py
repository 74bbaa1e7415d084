"""What people say to a running policy: emergency stop, re-arm, pause, dead-man's button, takeover."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from qtx_ros import ros
from qtx_ros.deploy.guard import PAUSED, Deadman, Guard
from qtx_ros.deploy.takeover import Takeover
from qtx_ros.nodes.connections import Connections
from qtx_ros.nodes.emergency_stop import TOPIC, EmergencyStop
from qtx_ros.spec import Spec

RELIABLE = ros.QoSProfile(depth=10)


class Controls:
    """Listens for a node; `emergency_stop`, `~/stop`, `~/rearm`, `~/pause`, `~/resume` work from its start to its end.

    `stopped()` is called at every emergency stop, `fault()` tells what is wrong at this moment.
    """

    def __init__(self, node: ros.Node, group: Any, stopped: Callable[[], None], fault: Callable[[], str]) -> None:
        self._node, self._stopped, self._fault = node, stopped, fault
        self.guard, self.takeover, self._deadman = Guard(), Takeover(), None
        self._paused = False
        trigger = ros.service("std_srvs/srv/Trigger")
        EmergencyStop(node, self._on_stop, group)
        services = {"stop": self._on_stop_service, "rearm": self._on_rearm}
        services |= {"pause": self._on_pause, "resume": self._on_resume}
        for name, callback in services.items():
            node.create_service(trigger, f"~/{name}", callback, callback_group=group)

    def connect(self, spec: Spec, latch_after: float, deadman_button: int, to: Connections) -> None:
        """Listen to what depends on the robot: the intervention topic, and the joystick if it has a dead-man button."""
        self.guard.latch_after = latch_after
        self._deadman = Deadman() if deadman_button >= 0 else None
        self.reset()
        to.listen_to_any(spec.intervention.type, spec.intervention.topic, self._on_intervention)
        if self._deadman is not None:
            to.listen("sensor_msgs/msg/Joy", "joy", lambda msg: self._on_joy(msg, deadman_button), RELIABLE)

    def reset(self) -> None:
        """The node begins to drive: nobody has taken over. What is latched stays."""
        self.takeover.reset()
        self.guard.rest()

    def human(self, now_ns: int) -> bool:
        """Whether a human drives."""
        return self.takeover.human(now_ns)

    def blocked(self, now_ns: int) -> bool:
        """Whether the robot must hold whatever its inputs say."""
        return bool(self.guard.latched or self._paused or self.takeover.lost(now_ns) or self._released(now_ns))

    def reason(self, fault: str, now_ns: int) -> str:
        """Why the robot must hold: `fault`, what people say, and what is latched. Empty: it may drive. Once a tick.

        How long a fault lasts is counted on the steady clock: a clock that is set forward must not latch it.
        """
        fault = "; ".join(filter(None, (self.takeover.lost(now_ns), fault)))
        paused = PAUSED if self._paused else ""
        return "; ".join(filter(None, (self.guard.reason(fault, time.monotonic_ns()), paused, self._released(now_ns))))

    def _released(self, now_ns: int) -> str:
        return self._deadman.reason(now_ns) if self._deadman else ""

    def _now(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def _on_stop(self, pressed: bool) -> None:
        self.guard.press(pressed, f"topic {TOPIC!r}")
        if pressed:
            self._stopped()

    def _on_stop_service(self, _request: Any, response: Any) -> Any:
        self.guard.stop("service ~/stop")
        self._stopped()
        response.success, response.message = True, "the robot is held until ~/rearm"
        return response

    def _on_rearm(self, _request: Any, response: Any) -> Any:
        refused = self.guard.rearm(self._fault())
        response.success, response.message = not refused, refused or "armed"
        self._node.get_logger().warning(f"re-arming: {response.message}")
        return response

    def _on_pause(self, _request: Any, response: Any) -> Any:
        self._paused = True
        self._stopped()
        response.success, response.message = True, "the robot is held until ~/resume"
        return response

    def _on_resume(self, _request: Any, response: Any) -> Any:
        self._paused = False
        response.success, response.message = True, "resumed"
        return response

    def _on_intervention(self, msg: Any) -> None:
        self.takeover.hear(bool(msg.data), self._now())

    def _on_joy(self, msg: Any, button: int) -> None:
        self._deadman.hear(button < len(msg.buttons) and bool(msg.buttons[button]), self._now())
