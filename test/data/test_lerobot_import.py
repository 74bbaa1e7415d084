"""LeRobot datasets as training sets: round trips, foreign datasets of v3.0 and v2.1, what is wrong with bad ones."""

import json
import shutil

import cv2
import numpy as np
import pytest
from lerobot_sets import numbers, small_set, spec

from qtx_ros.data.dataset import Dataset
from qtx_ros.data.episode import Columns
from qtx_ros.data.lerobot.export import Options as ExportOptions
from qtx_ros.data.lerobot.export import export, pieces
from qtx_ros.data.lerobot.import_ import Options, import_folder
from qtx_ros.errors import QtxError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("av")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def exported(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("export")
    for images in ("png", "video"):
        export(dataset, out / images, ExportOptions(images))
    return out


@pytest.fixture
def copied(exported, tmp_path):
    """A dataset to spoil."""
    return shutil.copytree(exported / "video", tmp_path / "lerobot")


@pytest.mark.parametrize("images", ["png", "video"])
def test_what_was_exported_comes_back(dataset, exported, tmp_path, images):
    import_folder(exported / images, tmp_path / "back", Options(codec="raw"))
    back = Dataset.open(tmp_path / "back", verify=True)
    assert back.spec == dataset.spec
    wanted = [piece for episode in dataset.episodes for piece in pieces(episode)]
    assert [e.folder.name for e in back.episodes] == ["good", "holes", "holes.16", "holes.7", "short"]
    found = sorted(back.episodes, key=lambda e: e.manifest["source"]["episode"])
    for piece, episode in zip(wanted, found, strict=True):
        there = piece.episode.columns.cut(piece.start, piece.stop)
        for name in Columns.DTYPES:
            np.testing.assert_array_equal(getattr(episode.columns, name), getattr(there, name), name)
        for camera in ("front", "wrist"):
            there = np.stack([piece.episode.frame(camera, i) for i in range(piece.start, piece.stop)])
            here = np.stack([episode.frame(camera, i) for i in range(len(piece))])
            assert numbers(here) == numbers(there)
            assert images == "video" or (here == there).all()


def test_labels_and_ends_come_back(exported, tmp_path):
    import_folder(exported / "video", tmp_path / "back")
    said = [e.manifest for e in Dataset.open(tmp_path / "back").episodes]
    assert [(m["label"], m["terminated"], m["truncated"]) for m in said] == [
        ("success", True, False),
        ("failure", False, True),
        ("failure", True, False),
        ("failure", False, True),
        ("", False, True),
    ]
    assert [m["instruction"] for m in said][:2] == ["push good", "push holes"]
    assert said[0]["source"]["exported"] == {"bag": "good"}


# --- datasets of others ------------------------------------------------------------------------------------------


def foreign(root, version="v3.0", names=("x", "y"), **columns):
    """Two episodes of 3 and 2 steps with PNG pictures of 6x8 px, as others write them: no column of ours."""
    rows, number = {"episode_index": [0, 0, 0, 1, 1], "frame_index": [0, 1, 2, 0, 1]}, np.arange(5, dtype=np.float32)
    rows |= {"index": list(range(5)), "task_index": [1, 1, 1, 0, 0], "timestamp": np.float32([0, 0.1, 0.2, 0, 0.1])}
    rows |= {"observation.state": list(np.stack([number, -number], 1))}
    rows |= {"action": list(np.stack([number / 4, 0 * number], 1))}
    pictures = [cv2.imencode(".png", np.full((6, 8, 3), 40 * i, np.uint8))[1].tobytes() for i in range(5)]
    rows |= {"observation.images.top": [{"bytes": data, "path": None} for data in pictures], **columns}
    features = {key: {"dtype": "int64", "shape": [1], "names": None} for key in rows}
    vector = {"dtype": "float32", "shape": [2], "names": {"motors": list(names)} if names else None}
    features |= {"observation.state": vector, "action": vector}
    features["observation.images.top"] = {"dtype": "image", "shape": [6, 8, 3], "names": ["height", "width", "channel"]}
    info = {"codebase_version": version, "fps": 10, "features": features, "robot_type": "so100", "chunks_size": 1000}
    info["data_path"] = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    if version != "v3.0":
        info["data_path"] = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
    write(root, info, rows)
    return root


def write(root, info, rows):
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    (root / "data/chunk-000").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info))
    lengths, table = [3, 2], pyarrow.table({key: pyarrow.array(list(values)) for key, values in rows.items()})
    if info["codebase_version"] == "v3.0":
        parquet.write_table(table, root / "data/chunk-000/file-000.parquet")
        tasks = pyarrow.table({"task_index": [0, 1], "task": ["close", "open"]})
        parquet.write_table(tasks, root / "meta/tasks.parquet")
        where = {"data/chunk_index": [0, 0], "data/file_index": [0, 0]}
        found = pyarrow.table({"episode_index": [0, 1], "length": lengths, **where})
        parquet.write_table(found, root / "meta/episodes/chunk-000/file-000.parquet")
        return
    for index, start in enumerate((0, 3)):
        parquet.write_table(table.slice(start, lengths[index]), root / f"data/chunk-000/episode_{index:06d}.parquet")
    lines = [json.dumps({"episode_index": i, "length": n, "tasks": ["?"]}) for i, n in enumerate(lengths)]
    (root / "meta/episodes.jsonl").write_text("\n".join(lines))
    (root / "meta/tasks.jsonl").write_text('{"task_index": 0, "task": "close"}\n{"task_index": 1, "task": "open"}\n')


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_a_robot_is_derived_from_the_features(tmp_path, version):
    import_folder(foreign(tmp_path / "in", version), tmp_path / "out", Options(size=(3, 4), codec="raw"))
    found = Dataset.open(tmp_path / "out", verify=True)
    robot = found.spec
    assert (robot.name, robot.rate, robot.state_names) == ("so100", 10.0, ("x", "y"))
    assert [(c.name, c.height, c.width) for c in robot.cameras] == [("top", 3, 4)]
    assert [(d.name, d.low, d.high, d.mode, d.limits) for d in robot.dimensions] == [
        ("x", 0.0, 1.0, "absolute", (0.0, 1.0)),
        ("y", -0.01, 0.01, "absolute", (-0.01, 0.01)),
    ]
    first, second = found.episodes
    assert [e.manifest["instruction"] for e in found.episodes] == ["open", "close"]
    assert second.columns.state.tolist() == [[3, -3], [4, -4]] and second.columns.tick.tolist() == [0, 100_000_000]
    assert second.frame("top", 1).tolist() == np.full((3, 4, 3), 160).tolist()
    assert np.isnan(first.columns.age).all() and not first.columns.intervention.any()
    assert (first.manifest["label"], first.manifest["terminated"], first.manifest["truncated"]) == ("", False, True)


