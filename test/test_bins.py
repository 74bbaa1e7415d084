"""Bins ↔ values at the limits: every number of bins, ranges with and without zero, values beyond the ends, float32."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qtx_ros.data.messages import action, targets
from qtx_ros.preprocess import bin_edges, bin_values, from_bins, to_bins
from qtx_ros.spec import ActionDimension, Camera, CommandStream, Spec, StateStream

EXAMPLES = settings(max_examples=150, deadline=None)


@st.composite
def specs(draw) -> Spec:
    """One dimension: 2 to 256 bins, delta or absolute, a range in thousandths, some with bins closer near zero."""
    low, width = draw(st.integers(-100_000, 100_000)) / 1000, draw(st.integers(100, 200_000)) / 1000
    fewest = 3 if low < 0 < low + width else 2
    mode = draw(st.sampled_from(["delta", "absolute"]))
    curve = draw(st.sampled_from([1.0, 1.5, 2.0, 3.0])) if low < 0 < low + width else 1.0
    dimension = ActionDimension("a", low, low + width, draw(st.integers(fewest, 256)), mode, curve=curve)
    streams = {"states": (StateStream("joint_states", ("a",)),), "commands": (CommandStream("command", (dimension,)),)}
    return Spec("arm", 10.0, cameras=(Camera("front", "image", 8, 8),), **streams)


def only(spec: Spec) -> ActionDimension:
    return spec.dimensions[0]


@EXAMPLES
@given(specs())
def test_every_bin_comes_back_also_through_float32(spec):
    values = bin_values(only(spec))[:, None]
    for stored in (values, values.astype(np.float32)):  # a training set holds float32
        assert to_bins(spec, stored)[:, 0].tolist() == list(range(only(spec).bins))


@EXAMPLES
@given(specs())
def test_values_at_and_beyond_the_ends_are_in_the_outermost_bins(spec):
    low, high, last = only(spec).low, only(spec).high, only(spec).bins - 1
    far = [low, np.nextafter(low, -np.inf), low - 1e-6, -1e300]
    assert to_bins(spec, np.array(far)[:, None])[:, 0].tolist() == [0] * 4
    far = [high, np.nextafter(high, np.inf), high + 1e-6, 1e300]
    assert to_bins(spec, np.array(far)[:, None])[:, 0].tolist() == [last] * 4
    assert from_bins(spec, [0])[0] == low and from_bins(spec, [last])[0] == high


@EXAMPLES
@given(specs(), st.floats(0, 1), st.floats(0, 1))
def test_bins_are_ascending_and_a_value_lies_between_the_edges_of_its_bin(spec, one, other):
    dimension, edges = only(spec), bin_edges(only(spec))
    small, large = sorted(np.clip(dimension.low + (dimension.high - dimension.low) * np.array([one, other]),
                                  dimension.low, dimension.high))  # fmt: skip
    a, b = to_bins(spec, [[small], [large]])[:, 0]
    assert a <= b and edges[a] <= small <= edges[a + 1] and edges[b] <= large <= edges[b + 1]


@EXAMPLES
@given(specs(), st.data())
def test_an_edge_belongs_to_the_bin_above_it(spec, data):
    count, edges = only(spec).bins, bin_edges(only(spec))
    i = data.draw(st.integers(1, count - 1))
    assert to_bins(spec, [edges[i]])[0] == i and to_bins(spec, [np.nextafter(edges[i], -np.inf)])[0] == i - 1


@EXAMPLES
@given(specs(), st.floats(-1000, 1000), st.data())
def test_a_command_comes_back_from_the_bin_it_was_stored_as(spec, measured, data):
    bin_ = data.draw(st.integers(0, only(spec).bins - 1))
    state = np.array([measured])
    command = targets(spec, from_bins(spec, [bin_]), state)  # what a robot is told
    noted = action(spec, command, state).astype(np.float32)  # what a training set keeps of it
    assert to_bins(spec, noted)[0] == bin_


def test_with_a_curve_bins_lie_closer_near_zero():
    dimension = ActionDimension("a", -0.9, 1.6, 8, curve=2.0)  # 3 bins below zero, 4 above
    below, above = [-0.9, -0.4, -0.1], [0.1, 0.4, 0.9, 1.6]  # -0.9 · (k / 3)², 1.6 · (k / 4)²
    np.testing.assert_allclose(bin_values(dimension), [*below, 0.0, *above], atol=1e-12)
    assert bin_values(dimension)[3] == 0.0


def test_all_counts_of_bins():
    base = ActionDimension("a", -0.15, 0.15, 3)
    for count in range(3, 257):
        dimension = dataclasses.replace(base, bins=count)
        values = bin_values(dimension)
        assert len(values) == count and values[0] == -0.15 and values[-1] == 0.15 and 0.0 in values
