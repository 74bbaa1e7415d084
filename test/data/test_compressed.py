"""Compressed images as image_transport and others write them: true colours, or a sentence."""

import struct
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest

from qtx_ros.bench.bags import build
from qtx_ros.data import images, messages
from qtx_ros.errors import QtxError
from qtx_ros.spec import Camera

TYPE = "sensor_msgs/msg/CompressedImage"
CAMERA = Camera("front", "image", 200, 200)  # larger than the pictures: all of them is decoded
RANDOM = np.random.default_rng(0)
RGB = cv2.resize(RANDOM.integers(0, 256, (5, 7, 3)).astype(np.uint8), (70, 50))
DEEP = RANDOM.integers(0, 65536, (20, 30, 3)).astype(np.uint16)


def message(form, data):
    return build(TYPE, {"format": form, "data": np.frombuffer(bytes(data), np.uint8)})


def file(kind, pixels, *options):
    """A file of pixels in OpenCV's order."""
    return cv2.imencode(f".{kind}", pixels, options)[1].tobytes()


def decode(form, data, **camera):
    return messages.image(message(form, data), TYPE, replace(CAMERA, **camera))


@pytest.mark.parametrize("form", ["bgr8; png compressed bgr8", "rgb8; png compressed bgr8", "png", "jpeg", ""])
def test_png_has_the_colours_it_says_whatever_the_format_says(form):
    assert (decode(form, file("png", RGB[:, :, ::-1])) == RGB).all()


def test_jpeg_is_close_and_webp_and_tiff_without_loss_are_exact():
    assert np.abs(decode("rgb8; jpeg compressed bgr8", file("jpg", RGB[:, :, ::-1])).astype(int) - RGB).mean() < 8
    assert (decode("tiff", file("tiff", RGB[:, :, ::-1])) == RGB).all()
    assert (decode("webp", file("webp", RGB[:, :, ::-1], cv2.IMWRITE_WEBP_QUALITY, 101)) == RGB).all()


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_what_was_compressed_as_rgb_is_turned_back(kind):
    assert (decode(f"rgb8; {kind} compressed rgb8", file(kind, RGB)) == RGB).all()


def test_a_jpeg_compressed_as_rgb_is_turned_back():
    straight = decode("rgb8; jpeg compressed bgr8", file("jpg", RGB[:, :, ::-1]))
    turned = decode("rgb8; jpeg compressed rgb8", file("jpg", RGB[:, :, ::-1]))
    assert (turned == straight[:, :, ::-1]).all()


def test_tiff_is_compressed_as_it_was():
    assert (decode("rgb8; tiff compressed ", file("tiff", RGB)) == RGB).all()
    assert (decode("bgr8; tiff compressed ", file("tiff", RGB[:, :, ::-1])) == RGB).all()


def test_sixteen_bits_become_eight_as_for_raw_images():
    rgb = images.EIGHT_BITS[DEEP]
    assert (decode("rgb16; png compressed bgr16", file("png", DEEP[:, :, ::-1])) == rgb).all()
    assert (decode("mono16; png compressed ", file("png", DEEP[:, :, 0])) == rgb[:, :, :1]).all()


def test_transparency_is_left_out_and_grey_is_grey():
    alpha = np.full((50, 70, 1), 9, np.uint8)
    assert (decode("png", file("png", np.concatenate([RGB[:, :, ::-1], alpha], 2))) == RGB).all()
    assert (decode("mono8; png compressed ", file("png", RGB[:, :, 0])) == RGB[:, :, :1]).all()
    assert np.ptp(decode("mono8; jpeg compressed mono8", file("jpg", RGB[:, :, 0])), axis=2).max() == 0


