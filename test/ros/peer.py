"""A node in another process, for the tests to talk to: topics, services, parameters, a lifecycle."""

from __future__ import annotations

import sys

import numpy as np

from qtx_ros import ros

LATCHED = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)
BEST_EFFORT = ros.QoSProfile(depth=5, reliability=ros.ReliabilityPolicy.BEST_EFFORT)
OUTCOMES = {name: getattr(ros.TransitionCallbackReturn, name) for name in ("SUCCESS", "FAILURE", "ERROR")}


class Peer(ros.LifecycleNode):
    """`/far/peer`."""

    def __init__(self) -> None:
        super().__init__("peer", namespace="/far")
        self.text = ros.message("std_msgs/msg/String")
        self.count = 0
        self.chat = self.create_publisher(self.text, "chat", 10)
        self.images = self.create_publisher(ros.message("sensor_msgs/msg/Image"), "image", BEST_EFFORT)
        self.live = self.create_lifecycle_publisher(self.text, "live", 10)
        self.latched = self.create_publisher(self.text, "latched", LATCHED)
        self.latched.publish(self.text(data="said before you came"))
        answers = self.create_publisher(self.text, "answer", 10)
        self.create_subscription(self.text, "ask", answers.publish, 10)
        self.create_subscription(self.text, "ask_raw", answers.publish, 10, raw=True)
        self.create_service(ros.service("std_srvs/srv/SetBool"), "~/switch", self.switch)
        self.declare()
        self.create_timer(0.05, self.tick)

    def declare(self) -> None:
        gain = ros.FloatingPointRange(from_value=0.0, to_value=2.0)
        descriptor = ros.ParameterDescriptor(description="of the loop", floating_point_range=[gain])
        self.declare_parameter("gain", 1.5, descriptor)
        self.declare_parameter("serial", "A7", ros.ParameterDescriptor(read_only=True))
        self.declare_parameter("joints.names", ["a", "b"])
        self.declare_parameter("joints.limits", [1.0, 2.5])
        self.declare_parameter("rates", [10, 20])
        self.declare_parameter("outcome", "SUCCESS")
        self.add_on_set_parameters_callback(self.check)

    def check(self, parameters):
        refused = any(p.name == "outcome" and p.value not in (*OUTCOMES, "RAISE") for p in parameters)
        return ros.SetParametersResult(successful=not refused, reason="no such outcome" if refused else "")

    def tick(self) -> None:
        self.count += 1
        if self.count == 3:  # every message type is in use by now
            print("up", flush=True)
        self.chat.publish(self.text(data=str(self.count)))
        self.live.publish(self.text(data=str(self.count)))
        pixels = np.full(224 * 224 * 3, self.count % 256, np.uint8)
        image = self.images.msg_type(height=224, width=224, encoding="rgb8", step=672, data=pixels)
        image.header.stamp = self.get_clock().now().to_msg()
        self.images.publish(image)

    def switch(self, request, response):
        response.success, response.message = request.data, f"switched {'on' if request.data else 'off'}"
        return response

    def outcome(self):
        wanted = self.get_parameter("outcome").value
        if wanted == "RAISE":
            raise ValueError("asked to raise")
        return OUTCOMES[wanted]

    def on_configure(self, state):
        return self.outcome()


def main() -> None:
    ros.init(args=sys.argv[1:])
    node = Peer()
    node.get_logger().info("peer is up")
    try:
        ros.spin(node)
    except (KeyboardInterrupt, ros.ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        ros.try_shutdown()
    print("ended", flush=True)


if __name__ == "__main__":
    main()
