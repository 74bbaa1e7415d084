import numpy as np
import pytest

from qtx_ros.errors import QtxError
from qtx_ros.sim import gl
from qtx_ros.sim.world import World


@pytest.fixture(scope="module")
def world():
    world = World("drawer-open", seed=1)
    yield world
    world.close()


def run(world, seconds):
    for _ in range(round(seconds / 0.0125)):
        world.step()


def test_a_command_reaches_its_target_and_is_held(world):
    world.reset("drawer-open", 1)
    target = world.positions[:7] + np.array([0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1])
    world.command(dict(zip(world.names[:7], target, strict=True)), duration=0.05)
    run(world, 0.5)
    np.testing.assert_allclose(world.positions[:7], target, atol=0.01)
    run(world, 2.0)
    np.testing.assert_allclose(world.positions[:7], target, atol=0.01)
    assert np.abs(world.velocities[:7]).max() < 0.01


def test_a_ramp_takes_its_duration(world):
    world.reset("drawer-open", 1)
    start = world.positions[0]
    world.command({"right_j0": start + 0.4}, duration=1.0)
    run(world, 0.5)
    assert world.positions[0] - start == pytest.approx(0.2, abs=0.03)
    assert world.velocities[0] == pytest.approx(0.4, abs=0.08)
    run(world, 0.6)
    assert world.positions[0] - start == pytest.approx(0.4, abs=0.01)


def test_a_far_target_is_approached_at_bounded_speed(world):
    world.reset("drawer-open", 1)
    start = world.positions[0]
    world.command({"right_j0": start + 1.0}, duration=0.0)
    run(world, 0.05)
    assert world.positions[0] - start < 0.2
    assert world.velocities[0] < 3.5


def test_joints_not_named_keep_their_place(world):
    world.reset("drawer-open", 1)
    before = world.positions
    world.command({"right_j6": before[6] + 0.3}, duration=0.2)
    run(world, 0.5)
    np.testing.assert_allclose(world.positions[:6], before[:6], atol=0.005)
    assert world.positions[6] - before[6] == pytest.approx(0.3, abs=0.01)


def test_the_gripper_closes_and_opens(world):
    world.reset("drawer-open", 1)
    assert world.positions[7] == pytest.approx(-1.0, abs=0.02)
    world.command({"gripper": 1.0})
    run(world, 1.0)
    assert world.positions[7] > 0.9
    world.command({"gripper": -1.0})
    run(world, 1.0)
    assert world.positions[7] == pytest.approx(-1.0, abs=0.02)


def test_the_arm_does_not_sag_without_commands(world):
    world.reset("drawer-open", 1)
    before = world.positions
    run(world, 2.0)
    np.testing.assert_allclose(world.positions, before, atol=0.005)


@pytest.mark.parametrize("targets", [{"elbow": 0.0}, {"right_j0": np.nan}, {"gripper": np.inf}, {"right_j1": -np.inf}])
def test_nonsense_commands_change_nothing(world, targets):
    world.reset("drawer-open", 1)
    before = world.scene.controller.goal
    with pytest.raises(QtxError):
        world.command({"right_j2": 0.0, **targets}, 0.05)
    np.testing.assert_array_equal(world.scene.controller.goal, before)


def test_equal_seeds_give_equal_episodes_whatever_came_before(world):
    def episode():
        world.reset("door-open", 7)
        world.command({"right_j0": world.positions[0] + 0.2}, 0.2)
        run(world, 0.5)
        return world.privileged, world.positions, world.render(64, 64)

    first = episode()
    world.reset("door-open", 8)
    other = world.privileged
    run(world, 0.3)
    for a, b in zip(first, episode(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.allclose(other[4:7], first[0][4:7])


def test_pictures_have_the_asked_size_and_differ_between_tasks(world):
    pictures = []
    for task in ("drawer-open", "window-open", "reach"):
        world.reset(task, 0)
        pictures.append(world.render(48, 64))
        assert pictures[-1].shape == (48, 64, 3) and pictures[-1].dtype == np.uint8
        assert pictures[-1].mean() > 30 and pictures[-1].std() > 20
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 5


def test_a_task_is_found_by_its_instruction_and_unknown_ones_are_named(world):
    world.reset("Open the window!", 0)
    assert world.task.name == "window-open"
    with pytest.raises(QtxError, match="'make coffee'.*drawer-open"):
        world.reset("make coffee", 0)
    assert world.task.name == "window-open"


def test_rendering_without_a_library_names_the_package(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    with pytest.raises(QtxError, match="libosmesa6"):
        gl.check()


def test_no_two_pictures_of_a_scene_at_rest_are_equal_and_equal_episodes_look_equal():
    first, again = World("drawer-open", 3), World("drawer-open", 3)
    before = first.render(64, 64)
    assert (before == again.render(64, 64)).all()
    first.step()
    difference = np.abs(before.astype(int) - first.render(64, 64))
    assert difference.any() and (difference <= 2).mean() > 0.9
