"""Faults on the way from message to command: found within how many ticks, how they are said, when they are over."""

import dataclasses
from types import SimpleNamespace as Message

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle

from qtx_ros.data.align import Aligner
from qtx_ros.deploy.bundle import for_robot, load_bundle
from qtx_ros.deploy.pilot import Pilot
from qtx_ros.deploy.policy import Policy
from qtx_ros.spec import Spec

MS = 1_000_000
PERIOD = 50 * MS
BEGIN = 1_700_000_000_000 * MS
LATENCY = 20 * MS  # of a frame
SPEC = Spec.load("sawyer_sim")
ROBOT = dataclasses.replace(SPEC, states=(dataclasses.replace(SPEC.states[0], max_speed=4.0),))


class World:
    """A robot whose first joint moves at 2 rad/s before a camera at 20 Hz; the attributes break it."""

    def __init__(self, pilot: Pilot) -> None:
        self.pilot, self.aligner = pilot, Aligner(pilot.spec)
        self.ticks, self.clock = 0, BEGIN
        self.speed, self.moving_picture, self.contrast = 2.0, True, 100
        self.size, self.encoding, self.cut = 128, "rgb8", 0
        self.ahead, self.glitch, self.names = 0, 0.0, list(SPEC.state_names)
        self.position = 0.0
        self.aligner.push("instruction", self.clock, Message(data="go"))

    def stamp(self, ns: int) -> Message:
        ns += self.ahead
        return Message(stamp=Message(sec=ns // 10**9, nanosec=ns % 10**9))

    def image(self) -> Message:
        pixels = np.full((self.size, self.size, 3), 50, np.uint8)
        pixels[: 20 + self.ticks % 7 * self.moving_picture] += np.uint8(self.contrast)
        data = pixels.reshape(-1)[: pixels.size - self.cut]
        return Message(
            header=self.stamp(self.clock - LATENCY), encoding=self.encoding, height=self.size, width=self.size,
            step=3 * self.size, data=data,
        )  # fmt: skip

    def tick(self):
        """The command of one more tick."""
        self.ticks, self.clock = self.ticks + 1, self.clock + PERIOD
        self.position += self.speed * PERIOD / 1e9
        positions = [self.position + self.glitch, *[0.0] * 7]
        joints = Message(header=self.stamp(self.clock - MS), name=self.names, position=positions)
        self.aligner.push("joint_states", self.clock, joints)
        self.aligner.push("camera/image_raw", self.clock, self.image())
        return self.pilot.decide(self.aligner.observe(self.clock))

    def until(self, held: bool, limit=100) -> list:
        """The commands up to the first that holds, or that does not."""
        commands = [self.tick()]
        while bool(commands[-1].reason) != held:
            assert len(commands) < limit
            commands.append(self.tick())
        return commands


@pytest.fixture
def world(tmp_path):
    folder = write_tiny_bundle(tmp_path, SPEC)
    world = World(Pilot(Policy(for_robot(load_bundle(folder), ROBOT), "cpu")))
    assert [world.tick().reason for _ in range(40)] == [""] * 40
    return world


# fault: what breaks, what is said, ticks that still drive, ticks until it drives again once repaired
FAULTS = {
    "frozen camera": ({"moving_picture": False}, "camera 'front' is frozen: still the same picture", 8, 0),
    "covered lens": ({"contrast": 0}, "camera 'front' shows nothing: every pixel is about (50, 50, 50)", 0, 0),
    "joint jump": ({"glitch": 0.5}, "right_j0 went from 4 to 4.6 in 50 ms, max_speed is 4 per second", 0, 0),
    "other size": ({"size": 64}, "camera 'front' sends images of 64x64, it began with 128x128", 0, 0),
    "encoding": ({"encoding": "yuv999"}, "camera 'front': image encoding is 'yuv999', expected one of rgb8", 0, 0),
    "cut image": ({"cut": 1}, "camera 'front': image of 128x128 rgb8 has step 384 and 49151 bytes", 0, 0),
    "lost joint": ({"names": ["other", *SPEC.state_names[1:]]}, "has no position of 'right_j0'", 0, 0),
    "clock ahead": ({"ahead": 3600_000 * MS}, "has a clock ahead of the receiver's: its stamp lies 35999", 0, 15),
    "clock a bit ahead": ({"ahead": 90 * MS}, "receive time minus header stamp is -70 ms, allowed -5 to", 15, 15),
    "clock behind": ({"ahead": -3600_000 * MS}, "camera 'front' is 3600020 ms old", 0, 15),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_holds_within_its_ticks_and_ends_with_it(world, fault):
    changes, sentence, late, recovery = FAULTS[fault]
    healthy = {name: getattr(world, name) for name in changes}
    vars(world).update(changes)
    commands = world.until(held=True)
    assert len(commands) - 1 <= late
    assert sentence in commands[-1].reason and commands[-1].choice is None
    vars(world).update(healthy)
    assert len(world.until(held=False)) - 1 <= recovery


def test_a_hold_is_not_where_a_glitch_points(world):
    before, world.glitch = world.position, 0.5
    assert world.tick().values[0] == pytest.approx(before)


def test_a_resting_robot_drives_on_before_a_camera_that_repeats_itself(world):
    world.speed, world.moving_picture = 0.0, False
    assert not any(world.tick().reason for _ in range(100))


def test_a_receiver_whose_clock_is_set_back_asks_for_nothing_anew(world):
    world.clock -= 3600_000 * MS
    assert [world.tick().reason for _ in range(5)] == [""] * 5


def test_a_receiver_set_back_alone_holds_until_the_clocks_agree(world):
    world.clock, world.ahead = world.clock - 3600_000 * MS, 3600_000 * MS
    assert "in the future" in world.tick().reason
    world.ahead = 0
    assert len(world.until(held=False)) - 1 <= 15
