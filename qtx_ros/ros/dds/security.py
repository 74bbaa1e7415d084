"""SROS 2 asks for DDS security by environment variables; the embedded backend has none, and says so."""

from __future__ import annotations

import os

from qtx_ros.errors import QtxError

ENABLE, STRATEGY = "ROS_SECURITY_ENABLE", "ROS_SECURITY_STRATEGY"


def unprotected() -> str:
    """A sentence when security is wanted and to be done without where it cannot be had; else empty.

    Raises:
        QtxError: security is enforced.
    """
    if os.environ.get(ENABLE, "").lower() != "true":
        return ""
    if os.environ.get(STRATEGY, "").lower() == "enforce":
        raise QtxError(
            f"{ENABLE} is 'true' and {STRATEGY} is 'Enforce', but the embedded backend has no DDS security: "
            "use rclpy with a middleware that has it, or unset them to go on without any protection"
        )
    return f"{ENABLE} is 'true', but the embedded backend has no DDS security: this process is not protected"
