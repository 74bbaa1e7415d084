"""What the simulated robot says and hears, as messages."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any

from qtx_ros import ros
from qtx_ros.errors import QtxError
from qtx_ros.nodes.fields import time_message
from qtx_ros.spec import Spec

if TYPE_CHECKING:
    import numpy as np

    from qtx_ros.sim.world import World

STATE_TOPIC, STATE_TYPE = "sim/state", "std_msgs/msg/Float64MultiArray"
COMMAND_TYPE = "trajectory_msgs/msg/JointTrajectory"
FRAME_ID, WORLD = "camera_front_optical_frame", "world"


def check(spec: Spec) -> None:
    """Raise QtxError unless the contract has topics of the simulated robot, under whatever names.

    They are one command topic, and each camera and state type at most once.
    """
    has = {"cameras": spec.cameras, "states": spec.states, "commands": spec.commands}
    offers = {"cameras": ["sensor_msgs/msg/Image"], "states": list(STATES), "commands": [COMMAND_TYPE]}
    for what, offered in offers.items():
        types = [stream.type for stream in has[what]]
        if len(set(types)) < len(types) or not set(types) <= set(offered) or (what == "commands" and not types):
            raise QtxError(f"robot {spec.name!r}: {what} are {types}, the simulated robot offers {offered}")


def image(picture: np.ndarray, stamp_ns: int) -> Any:
    """A sensor_msgs/Image rgb8 of a uint8 [h, w, 3] picture."""
    msg = ros.message("sensor_msgs/msg/Image")()
    msg.header.stamp, msg.header.frame_id = time_message(stamp_ns), FRAME_ID
    msg.height, msg.width, msg.encoding = picture.shape[0], picture.shape[1], "rgb8"
    msg.step, msg.is_bigendian = picture.shape[1] * 3, 0
    msg.data = array.array("B", picture.tobytes())  # the one sequence type that rclpy does not check byte by byte
    return msg


def joint_state(world: World, stamp_ns: int) -> Any:
    """A sensor_msgs/JointState of this moment."""
    msg = ros.message("sensor_msgs/msg/JointState")(name=list(world.names))
    msg.header.stamp = time_message(stamp_ns)
    msg.position, msg.velocity = world.positions.tolist(), world.velocities.tolist()
    return msg


def object_pose(world: World, stamp_ns: int) -> Any:
    """A geometry_msgs/PoseStamped with the object's numbers of this moment, as `World.object_pose` has them."""
    msg, numbers = ros.message("geometry_msgs/msg/PoseStamped")(), world.object_pose.tolist()
    msg.header.stamp, msg.header.frame_id = time_message(stamp_ns), WORLD
    point, rotation = msg.pose.position, msg.pose.orientation
    point.x, point.y, point.z, rotation.x, rotation.y, rotation.z, rotation.w = numbers
    return msg


def hand_point(world: World, stamp_ns: int) -> Any:
    """A geometry_msgs/PointStamped: where the hand is."""
    msg = ros.message("geometry_msgs/msg/PointStamped")()
    msg.header.stamp, msg.header.frame_id = time_message(stamp_ns), WORLD
    msg.point.x, msg.point.y, msg.point.z = world.hand.tolist()
    return msg


STATES = {
    "sensor_msgs/msg/JointState": joint_state,
    "geometry_msgs/msg/PoseStamped": object_pose,
    "geometry_msgs/msg/PointStamped": hand_point,
}


def step_event(world: World, stamp_ns: int, reward: float, episode: str) -> Any:
    """A qtx_ros/StepEvent of this moment."""
    msg = ros.message("qtx_ros/msg/StepEvent")(reward=reward, episode=episode)
    msg.header.stamp = time_message(stamp_ns)
    msg.success = msg.terminal = world.success
    return msg


def trajectory(msg: Any) -> tuple[dict[str, float], float]:
    """Targets by joint name and the time to reach them [s], from a trajectory_msgs/JointTrajectory of one point."""
    if len(msg.points) != 1:
        raise QtxError(f"the trajectory has {len(msg.points)} points, expected 1")
    names, point = list(msg.joint_names), msg.points[0]
    if len(set(names)) != len(names) or len(point.positions) != len(names):
        raise QtxError(f"{len(point.positions)} positions for the joints {names}, expected one for each, named once")
    duration = point.time_from_start.sec + point.time_from_start.nanosec * 1e-9
    return dict(zip(names, map(float, point.positions), strict=True)), duration
