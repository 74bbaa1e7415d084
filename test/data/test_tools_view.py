"""qtx data view: sheets and videos hold every step they should."""

import cv2
import numpy as np
import pytest
from small_run import small_spec, write_small_set
from small_set import SPEC, add_episode, small_set

from qtx_ros.cli import main
from qtx_ros.data.episode import Episode
from qtx_ros.data.tools import draw


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = small_set(tmp_path_factory.mktemp("view") / "set", 3)
    return add_episode(root, "gap", 15, lost=[4, 5], human=[7], instruction="öffne <es>")


def view(*arguments):
    return main(["data", "view", *map(str, arguments)])


def test_a_sheet_shows_every_step(root, tmp_path):
    assert view(root, "gap", "--out", tmp_path / "deep" / "sheet.png") == 0
    every, third = cv2.imread(str(tmp_path / "deep/sheet.png")), tmp_path / "third.png"
    assert view(root, "gap", "--out", third, "--every", 3) == 0
    width = draw.tile_width(SPEC, 112) + 6
    assert every.shape[1] == 6 * width + 6  # 15 steps in rows of 6
    assert cv2.imread(str(third)).shape[1] == 5 * width + 6


def test_a_tile_shows_the_frames_and_marks_what_is_missing(root):
    episode = Episode(root / "gap", SPEC)
    sound, lost = (draw.cameras(episode, step, 16) for step in (0, 4))
    expected = np.concatenate([episode.frame(c.name, 0) for c in SPEC.cameras], 1)
    assert np.array_equal(sound, expected[:, :, ::-1])
    assert (lost == draw.BACK).all(2).mean() > 0.5
    colours = [tuple(draw.state_bar(episode, step, 1)[0, 0].tolist()) for step in (0, 4, 7)]
    assert colours == [draw.BAR, draw.BAD, draw.HUMAN]


def test_a_robot_without_cameras_is_shown_too(tmp_path):
    spec = small_spec(cameras=0)
    write_small_set(tmp_path / "set", spec, episodes=2)
    for arguments in (("episode0", "--out", "one.png"), ("--out", "all.png"), ("episode0", "--out", "one.mp4")):
        assert view(tmp_path / "set", *arguments[:-1], tmp_path / arguments[-1]) == 0
    assert draw.cameras(Episode(tmp_path / "set" / "episode0", spec), 0, 16).shape == (16, 16, 3)


def test_a_sheet_of_a_set_has_a_row_for_each_episode(root, tmp_path, capsys):
    assert view(root, "--out", tmp_path / "all.png") == 0
    assert view(root, "--out", tmp_path / "two.png", "--rows", 2) == 0
    four, two = (cv2.imread(str(tmp_path / f"{name}.png")).shape for name in ("all", "two"))
    assert four[0] == 2 * two[0] and four[1] == two[1]
    assert "2 of 4 episodes" in capsys.readouterr().out


def test_a_video_holds_every_step_at_the_rate_of_the_set(root, tmp_path):
    assert view(root, "gap", "--out", tmp_path / "one.mp4") == 0
    video = cv2.VideoCapture(str(tmp_path / "one.mp4"))
    count = 0
    while video.read()[0]:
        count += 1
    assert count == 15 and video.get(cv2.CAP_PROP_FPS) == pytest.approx(SPEC.rate)


def test_a_video_of_a_set_shows_one_episode_after_another(root, tmp_path, capsys):
    assert view(root, "--out", tmp_path / "all.mp4") == 0
    assert f"{3 * 12 + 15} steps at 10 Hz" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(cv2, "imwriteanimation"), reason="this OpenCV writes no GIF")
def test_a_gif_holds_every_step(root, tmp_path):
    assert view(root, "gap", "--out", tmp_path / "one.gif") == 0
    read, animation = cv2.imreadanimation(str(tmp_path / "one.gif"))
    assert read and len(animation.frames) == 15


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("gap", "--out", "x.bmp"), "expected one of .png, .jpg, .jpeg, .mp4, .gif"),
        (("nobody", "--out", "x.png"), "has no episode 'nobody'"),
        (("gap", "--out", "x.png", "--every", "-1"), "every is -1"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(root, capsys, arguments, words):
    assert view(root, *arguments) == 1
    assert words in capsys.readouterr().err