@pytest.mark.parametrize("encoding", ["bayer_rggb8", "bayer_grbg16"])
def test_a_compressed_mosaic_becomes_colours_and_a_grey_copy_of_one_does_not(encoding):
    mosaic = (RGB if encoding.endswith("8") else DEEP)[:, :, 0]
    expected = images.from_pixels(mosaic[:, :, None], encoding)
    assert (decode(f"{encoding}; png compressed ", file("png", mosaic)) == expected).all()
    grey = decode(f"{encoding}; jpeg compressed mono8", file("jpg", RGB[:, :, 0]))
    assert (grey == grey[:, :, :1]).all()
    coloured = decode(f"{encoding}; jpeg compressed ", file("jpg", RGB[:, :, 0]))
    assert (coloured == images.from_pixels(grey[:, :, :1], f"{encoding[:10]}8")).all()


# --- depth -------------------------------------------------------------------------------------------------------

MILLIMETRES = np.array([[0, 500, 1000, 1500]], np.uint16)


@pytest.mark.parametrize(
    ("form", "head"),
    [("16UC1; png compressed ", b""), ("16UC1; compressedDepth png", bytes(12)), ("16UC1; compressedDepth", bytes(12))],
)
def test_depth_is_refused_until_the_camera_says_how(form, head):
    data = head + file("png", MILLIMETRES)
    with pytest.raises(QtxError, match="'16UC1', which says nothing about colours: give the camera 'depth"):
        decode(form, data)
    assert decode(form, data, depth=(0.5, 1.5))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_quantised_depth_of_floats_is_restored():
    a, b = 100.0, 0.5
    inverse = np.array([[0, 100, 50]], np.uint16)  # depth is a / (value - b)
    picture = decode("32FC1; compressedDepth png", struct.pack("<iff", 0, a, b) + file("png", inverse), depth=(1, 3))
    metres = [a / (100 - b), a / (50 - b)]
    assert picture[0, :, 0].tolist() == [0, *(round(1 + 254 * (distance - 1) / 2) for distance in metres)]


# --- what is no picture ------------------------------------------------------------------------------------------

@pytest.mark.parametrize(
    ("form", "data", "sentence"),
    [
        ("jpeg", b"", "0 bytes that begin with b'', expected jpeg, png, webp or tiff"),
        ("jpeg", b"\1\2\3", "expected jpeg, png, webp or tiff"),
        ("h264", b"\0\0\0\1\x67", "'h264' has 5 bytes"),
        ("jpeg", file("jpg", RGB)[:900], "is cut off|within its header"),
        ("png", file("png", RGB)[:-20], "cut off or damaged"),
        ("webp", file("webp", RGB)[:-20], "cut off: it has"),
        ("tiff", file("tiff", RGB)[:7], "cut off or damaged"),
        ("16UC1; compressedDepth rvl", bytes(40), "compressedDepth rvl', expected jpeg, png, or compressedDepth png"),
        ("32FC1; compressedDepth", b"", "cut off within its header"),
        ("16UC1; compressedDepth png", bytes(12) + file("jpg", RGB), "holds no png"),
    ],
)
def test_what_is_no_whole_picture_is_one_sentence(form, data, sentence):
    with pytest.raises(QtxError, match=sentence):
        decode(form, data)


def test_every_flipped_bit_of_a_png_is_found():
    whole = file("png", RGB)
    for place in RANDOM.integers(0, len(whole), 60):
        data = bytearray(whole)
        data[place] ^= 1 << int(RANDOM.integers(0, 8))
        with pytest.raises(QtxError):
            decode("png", data)


@pytest.mark.parametrize("size", [(1 << 16, 1 << 16), (1 << 31, 1)])
def test_a_bomb_is_refused_by_its_header(size):
    body = b"IHDR" + struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (body, b"IEND")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    with pytest.raises(QtxError, match=f"png image promises {size[0]}x{size[1]} pixels, expected at most"):
        decode("png", data)


def test_webp_and_tiff_bombs_are_refused_too():
    webp = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff" * 6
    with pytest.raises(QtxError, match="webp image promises 16777216x16777216"):
        decode("webp", webp)
    tags = struct.pack("<HHII", 256, 4, 1, 1 << 20) + struct.pack("<HHII", 257, 4, 1, 1 << 20)
    with pytest.raises(QtxError, match="tiff image promises 1048576x1048576"):
        decode("tiff", b"II*\0" + struct.pack("<IH", 8, 2) + tags + bytes(4))
