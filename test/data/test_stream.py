"""Whatever arrives as an image becomes a frame or a sentence, never an exception."""

from types import SimpleNamespace as Message

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtx_ros.data.align import Aligner
from qtx_ros.spec import ActionDimension, Camera, CommandStream, Spec

NOW = 1_700_000_000 * 10**9
ENCODINGS = ["rgb8", "bgr8", "rgba8", "mono8", "yuv422", "", "32FC1"]
small = st.integers(0, 40)


def spec(type: str, crop=None) -> Spec:
    camera = Camera("front", "image", 4, 4, type, crop)
    command = CommandStream("arm", (ActionDimension("a", -1, 1),))
    return Spec("toy", 10.0, (camera,), (), (command,))


def observe(aligner: Aligner, **fields):
    stamp = Message(sec=NOW // 10**9, nanosec=0)
    aligner.push("image", NOW, Message(header=Message(stamp=stamp), **fields))
    return aligner.observe(NOW)


def check(seen) -> None:
    if seen.problems:
        assert seen.frames == {} and seen.problems[0].startswith("camera 'front'")
    else:
        assert seen.frames["front"].shape == (4, 4, 3)


@settings(deadline=None)
@given(st.sampled_from(ENCODINGS), small, small, st.integers(0, 200), st.integers(0, 4000), st.booleans())
def test_any_raw_image_is_a_frame_or_a_sentence(encoding, height, width, step, size, cropped):
    aligner = Aligner(spec("sensor_msgs/msg/Image", (2, 2, 8, 8) if cropped else None))
    data = np.zeros(size, np.uint8)
    check(observe(aligner, encoding=encoding, height=height, width=width, step=step, data=data))


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"]))
def test_any_bytes_are_a_frame_or_a_sentence(data, head):
    check(observe(Aligner(spec("sensor_msgs/msg/CompressedImage")), format="jpeg", data=head + data))


@pytest.mark.parametrize("height", [8, 16])
def test_an_image_of_another_size_than_the_first_is_a_sentence(height):
    aligner = Aligner(spec("sensor_msgs/msg/Image"))
    other = f"camera 'front' sends images of 8x{height}, it began with 8x12"
    for rows, problems in ((12, ()), (height, (other,)), (12, ())):
        seen = observe(aligner, encoding="mono8", height=rows, width=8, step=8, data=np.zeros(8 * rows, np.uint8))
        assert seen.problems == problems


def test_another_size_of_which_an_equal_part_is_decoded_is_a_sentence_too():
    aligner = Aligner(spec("sensor_msgs/msg/CompressedImage"))
    for side, problems in ((16, ()), (32, ("camera 'front' sends images of 32x32, it began with 16x16",))):
        data = cv2.imencode(".jpg", np.zeros((side, side, 3), np.uint8))[1].reshape(-1)
        assert observe(aligner, format="jpeg", data=data).problems == problems
