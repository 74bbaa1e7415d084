"""Limits from a robot description."""

import pytest

from qtx_ros.deploy.urdf import JointLimits, joint_limits, narrowed, positioned
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec

SPEC = Spec.load("sawyer_sim")


def urdf(*joints):
    return f'<robot name="arm">{"".join(joints)}</robot>'


def joint(name="right_j0", kind="revolute", limit='<limit lower="-1" upper="2" velocity="1.5" effort="80"/>', soft=""):
    return f'<joint name="{name}" type="{kind}">{limit}{soft}</joint>'


def test_limits_by_joint():
    text = urdf(joint(), joint("spin", "continuous", '<limit velocity="3" effort="1"/>'), joint("base", "fixed", ""))
    assert joint_limits(text, {"right_j0", "spin", "base"}) == {
        "right_j0": JointLimits(-1.0, 2.0, 1.5),
        "spin": JointLimits(velocity=3.0),
    }


def test_a_safety_controller_narrows():
    soft = '<safety_controller soft_lower_limit="-0.5" soft_upper_limit="1.5" k_velocity="1"/>'
    assert joint_limits(urdf(joint(soft=soft)), {"right_j0"})["right_j0"] == JointLimits(-0.5, 1.5, 1.5)


def test_the_narrower_of_both_counts_and_other_joints_stay():
    spec = narrowed(SPEC, {"right_j0": JointLimits(-1.0, 9.0), "elsewhere": JointLimits(0, 1)})
    first, second = spec.dimensions[:2]
    assert first.limits == (-1.0, SPEC.dimensions[0].limits[1]) and second == SPEC.dimensions[1]


def test_limits_that_exclude_each_other_are_one_sentence():
    with pytest.raises(QtxError, match="'right_j0' has limits .* allows 5.0 to 6.0: nothing is left"):
        narrowed(SPEC, {"right_j0": JointLimits(5.0, 6.0)})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<robot", "is not XML"),
        ("<sdf/>", "is a <sdf>, expected a URDF's <robot>"),
        ('<!DOCTYPE r [<!ENTITY a "b">]><robot/>', "expected plain XML"),
        (urdf(joint(limit='<limit lower="x" upper="1"/>')), "lower 'x', expected a number"),
        (urdf(joint(limit='<limit lower="nan" upper="1"/>')), "lower 'nan', expected a number"),
    ],
)
def test_what_is_no_urdf_is_one_sentence(text, sentence):
    with pytest.raises(QtxError, match=sentence):
        joint_limits(text, {"right_j0"})


def test_a_joint_that_is_not_commanded_may_have_any_limits():
    unused = joint("dummy", limit='<limit lower="0" upper="0"/>'), joint("screw", limit='<limit lower="${x}"/>')
    found = joint_limits(urdf(joint(), *unused), positioned(SPEC))
    assert list(found) == ["right_j0"] and narrowed(SPEC, found).dimensions[0].limits == (-1.0, 2.0)


def test_a_commanded_joint_without_room_is_one_sentence():
    found = joint_limits(urdf(joint(limit='<limit lower="2" upper="1"/>')), positioned(SPEC))
    with pytest.raises(QtxError, match="'right_j0' has limits .* allows 2.0 to 1.0: nothing is left"):
        narrowed(SPEC, found)
