"""JPEG: the same pixels from both libraries, and a sentence instead of a picture that is not whole."""

import io
import itertools
import sys

import cv2
import numpy as np
import pytest

from qtx_ros.data import jpeg
from qtx_ros.errors import QtxError

SAMPLINGS = ("444", "422", "420", "440", "411")
RANDOM = np.random.default_rng(0)


def picture(height, width):
    """A soft random picture with noise, uint8 [height, width, 3]."""
    coarse = RANDOM.integers(0, 256, (height // 9 + 2, width // 9 + 2, 3)).astype(np.uint8)
    soft = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    return np.clip(soft + RANDOM.normal(0, 9, soft.shape), 0, 255).astype(np.uint8)


def encoded(pixels, sampling="420", **options):
    pairs = [part for name, value in options.items() for part in (getattr(cv2, f"IMWRITE_JPEG_{name}"), value)]
    if hasattr(cv2, "IMWRITE_JPEG_SAMPLING_FACTOR"):  # OpenCV before 4.7 has only 4:2:0
        pairs += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")]
    return cv2.imencode(".jpg", pixels, pairs)[1].reshape(-1)


def pillow(**options):
    """A JPEG that OpenCV does not write."""
    image = pytest.importorskip("PIL.Image").fromarray(picture(40, 56)).convert(options.pop("mode", "RGB"))
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return np.frombuffer(file.getvalue(), np.uint8)


TURNED = b"Exif\0\0MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0\6\0\0\0\0\0\0"  # orientation 6: a quarter turn
WHOLE = encoded(picture(48, 64))


@pytest.fixture(params=["simplejpeg", "opencv"])
def library(request, monkeypatch):
    """Once with simplejpeg, once as on a machine that has none."""
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg")
    else:
        monkeypatch.setitem(sys.modules, "simplejpeg", None)
    jpeg._simplejpeg.cache_clear()
    yield request.param
    jpeg._simplejpeg.cache_clear()


def both(data, monkeypatch, least=None):
    """What simplejpeg decodes, and what OpenCV does."""
    pytest.importorskip("simplejpeg")
    fast = jpeg.decode(data, least)
    with monkeypatch.context() as without:
        without.setattr(jpeg, "_simplejpeg", lambda: None)
        return fast, jpeg.decode(data, least)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 9), (16, 16), (33, 65), (120, 162)])
