import numpy as np
import pytest

from qtx_ros.errors import QtxError
from qtx_ros.sim.point_maze import LAYOUTS, PointMaze, Waypoints, shortest


def drive(maze, controller):
    """Sum of rewards of one episode of the controller that goes to the goal."""
    seen, total = maze.reset(), 0.0
    controller.aim(seen[:2], maze.goal)
    for _ in range(maze.layout.steps):
        seen, reward = maze.step(controller.act(seen)[0])
        total += reward
    return seen, total


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_controller_reaches_the_goal_from_anywhere(name):
    maze = PointMaze(name, 3)
    controller = Waypoints(maze.layout, np.random.default_rng(3))
    for _ in range(4):
        seen, total = drive(maze, controller)
        assert np.linalg.norm(seen[:2] - maze.goal) < 0.2
        assert maze.layout.score(total) > 50


def test_ways_are_the_shortest_and_stay_out_of_walls():
    layout = LAYOUTS["umaze"]
    assert shortest(layout, (3, 1), (1, 1)) == [(3, 2), (3, 3), (2, 3), (1, 3), (1, 2), (1, 1)]
    assert shortest(layout, (1, 1), (1, 1)) == [(1, 1)]
    with pytest.raises(QtxError, match="no way"):
        shortest(layout, (1, 1), (0, 0))


def test_walls_hold_the_mass_and_forces_move_it():
    maze = PointMaze("umaze", 0)
    maze.reset()
    for _ in range(300):
        seen, _ = maze.step(np.array([-9.0, 0.0]))
    assert seen[0] > 0.1 and abs(seen[2]) < 0.1  # pressed against a wall
    assert np.abs(seen[:2]).max() < 4


def test_scores_are_d4rls():
    assert LAYOUTS["umaze"].score(23.85) == 0 and LAYOUTS["umaze"].score(161.86) == pytest.approx(100)
    assert LAYOUTS["medium"].score(145.26) == pytest.approx(50)


def test_equal_seeds_give_equal_mazes():
    first, second, third = (PointMaze("medium", seed).reset() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)
