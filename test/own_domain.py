"""ROS domains that no other test session on this machine uses, on loopback only."""

from __future__ import annotations

import os

_SESSION = os.getpid()


def use_domain(number: int) -> None:
    """Put this process and its children into domain `number` of the session: 1 to 100, other in another session."""
    os.environ["ROS_DOMAIN_ID"] = str(1 + (_SESSION + number) % 100)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
