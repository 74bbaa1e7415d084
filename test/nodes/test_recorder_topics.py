"""Publishers of another type on a topic that is recorded neither end it nor are passed over in silence."""

import threading

import pytest
from recorder_process import BEST_EFFORT, RELIABLE, SPEC

from qtx_ros import ros
from qtx_ros.nodes.recorder_topics import Topics

JOINTS, TEXT = "sensor_msgs/msg/JointState", "std_msgs/msg/String"
TOPIC = "/joint_states"


class Peer:
    """A node in a participant of its own, as another process has it."""

    def __init__(self, name):
        self._context = ros.Context()
        ros.init(args=[], context=self._context)
        self.node = ros.Node(name, context=self._context)

    def publish_on(self, topic, type, qos):
        return self.node.create_publisher(ros.message(type), topic, qos)

    def close(self):
        self.node.destroy_node()
        ros.try_shutdown(context=self._context)


@pytest.fixture
def peers():
    made = []

    def make(name):
        made.append(Peer(name))
        return made[-1]

    yield make
    for peer in made:
        peer.close()


@pytest.fixture
def topics(context):
    """Topics of sawyer_sim and `/extra`; what is heard is kept in `heard`."""
    node = ros.Node("listener", context=context)
    heard = []
    topics = Topics(node, SPEC, ["extra"], False, heard.append, lambda topic, count: None)
    topics.heard, topics.node = heard, node
    executor, ended = ros.SingleThreadedExecutor(context=context), threading.Event()
    executor.add_node(node)

    def spin():
        while not ended.is_set():
            executor.spin_once(timeout_sec=0.05)

    thread = threading.Thread(target=spin)
    thread.start()
    yield topics
    ended.set()
    thread.join()
    executor.shutdown()
    node.destroy_node()


def types_of(topics, topic=TOPIC):
    return sorted(offer.topic_type for offer in topics.node.get_publishers_info_by_topic(topic))


def hears(topics, publisher, message, wait_until):
    """Wait until what is published is heard; topics are looked for meanwhile, as the recorder does."""
    topics.heard.clear()

    def heard():
        topics.refresh()
        publisher.publish(message)
        return len(topics.heard) > 0

    wait_until(heard)


def test_a_publisher_of_another_type_does_not_end_the_recording_of_a_topic(topics, peers, wait_until):
    robot, stranger = peers("robot"), peers("stranger")
    joints = robot.publish_on(TOPIC, JOINTS, RELIABLE)
    hears(topics, joints, ros.message(JOINTS)(), wait_until)
    text = stranger.publish_on(TOPIC, TEXT, BEST_EFFORT)
    wait_until(lambda: types_of(topics) == [JOINTS, TEXT])
    hears(topics, joints, ros.message(JOINTS)(), wait_until)
    text.publish(ros.message(TEXT)(data="nobody asked"))
    assert topics.problems() == {} and topics.known()[TOPIC][0] == JOINTS
    assert [profile["reliability"] for profile in topics.known()[TOPIC][1]] == [1]
    robot.node.destroy_publisher(joints)  # only the stranger is left: that is said
    wait_until(lambda: types_of(topics) == [TEXT])
    topics.refresh()
    assert topics.problems() == {
        (TOPIC, "refused"): f"topic {TOPIC} is not recorded: it is {TEXT}, expected {JOINTS}"
    }
    joints = robot.publish_on(TOPIC, JOINTS, RELIABLE)
    hears(topics, joints, ros.message(JOINTS)(), wait_until)
    assert topics.problems() == {}


def test_a_topic_of_another_type_is_a_problem_until_the_right_publisher_comes(topics, peers, wait_until):
    stranger = peers("stranger")
    stranger.publish_on(TOPIC, TEXT, BEST_EFFORT)
    wait_until(lambda: types_of(topics) == [TEXT])
    topics.refresh()
    assert "is not recorded" in topics.problems()[TOPIC, "refused"] and TOPIC not in topics.known()
    joints = peers("robot").publish_on(TOPIC, JOINTS, BEST_EFFORT)
    hears(topics, joints, ros.message(JOINTS)(), wait_until)
    assert topics.problems() == {}


def test_a_camera_and_a_stranger_on_its_topic_are_not_two_cameras(topics, peers, wait_until):
    camera = SPEC.cameras[0]
    peers("driver").publish_on(camera.topic, camera.type, BEST_EFFORT)
    peers("stranger").publish_on(camera.topic, TEXT, BEST_EFFORT)
    wait_until(lambda: types_of(topics, f"/{camera.topic}") == [camera.type, TEXT])
    topics.refresh()
    assert topics.problems() == {}


def test_a_topic_beside_the_robots_keeps_the_type_it_had_first(topics, peers, wait_until):
    values = peers("robot").publish_on("/extra", "std_msgs/msg/Float64MultiArray", RELIABLE)
    hears(topics, values, ros.message("std_msgs/msg/Float64MultiArray")(), wait_until)
    peers("stranger").publish_on("/extra", TEXT, BEST_EFFORT)
    wait_until(lambda: len(types_of(topics, "/extra")) == 2)
    hears(topics, values, ros.message("std_msgs/msg/Float64MultiArray")(), wait_until)
    assert topics.known()["/extra"][0] == "std_msgs/msg/Float64MultiArray" and topics.problems() == {}
