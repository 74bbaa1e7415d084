"""Every encoding of an image as RGB: what cv_bridge gives, and sentences where there is nothing to give."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qtx_ros.bench.bags import build
from qtx_ros.data import images, messages
from qtx_ros.errors import QtxError
from qtx_ros.spec import Camera

IMAGE = "sensor_msgs/msg/Image"
VECTORS = json.loads((Path(__file__).parent / "cv_bridge_vectors.json").read_text())["vectors"]
CAMERA = Camera("front", "image", 2, 2)
RANDOM = np.random.default_rng(0)


def message(encoding, height, width, data, step=None, big=0):
    data = np.frombuffer(bytes(data), np.uint8)
    fields = {"encoding": encoding, "height": height, "width": width, "is_bigendian": big, "data": data}
    return build(IMAGE, {**fields, "step": step or len(data) // height})


def vector(row, swap=False):
    """The message and the RGB picture of one fixed vector; `swap`: with the other byte order."""
    data = base64.b64decode(row["data"])
    if swap and images.ENCODINGS[row["encoding"]].kind == "u2":
        data = np.frombuffer(data, np.uint16).byteswap().tobytes()
    rgb = np.frombuffer(base64.b64decode(row["rgb8"]), np.uint8).reshape(row["height"], row["width"], 3)
    return message(row["encoding"], row["height"], row["width"], data, row["step"], int(swap)), rgb


@pytest.mark.parametrize("swap", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("row", VECTORS, ids=lambda r: f"{r['encoding']}-{r['width']}")
def test_pixels_are_those_of_cv_bridge(row, swap):
    msg, rgb = vector(row, swap)
    picture = messages.image(msg, IMAGE)
    assert picture.dtype == np.uint8 and picture.shape == rgb.shape
    assert (picture == rgb).all()


def test_the_vectors_hold_every_encoding_that_cv_bridge_converts():
    ours = {name for name, encoding in images.ENCODINGS.items() if encoding.rgb is not None}
    assert ours - {row["encoding"] for row in VECTORS} == {"uyvy", "yuyv", "nv12", "nv21", "nv24"}  # unknown to it


@pytest.mark.parametrize("encoding", sorted({row["encoding"] for row in VECTORS}))
def test_random_images_equal_those_of_the_installed_cv_bridge(encoding):
    bridge = pytest.importorskip("cv_bridge").CvBridge()
    layout = images.ENCODINGS[encoding]
    for height, width in [(1, 2), (3, 3), (6, 10), (31, 18), (48, 64), (121, 162)]:
        width += width % layout.even[1]
        row = width * layout.channels * np.dtype(layout.kind).itemsize
        msg = message(encoding, height, width, RANDOM.bytes(height * row))
        assert (messages.image(msg, IMAGE) == bridge.imgmsg_to_cv2(msg, "rgb8")).all()


def planes(encoding, height, width):
    """Random planes of Y and UV as the encoding stores them, and Y, U, V of every pixel."""
    y = RANDOM.integers(0, 256, (height, width)).astype(np.uint8)
    half = 1 if encoding == "nv24" else 2
    uv = RANDOM.integers(0, 256, (height // half, width // half, 2)).astype(np.uint8)
    u, v = (uv[..., i].repeat(half, 0).repeat(half, 1) for i in ((1, 0) if encoding == "nv21" else (0, 1)))
    return y.tobytes() + uv.tobytes(), y, u, v


@pytest.mark.parametrize("encoding", ["nv12", "nv21", "nv24"])
def test_planes_of_colour_are_found_where_the_encoding_puts_them(encoding):
    data, y, u, v = planes(encoding, 4, 6)
    y, u, v = 1.164 * (y.astype(float) - 16).clip(0), u - 128.0, v - 128.0
    expected = np.stack([y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u], 2).clip(0, 255)
    assert np.abs(messages.image(message(encoding, 4, 6, data, step=6), IMAGE) - expected).max() <= 1


@pytest.mark.parametrize(("name", "old"), [("uyvy", "yuv422"), ("yuyv", "yuv422_yuy2")])
def test_the_new_names_of_yuv_mean_the_old_ones(name, old):
    data = RANDOM.bytes(4 * 12)
    assert (images.image(message(name, 4, 6, data)) == images.image(message(old, 4, 6, data))).all()


# --- what the robot's file has to say ----------------------------------------------------------------------------

def test_an_image_without_colours_is_refused_until_the_camera_says_what_it_holds():
    msg = message("8UC3", 2, 2, range(12))
    with pytest.raises(QtxError, match="'8UC3', which says nothing about colours: give the camera an 'encoding'"):
        messages.image(msg, IMAGE, CAMERA)
    assert messages.image(msg, IMAGE, replace(CAMERA, encoding="bgr8"))[0, 0].tolist() == [2, 1, 0]
    with pytest.raises(QtxError, match="'encoding' says 'rgba8', expected one of rgb8, bgr8$"):
        messages.image(msg, IMAGE, replace(CAMERA, encoding="rgba8"))


def test_an_encoding_that_an_image_names_itself_is_never_overruled():
    assert images.image(message("rgb8", 1, 1, [1, 2, 3]), encoding="bgr8").tolist() == [[[1, 2, 3]]]


def test_distances_become_grey_only_if_the_camera_says_how():
    near, far, hole = 500, 1500, 0
    msg = message("16UC1", 1, 5, np.array([near, far, hole, 9999, 1000], "<u2").tobytes())
    with pytest.raises(QtxError, match="give the camera 'depth: \\[near, far\\]' in m"):
        messages.image(msg, IMAGE, CAMERA)
    picture = messages.image(msg, IMAGE, replace(CAMERA, depth=(0.5, 1.5)))
    assert picture[0, :, 0].tolist() == [1, 255, 0, 255, 128] and (picture == picture[:, :, :1]).all()


def test_metres_without_a_measurement_are_black():
    msg = message("32FC1", 1, 5, np.array([np.nan, np.inf, -1, 0, 0.25], "<f4").tobytes())
    assert messages.image(msg, IMAGE, replace(CAMERA, depth=(0.0, 0.5)))[0, :, 0].tolist() == [0, 0, 0, 0, 128]


# --- what no camera sends ----------------------------------------------------------------------------------------

@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (("rgb9", 1, 1, [1, 2, 3]), "'rgb9', expected one of rgb8, rgb16"),
        (("rgb8", 2, 2, range(11), 6), "step 6 and 11 bytes"),
        (("rgb8", 2, 2, range(12), 5), "step of at least 6"),
        (("mono16", 1, 1, range(3), 3), "image of 1x1 mono16 has step 3"),
        (("rgb8", 2, 0, range(12)), "has no pixels"),
        (("yuv422", 2, 3, range(12)), "width must be a multiple of 2"),
        (("nv21", 3, 2, range(9), 2), "its height of 2"),
        (("nv21", 2, 2, range(5), 2), "5 bytes, expected a step of at least 2 and 3 x step bytes"),
        (("64FC1", 1, 1, range(8)), "'64FC1', expected one of"),
    ],
)
def test_an_impossible_image_is_one_sentence(fields, sentence):
    with pytest.raises(QtxError, match=sentence):
        messages.image(message(*fields), IMAGE)


@pytest.mark.parametrize("container", [bytes, bytearray, memoryview, list])
def test_bytes_may_come_in_any_container(container):
    msg = message("rgb8", 2, 2, range(12))
    msg.data = container(msg.data.tobytes())
    assert messages.image(msg, IMAGE).reshape(-1).tolist() == list(range(12))
    msg.data = container(b"")
    with pytest.raises(QtxError, match="0 bytes"):
        messages.image(msg, IMAGE)
