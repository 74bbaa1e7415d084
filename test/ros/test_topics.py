"""Topics between two processes, on whichever backend is there."""

from __future__ import annotations

import threading

import numpy as np

from qtx_ros import ros

String = ros.message("std_msgs/msg/String")
Image = ros.message("sensor_msgs/msg/Image")
BEST_EFFORT = ros.QoSProfile(depth=5, reliability=ros.ReliabilityPolicy.BEST_EFFORT)
LATCHED = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)


def test_messages_arrive_in_order(peer, near, spin_until) -> None:
    got = []
    near.create_subscription(String, "chat", lambda msg: got.append(int(msg.data)), 10)
    spin_until(lambda: len(got) >= 5, near)
    assert got == list(range(got[0], got[0] + len(got)))


def test_an_image_arrives_whole(peer, near, spin_until) -> None:
    got = []
    near.create_subscription(Image, "image", got.append, BEST_EFFORT)
    spin_until(lambda: got, near)
    pixels = np.asarray(got[0].data)
    assert (got[0].height, got[0].width, got[0].encoding) == (224, 224, "rgb8")
    assert pixels.dtype == np.uint8 and pixels.size == 224 * 224 * 3 and (pixels == pixels[0]).all()


def test_raw_messages_are_the_same_bytes(peer, near, spin_until) -> None:
    raw, typed = [], []
    near.create_subscription(String, "chat", raw.append, 10, raw=True)
    near.create_subscription(String, "chat", typed.append, 10)

    def both() -> set[str]:  # one of them may have met the publisher before the other
        return {ros.deserialize(data, "std_msgs/msg/String").data for data in raw} & {msg.data for msg in typed}

    spin_until(lambda: len(both()) > 2, near)
    assert isinstance(raw[0], bytes)


def test_bytes_can_be_published_and_echoed_raw(peer, near, spin_until) -> None:
    got = []
    near.create_subscription(String, "answer", lambda msg: got.append(msg.data), 10)
    for topic in ("ask", "ask_raw"):
        publisher = near.create_publisher(String, topic, 10)
        spin_until(lambda p=publisher: p.get_subscription_count() == 1 and near.count_publishers("answer") == 1, near)
        data = ros.serialize(String(data=topic))
        spin_until(lambda p=publisher, t=topic, d=data: p.publish(d) or t in got, near)


def test_a_late_subscriber_gets_the_latched_message(peer, near, spin_until) -> None:
    got = []
    near.create_subscription(String, "latched", lambda msg: got.append(msg.data), LATCHED)
    spin_until(lambda: got, near)
    assert got == ["said before you came"]


def test_incompatible_qos_is_said_on_both_sides(peer, near, spin_until, capfd) -> None:
    log, got = [], []
    log_qos = ros.QoSProfile(depth=100, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)
    rosout = ros.message("rcl_interfaces/msg/Log")
    near.create_subscription(rosout, "/rosout", lambda m: log.append((m.name, m.msg)), log_qos)
    near.create_subscription(String, "chat", got.append, LATCHED)  # the peer offers volatile only
    spin_until(lambda: len([text for _, text in log if "incompatible QoS" in text]) == 2, near)
    texts = dict(log)
    assert "requesting incompatible QoS" in texts["far.peer"] and "DURABILITY" in texts["far.peer"]
    assert "offering incompatible QoS" in texts["far.near"] and "DURABILITY" in texts["far.near"]
    assert not got
    assert "[WARN]" in capfd.readouterr().err


def test_a_publisher_knows_its_subscriptions(peer, near, spin_until) -> None:
    publisher = near.create_publisher(String, "ask", 10)
    spin_until(lambda: publisher.get_subscription_count() == 1, near)
    nobody = near.create_publisher(String, "nobody_listens", 10)
    assert nobody.get_subscription_count() == 0


def test_publishing_the_wrong_type_is_refused(near) -> None:
    publisher = near.create_publisher(String, "ask", 10)
    try:
        publisher.publish(Image())
    except TypeError:
        return
    raise AssertionError("an Image went out on a String topic")


def test_names_are_kept_as_given_and_resolved(near) -> None:
    publisher = near.create_publisher(String, "~/mine", 10)
    assert (publisher.topic, publisher.topic_name) == ("~/mine", "/far/near/mine")
    client = near.create_client(ros.service("std_srvs/srv/Trigger"), "ask_me")
    assert client.srv_name == "ask_me" and near.resolve_service_name(client.srv_name) == "/far/ask_me"


def test_destroying_while_another_thread_spins_is_safe(near, wait_until) -> None:
    executor, got = ros.SingleThreadedExecutor(), []
    executor.add_node(near)
    near.create_timer(0.01, lambda: got.append(1))
    thread = threading.Thread(target=executor.spin)
    thread.start()
    for _ in range(30):
        near.destroy_subscription(near.create_subscription(String, "chat", lambda msg: None, 10))
        near.destroy_publisher(near.create_publisher(String, "chat", 10))
    count = len(got)
    wait_until(lambda: len(got) > count + 5)
    executor.shutdown()
    thread.join(10)
    assert not thread.is_alive()