def test_both_libraries_give_the_same_pixels(height, width, sampling, monkeypatch):
    for progressive, restart, quality in itertools.product((0, 1), (0, 3), (5, 80, 100)):
        options = {"QUALITY": quality, "PROGRESSIVE": progressive, "RST_INTERVAL": restart}
        fast, slow = both(encoded(picture(height, width), sampling, **options), monkeypatch)
        assert fast.shape == slow.shape == (height, width, 3)
        assert (fast == slow).all()


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(
    ("least", "part"), [((120, 160), 1), ((61, 80), 1), ((60, 80), 2), ((16, 40), 4), ((15, 20), 8), ((1, 1), 8)]
)
def test_a_part_that_is_large_enough_is_decoded(least, part, sampling, monkeypatch):
    for quality in (30, 95):
        fast, slow = both(encoded(picture(120, 160), sampling, QUALITY=quality), monkeypatch, least)
        assert fast.shape == slow.shape == (120 // part, 160 // part, 3) and (fast == slow).all()
    y, x = np.mgrid[0:120, 0:160]
    soft = np.stack([x // 2 + y] * 3, 2).astype(np.uint8) + np.array([40, 0, 20], np.uint8)
    area = cv2.resize(soft, (160 // part, 120 // part), interpolation=cv2.INTER_AREA)[:, :, ::-1]
    assert np.abs(jpeg.decode(encoded(soft, sampling, QUALITY=95), least).astype(int) - area).max() <= 4


def test_a_picture_that_no_part_divides_is_decoded_whole():
    assert jpeg.decode(encoded(picture(121, 160)), (10, 10)).shape == (121, 160, 3)
    assert jpeg.decode(encoded(picture(124, 162)), (10, 10)).shape == (62, 81, 3)


@pytest.mark.parametrize("options", [{"mode": "L"}, {"mode": "CMYK"}, {"keep_rgb": True}, {"exif": TURNED}], ids=str)
def test_unusual_colours_and_orientations_give_the_same_pixels_too(options, monkeypatch):
    fast, slow = both(pillow(**options), monkeypatch)
    assert fast.shape == (40, 56, 3) and (fast == slow).all()


def test_a_camera_that_leaves_out_the_huffman_tables_is_understood(library):
    data, position, bare = WHOLE.tobytes(), 2, b"\xff\xd8"
    while data[position + 1] != 0xDA:
        size = 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        bare += b"" if data[position + 1] == 0xC4 else data[position : position + size]
        position += size
    bare = np.frombuffer(bare + data[position:], np.uint8)
    assert len(bare) < len(WHOLE) and (jpeg.decode(bare) == jpeg.decode(WHOLE)).all()


@pytest.mark.parametrize("tail", [b"", b"\0" * 100, b"\xff\xd9", b"junk"])
def test_what_stands_after_the_end_does_not_matter(tail, library):
    data = np.frombuffer(WHOLE.tobytes() + tail, np.uint8)
    assert (jpeg.decode(data) == jpeg.decode(WHOLE)).all()


def test_a_few_bytes_before_the_end_are_what_webcams_send(library):
    data = np.frombuffer(WHOLE.tobytes()[:-2] + b"\x12" * 8 + b"\xff\xd9", np.uint8)
    assert (jpeg.decode(data) == jpeg.decode(WHOLE)).all()


@pytest.mark.parametrize("keep", [0.001, 0.01, 0.3, 0.5, 0.9, 0.9999])
def test_a_cut_off_jpeg_is_never_a_picture(keep, library):
    with pytest.raises(QtxError, match="JPEG of .*(ends within its header|is cut off|begins with)"):
        jpeg.decode(WHOLE[: int(keep * len(WHOLE))])


def test_a_cut_off_jpeg_with_an_end_mark_is_found_by_simplejpeg():
    pytest.importorskip("simplejpeg")
    with pytest.raises(QtxError, match="is damaged: Corrupt JPEG data: premature end"):
        jpeg.decode(np.concatenate([WHOLE[: len(WHOLE) // 2], WHOLE[-2:]]))


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\x89PNG", WHOLE[:20].tobytes() * 9])
def test_what_is_no_jpeg_is_one_sentence(data, library):
    with pytest.raises(QtxError, match="JPEG of"):
        jpeg.decode(np.frombuffer(data, np.uint8))


def test_a_header_that_promises_too_many_pixels_is_refused_before_memory_is_taken(library):
    data = bytearray(WHOLE.tobytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(QtxError, match="promises 65535x65535 pixels, expected at most"):
        jpeg.decode(np.frombuffer(bytes(data), np.uint8))
    with pytest.raises(QtxError, match="stored frame does not decode to"):
        jpeg.decode_into(np.frombuffer(bytes(data), np.uint8), np.empty((48, 64, 3), np.uint8))


def test_damage_anywhere_gives_a_picture_of_that_size_or_a_sentence(library):
    for place in RANDOM.integers(0, len(WHOLE), 200):
        data = WHOLE.copy()
        data[place] ^= 1 << int(RANDOM.integers(0, 8))
        try:
            assert jpeg.decode(data).dtype == np.uint8
        except QtxError as error:
            assert "JPEG" in str(error)


def test_stored_frames_come_back_where_they_are_wanted(library):
    if library == "opencv" and not hasattr(cv2, "IMWRITE_JPEG_SAMPLING_FACTOR"):
        pytest.skip("OpenCV before 4.7 cannot write full colour resolution")
    frame, out = picture(24, 32), np.zeros((2, 24, 32, 3), np.uint8)
    data = np.frombuffer(jpeg.encode(frame), np.uint8)
    jpeg.decode_into(data, out[1])
    assert not out[0].any() and np.abs(out[1].astype(int) - frame).mean() < 4
    assert jpeg.encode(frame) == data.tobytes()
    for shape in ((24, 31, 3), (24, 33, 3), (12, 16, 3), (48, 64, 3)):
        with pytest.raises(QtxError, match="a stored frame"):
            jpeg.decode_into(data, np.empty(shape, np.uint8))
