"""Bins ↔ values, image size, history padding, instruction hashing."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtx_ros import preprocess
from qtx_ros.errors import QtxError
from qtx_ros.spec import ActionDimension, Camera, Spec


def spec_of(*dimensions: ActionDimension) -> Spec:
    return Spec.from_dict(
        {
            "name": "arm",
            "rate": 10,
            "cameras": [{"name": "front", "topic": "image", "height": 8, "width": 8}],
            "states": [{"topic": "joint_states", "names": ["a"]}],
            "commands": [{"topic": "cmd", "dimensions": [vars(d) | {"limits": None} for d in dimensions]}],
        }
    )


@st.composite
def dimensions(draw) -> ActionDimension:
    low = draw(st.floats(-10, 10))
    return ActionDimension("d", low, low + draw(st.floats(1e-3, 20)), draw(st.integers(3, 300)))


@given(dimensions())
def test_every_bin_value_comes_back_as_its_bin(dimension):
    spec, values = spec_of(dimension), preprocess.bin_values(dimension)
    bins = preprocess.to_bins(spec, values[:, None])[:, 0]
    assert bins.tolist() == list(range(dimension.bins))
    assert (preprocess.from_bins(spec, bins[:, None])[:, 0] == values).all()


@given(dimensions(), st.floats(0, 1))
def test_a_value_is_at_most_half_a_bin_from_its_bin(dimension, share):
    value = dimension.low + share * (dimension.high - dimension.low)
    spec, values = spec_of(dimension), preprocess.bin_values(dimension)
    there_and_back = preprocess.from_bins(spec, preprocess.to_bins(spec, [value]))[0]
    assert abs(there_and_back - value) <= np.diff(values).max() / 2 + 1e-9


@given(dimensions())
def test_the_grid_reaches_both_limits_ascending(dimension):
    values, edges = preprocess.bin_values(dimension), preprocess.bin_edges(dimension)
    assert values[0] == dimension.low and values[-1] == pytest.approx(dimension.high)
    assert (np.diff(values) > 0).all() and (edges[:-1] <= values).all() and (values <= edges[1:]).all()


@given(st.floats(-10, -1e-3), st.floats(1e-3, 10), st.integers(3, 300))
def test_a_range_around_zero_holds_an_exact_zero(low, high, count):
    dimension = ActionDimension("d", low, high, count)
    assert preprocess.bin_values(dimension)[preprocess.zero_bin(dimension)] == 0.0


@pytest.mark.parametrize(("count", "zero"), [(3, 1), (21, 10), (255, 127), (256, 128)])
def test_zero_sits_in_the_middle_bin(count, zero):
    assert preprocess.zero_bin(ActionDimension("d", -0.15, 0.15, count)) == zero


def test_three_bins_by_hand():
    dimension = ActionDimension("d", -2.0, 1.0, 3)
    assert preprocess.bin_values(dimension).tolist() == [-2.0, 0.0, 1.0]
    assert preprocess.bin_edges(dimension).tolist() == [-2.0, -1.0, 0.5, 1.0]
    values = np.array([-9.0, -1.1, -0.9, 0.49, 0.51, 9.0])
    assert preprocess.to_bins(spec_of(dimension), values[:, None])[:, 0].tolist() == [0, 0, 1, 1, 2, 2]


def test_bins_that_cannot_be_are_refused():
    spec = spec_of(ActionDimension("d", -1, 1, 5))
    for bins in ([5], [-1], [[0, 0]]):
        with pytest.raises(QtxError, match="do not fit"):
            preprocess.from_bins(spec, bins)
    for action in ([np.nan], [np.inf]):
        with pytest.raises(QtxError, match="NaN or infinity"):
            preprocess.to_bins(spec, action)


def test_resize_averages_areas_and_crops_first():
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 4:] = 100
    image[:2, 4:] = 200
    camera = Camera("front", "image", height=2, width=2, crop=(0, 4, 4, 4))
    assert preprocess.resize(image, camera)[..., 0].tolist() == [[200, 200], [100, 100]]
    assert preprocess.resize(image, Camera("front", "image", 1, 2))[..., 0].tolist() == [[0, 150]]


@pytest.mark.parametrize(("size", "crop"), [((64, 64), None), ((60, 80), None), ((100, 90), (10, 20, 401, 500))])
def test_halving_first_averages_the_same_areas(size, crop):
    y, x = np.mgrid[0:480, 0:640]
    image = np.stack([x * 255 // 639, y * 255 // 479, (x + y) % 256], 2).astype(np.uint8)
    top, left, height, width = crop or (0, 0, 480, 640)
    area = cv2.resize(image[top : top + height, left : left + width], size[::-1], interpolation=cv2.INTER_AREA)
    resized = preprocess.resize(image, Camera("front", "image", *size, crop=crop)).astype(int)
    assert np.abs(resized - area)[..., :2].max() <= 1


def test_an_image_that_fits_nothing_is_refused():
    camera = Camera("front", "image", 2, 2, crop=(0, 0, 9, 9))
    with pytest.raises(QtxError, match="crop"):
        preprocess.resize(np.zeros((4, 4, 3), np.uint8), camera)
    with pytest.raises(QtxError, match="expected uint8"):
        preprocess.resize(np.zeros((4, 4)), camera)


def test_before_the_first_frame_stands_the_first_frame():
    assert preprocess.history_indices(np.array([0, 1, 5]), 3).tolist() == [[0, 0, 0], [0, 0, 1], [3, 4, 5]]


def test_instruction_hashes_are_fixed_for_ever():
    tokens = preprocess.text_tokens("Open the drawer!")
    assert tokens.shape == (preprocess.TEXT_LENGTH,) and tokens.dtype == np.int64
    assert tokens[:3].tolist() == [1301, 3307, 2668]  # crc32 of w:open, w:the, w:drawer
    assert tokens.tolist() == preprocess.text_tokens("open, the  DRAWER").tolist()
    assert preprocess.text_tokens("").tolist() == [0] * preprocess.TEXT_LENGTH
    assert set(preprocess.text_tokens("x " * 500)) <= set(range(1, preprocess.TEXT_BUCKETS))
