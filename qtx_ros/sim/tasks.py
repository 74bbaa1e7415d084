"""The tasks: one line each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qtx_ros.errors import QtxError


@dataclass(frozen=True)
class Task:
    """A Meta-World scene and what the robot is told to do in it."""

    name: str  # Meta-World's name without its version
    instruction: str
    expert: str  # class in qtx_ros.sim.expert or metaworld.policies
    approach: tuple[int, int] = (7, 13)  # range of ticks after which the hand is near the object but not done
    goal_hidden: bool = True  # False: the expert needs the goal's position, and the camera shows it as a coloured ball


TASKS = {
    task.name: task
    for task in (
        Task("drawer-open", "open the drawer", "SawyerDrawerOpenV3Policy"),
        Task("window-open", "open the window", "SawyerWindowOpenV3Policy"),
        Task("button-press-topdown", "press the button", "SawyerButtonPressTopdownV3Policy"),
        Task("door-open", "open the door", "DoorOpen"),
        Task("drawer-close", "close the drawer", "SawyerDrawerCloseV3Policy", goal_hidden=False),
        Task("handle-press", "press the handle down", "SawyerHandlePressV3Policy", (3, 6), goal_hidden=False),
        Task("plate-slide", "slide the plate into the goal", "SawyerPlateSlideV3Policy", (3, 7), goal_hidden=False),
        Task("push", "push the puck to the green spot", "SawyerPushV3Policy", goal_hidden=False),
        Task("reach", "reach the red spot", "SawyerReachV3Policy", (3, 7), goal_hidden=False),
    )
}
CORE = ("drawer-open", "window-open", "button-press-topdown", "door-open")  # what the shipped policy is trained on


def find(text: str) -> Task:
    """The task with this name or this instruction; case, punctuation and "the" do not matter."""
    wanted = _normal(text)
    for task in TASKS.values():
        if wanted in (_normal(task.name), _normal(task.instruction)):
            return task
    known = ", ".join(f"{task.name} ({task.instruction!r})" for task in TASKS.values())
    raise QtxError(f"no task is called {text!r}, the tasks are {known}")


def _normal(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.findall(r"[a-z0-9]+", text.lower()) if word != "the")