@pytest.mark.parametrize(
    ("columns", "given", "labels", "last_rewards"),
    [
        ({}, "", ["", ""], [0, 0]),
        ({}, "success", ["success", "success"], [1, 1]),
        ({"next.success": [False, False, True, False, False]}, "success", ["success", "failure"], [1, 0]),
        ({"next.reward": np.float32([0, 0, 1, 0, 0.5])}, "", ["success", ""], [1, 0.5]),
        ({"next.reward": np.float32([0, 0, 1, 0, 0.5])}, "failure", ["success", "failure"], [1, 0]),
        ({"next.success": [False] * 5, "next.truncated": np.arange(5) == 2}, "", ["", "failure"], [0, 0]),
    ],
)
def test_labels_come_from_the_data_then_from_the_option(tmp_path, columns, given, labels, last_rewards):
    import_folder(foreign(tmp_path / "in", **columns), tmp_path / "out", Options(label=given))
    found = Dataset.open(tmp_path / "out").episodes
    assert [e.manifest["label"] for e in found] == labels
    assert [e.columns.reward[-1] for e in found] == last_rewards
    assert [e.manifest["terminated"] for e in found] == [bool(label) for label in labels]


def test_a_robot_file_picks_by_name(tmp_path):
    robot = json.loads(json.dumps(spec().to_dict()))
    robot["cameras"] = [{"name": "top", "topic": "image", "height": 6, "width": 4, "crop": [0, 2, 6, 4]}]
    robot["states"] = [{"topic": "joints", "names": ["y"]}]
    robot["commands"] = [{"topic": "arm", "dimensions": [{"name": n, "low": -1, "high": 1} for n in ("y", "x")]}]
    import_folder(foreign(tmp_path / "in"), tmp_path / "out", Options(type(spec()).from_dict(robot), codec="raw"))
    first = Dataset.open(tmp_path / "out").episodes[0]
    assert first.columns.state.tolist() == [[0], [-1], [-2]]
    assert first.columns.action.tolist() == [[0, 0], [0, 0.25], [0, 0.5]]
    assert first.frame("top", 1).shape == (6, 4, 3)


def test_a_step_with_no_number_is_invalid_and_has_no_frame(tmp_path):
    action = [[0.0, 0.0], [float("nan"), 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    import_folder(foreign(tmp_path / "in", action=action), tmp_path / "out")
    first = Dataset.open(tmp_path / "out").episodes[0]
    assert first.columns.valid.tolist() == [True, False, True]
    assert np.isnan(first.columns.state[1]).all() and np.isnan(first.columns.action[1]).all()
    with pytest.raises(QtxError, match="step 1 is invalid"):
        first.frame("top", 1)


def test_jpeg_pictures_are_read_too(tmp_path):
    jpeg = cv2.imencode(".jpg", np.full((6, 8, 3), 90, np.uint8))[1].tobytes()
    pictures = {"observation.images.top": [{"bytes": jpeg, "path": None}] * 5}
    import_folder(foreign(tmp_path / "in", **pictures), tmp_path / "out", Options(codec="raw"))
    assert Dataset.open(tmp_path / "out").episodes[1].frame("top", 1).tolist() == np.full((6, 8, 3), 90).tolist()


# --- bad ones ----------------------------------------------------------------------------------------------------


def change(root, **entries):
    path = root / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def png(height, width):
    return cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))[1].tobytes()


