import time

from own_domain import use_domain
from sim_world import BEST_EFFORT, Listener, start, stop

from qtx_ros import ros
from qtx_ros.data import messages


def test_at_another_speed_the_simulator_publishes_its_clock():
    use_domain(51)
    ros.init()
    process, listener, clock = start("sim", "--speed", "0.25"), Listener(), []
    listener.node.create_subscription(
        ros.message("rosgraph_msgs/msg/Clock"),
        "/clock",
        lambda msg: clock.append((time.monotonic(), msg.clock)),
        BEST_EFFORT,
    )
    try:
        assert listener.spin(60, lambda: listener.on("camera/image_raw"))
        clock.clear()
        listener.spin(2.0)
        (first, begin), (last, end) = clock[0], clock[-1]
        simulated = end.sec - begin.sec + (end.nanosec - begin.nanosec) * 1e-9
        assert 0.1 < simulated / (last - first) < 0.35
        assert messages.stamp_ns(listener.on("joint_states")[-1]) < 3600 * 10**9  # simulated time, not the wall clock
    finally:
        listener.close()
        ros.try_shutdown()
        stop(process)