def refused(root, match, options=Options()):  # noqa: B008  frozen
    with pytest.raises(QtxError, match=match) as caught:
        import_folder(root, root.parent / "out", options)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in root.parent.iterdir()) == [root.name]


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"codebase_version": "v1.6"}, "is a LeRobot dataset 'v1.6', expected one of v3.0, v2.1, v2.0"),
        ({"fps": 0}, "fps is 0.0, expected a number in"),
        ({"fps": 15}, "has 15 steps a second, robot 'toy' has 10"),
        ({"features": []}, "features is \\[\\]"),
        ({"features": {"action": {"dtype": "float32", "shape": "2"}}}, "feature 'action' has the shape '2'"),
        ({"data_path": "/etc/{chunk_index}"}, "data_path is '/etc/{chunk_index}', no path with known placeholders"),
        ({"data_path": "{chunk_index:9999999999d}"}, "no path with known placeholders"),
        ({"video_path": "{video_key.__class__}"}, "no path with known placeholders"),
    ],
)
def test_a_wrong_info_is_one_sentence(copied, entries, sentence):
    change(copied, **entries)
    refused(copied, sentence)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("meta/info.json", "is not a LeRobot dataset: cannot read meta/info.json: No such file"),
        ("meta/tasks.parquet", "cannot read .*tasks.parquet"),
        ("meta/episodes/chunk-000/file-000.parquet", "meta/episodes holds no parquet file"),
        ("data/chunk-000/file-000.parquet", "file-000.parquet is missing"),
        ("videos/observation.images.wrist/chunk-000/file-000.mp4", "file-000.mp4 is missing"),
    ],
)
def test_a_missing_file_is_named(copied, name, sentence):
    (copied / name).unlink()
    refused(copied, sentence)


@pytest.mark.parametrize("name", ["meta/tasks.parquet", "data/chunk-000/file-000.parquet"])
def test_a_cut_off_table_is_one_sentence(copied, name):
    path = copied / name
    path.write_bytes(path.read_bytes()[:-100])
    refused(copied, f"cannot read .*{path.name}")


def test_a_cut_off_video_is_one_sentence(copied):
    path = copied / "videos/observation.images.front/chunk-000/file-000.mp4"
    path.write_bytes(path.read_bytes()[:5000])
    refused(copied, "cannot read the video .*file-000.mp4")


def test_a_video_without_the_frame_of_a_step_is_refused(copied):
    path = copied / "meta/episodes/chunk-000/file-000.parquet"
    table = parquet.read_table(path)
    key = "videos/observation.images.front/from_timestamp"
    later = pyarrow.array([start + 0.05 for start in table[key].to_pylist()])
    parquet.write_table(table.set_column(table.column_names.index(key), key, later), path)
    refused(copied, "has no frame at 0.0500 s, where step 0 of the episode should be")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "step 0 of episode 0 is not stored in the dataset's files"),
        (b"gif89a", "step 0 of episode 0: compressed image .* expected jpeg, png, webp or tiff"),
        (png(8, 6), r"has \(8, 6\) pixels, the feature says \(6, 8\)"),
        (png(6, 8)[:-20], "png image of .* bytes is cut off"),
    ],
)
def test_a_bad_picture_names_its_step(tmp_path, data, sentence):
    cells = [{"bytes": data, "path": "frame.png"}] * 5
    refused(foreign(tmp_path / "in", **{"observation.images.top": cells}), sentence)


def test_an_episode_that_stands_twice_is_refused(copied):
    path = copied / "meta/episodes/chunk-000/file-000.parquet"
    table = parquet.read_table(path)
    parquet.write_table(pyarrow.concat_tables([table, table.slice(1, 1)]), path)
    refused(copied, "episode 1 stands twice in the list of episodes")


def test_what_does_not_fit_a_robot_is_said(tmp_path):
    robot = spec().to_dict()
    refused(foreign(tmp_path / "in"), "has no camera 'front' of robot 'toy', it has top", Options(spec()))
    robot["cameras"] = [{"name": "top", "topic": "image", "height": 6, "width": 8}]
    options = Options(type(spec()).from_dict(robot))
    refused(tmp_path / "in", "'observation.state' has no entry 'a', it has x, y", options)


def test_entries_without_names_need_a_robot(tmp_path):
    root = foreign(tmp_path / "in", names=None)
    refused(root, "feature 'action' does not name its entries, name a robot with --robot")
    robot = spec().to_dict()
    robot["cameras"] = [{"name": "top", "topic": "image", "height": 6, "width": 8}]
    refused(root, "'observation.state' has 2 entries, the robot has 3", Options(type(spec()).from_dict(robot)))
    robot["states"] = [{"topic": "joints", "names": ["a", "b"]}]
    import_folder(root, tmp_path / "out", Options(type(spec()).from_dict(robot)))
    assert Dataset.open(tmp_path / "out").episodes[1].columns.state.tolist() == [[3, -3], [4, -4]]
