"""Training sets as LeRobot datasets v3.0: files, columns and frames, read back with pyarrow and PyAV alone."""

import json

import cv2
import numpy as np
import pytest
from lerobot_sets import add_episode, numbers, psnr, small_set, spec, valid_frames, valid_steps

from qtx_ros.data.dataset import Dataset
from qtx_ros.data.lerobot import stats, tables, video
from qtx_ros.data.lerobot.export import Options, export
from qtx_ros.data.lerobot.reader import LeRobotFolder
from qtx_ros.errors import QtxError

parquet = pytest.importorskip("pyarrow.parquet")
av = pytest.importorskip("av")

COLUMNS = {
    "observation.state": "state",
    "action": "action",
    "next.reward": "reward",
    "intervention": "intervention",
    "qtx.tick": "tick",
    "qtx.age": "age",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module", params=["h264", "av1", "png"])
def exported(request, dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "set"
    options = Options("png") if request.param == "png" else Options("video", request.param)
    assert export(dataset, out, options) == {"episodes": 5, "frames": 43, "tasks": 3, "left_out": 3}
    return out


def steps(root):
    return parquet.read_table(root / "data/chunk-000/file-000.parquet")


def episodes(root):
    return parquet.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()


def test_columns_are_those_of_the_set_bit_for_bit(dataset, exported):
    table = steps(exported)
    for key, column in COLUMNS.items():
        wanted = valid_steps(dataset, column)
        found = np.array(table[key].to_pylist(), wanted.dtype)
        np.testing.assert_array_equal(found, wanted, key)
    features = json.loads((exported / "meta/info.json").read_text())["features"]
    assert set(table.column_names) == {key for key, f in features.items() if f["dtype"] != "video"}
    assert features["observation.state"] == {"dtype": "float32", "shape": [3], "names": ["a", "b", "c"]}
    assert table["observation.state"].type.list_size == 3


def test_episodes_are_cut_at_gaps_and_never_filled(exported):
    rows = episodes(exported)
    assert [row["length"] for row in rows] == [20, 5, 8, 9, 1]
    assert [row["qtx/first_step"] for row in rows] == [0, 0, 7, 16, 0]
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in rows][3:] == [(33, 42), (42, 43)]
    table = steps(exported)
    assert table["index"].to_pylist() == list(range(43))
    assert table["frame_index"].to_pylist()[20:28] == [0, 1, 2, 3, 4, 0, 1, 2]
    assert table["next.done"].to_numpy().nonzero()[0].tolist() == [19, 24, 32, 41, 42]
    assert table["next.success"].to_numpy().nonzero()[0].tolist() == [19]
    assert table["next.truncated"].to_numpy().nonzero()[0].tolist() == [24, 32, 42]


def test_every_frame_is_the_one_of_its_step(dataset, exported):
    for camera, first in (("front", 0), ("wrist", 2000)):
        wanted, key = valid_frames(dataset, camera), f"observation.images.{camera}"
        path = exported / "videos" / key / "chunk-000/file-000.mp4"
        if not path.exists():
            cells = steps(exported)[key].to_pylist()
            found = np.stack([cv2.imdecode(np.frombuffer(cell["bytes"], np.uint8), 1)[..., ::-1] for cell in cells])
            np.testing.assert_array_equal(found, wanted)
            continue
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
        found = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
        assert numbers(found) == numbers(wanted) and numbers(wanted)[:2] == [first, first + 1]
        assert [round(frame.time * 10, 6) for frame in frames] == list(range(43))
        assert psnr(found, wanted) > 27


def test_tasks_are_a_table_pandas_reads(exported):
    table = parquet.read_table(exported / "meta/tasks.parquet")
    assert table.to_pydict() == {
        "task_index": [0, 1, 2],
        "__index_level_0__": ["push good", "push holes", "push short"],
    }
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["__index_level_0__"]


def test_statistics_are_of_all_steps(dataset, exported):
    found = json.loads((exported / "meta/stats.json").read_text())
    state = valid_steps(dataset, "state").astype(float)
    for name, wanted in (("min", state.min(0)), ("max", state.max(0)), ("mean", state.mean(0)), ("std", state.std(0))):
        np.testing.assert_allclose(found["observation.state"][name], wanted, rtol=1e-6)
    assert found["action"]["count"] == [43]
    pixels = valid_frames(dataset, "front") / 255
    np.testing.assert_allclose(np.ravel(found["observation.images.front"]["mean"]), pixels.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(np.ravel(found["observation.images.front"]["std"]), pixels.std((0, 1, 2)), rtol=1e-6)


def test_quantiles_of_one_episode():
    found = stats.number_stats(np.arange(1000.0))
    np.testing.assert_allclose([found[q][0] for q in ("q01", "q50", "q99")], [9, 499, 989], atol=0.3)


def test_colours_of_a_video_are_means_of_blocks():
    frame = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    wanted = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuv420p", interpolation="AREA").to_ndarray()
    assert np.abs(video.yuv420(frame).astype(int) - wanted).max() <= 3


def test_full_files_are_followed_by_others(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "DATA_MB", 0)
    monkeypatch.setattr(video, "LONGEST", 3.0)
    dataset = small_set(tmp_path / "set")
    export(dataset, tmp_path / "out")
    rows = episodes(tmp_path / "out")
    key = "videos/observation.images.wrist/"
    assert [row["data/file_index"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row[f"{key}file_index"] for row in rows] == [0, 0, 1, 1, 1]
    assert [round(row[f"{key}from_timestamp"], 6) for row in rows] == [0, 2, 0, 0.8, 1.7]
    assert len(list((tmp_path / "out/data/chunk-000").iterdir())) == 5


def test_episodes_are_written_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("qtx_ros.data.lerobot.export.ROWS_AT_ONCE", 2)
    dataset = small_set(tmp_path / "set")
    export(dataset, tmp_path / "out")
    paths = sorted((tmp_path / "out/meta/episodes/chunk-000").iterdir())
    found = [parquet.read_table(path)["episode_index"].to_pylist() for path in paths]
    assert found == [[0, 1], [2, 3], [4]]
    assert LeRobotFolder(tmp_path / "out").entries[3].length == 9


def test_no_path_of_the_exporting_machine_is_exported(tmp_path):
    source = {"bag": "/home/me/secret/bag_1", "key": {"sha256": "abc"}, "comment": "mine"}
    add_episode(tmp_path / "set", spec(), "one", 3, source=source)
    export(Dataset.open(tmp_path / "set"), tmp_path / "out")
    assert json.loads(episodes(tmp_path / "out")[0]["qtx/source"]) == {"bag": "bag_1", "sha256": "abc"}


def test_ages_nobody_knows_are_no_column(tmp_path):
    dataset = small_set(tmp_path / "set")
    dataset.episodes[0].columns.age[:] = np.nan
    export(dataset, tmp_path / "out")
    assert "qtx.age" not in steps(tmp_path / "out").column_names


def test_an_existing_folder_is_left_alone_and_a_failed_export_leaves_nothing(tmp_path):
    dataset = small_set(tmp_path / "set")
    (tmp_path / "there").mkdir()
    with pytest.raises(QtxError, match="there exists already"):
        export(dataset, tmp_path / "there")
    (dataset.episodes[2].folder / "frames_wrist.npy").unlink()
    with pytest.raises(QtxError, match="frames"):
        export(Dataset.open(tmp_path / "set"), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "there"]


def test_an_encoder_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(video.CODECS, "av1", video.Codec("no_such_encoder", "av1", {}))
    dataset = small_set(tmp_path / "set")
    with pytest.raises(QtxError, match="has no encoder 'no_such_encoder', use another --codec"):
        export(dataset, tmp_path / "out", Options(codec="av1"))


def test_what_a_video_cannot_hold_is_said(tmp_path):
    robot = spec(size=(65, 97))
    add_episode(tmp_path / "set", robot, "odd", 2)
    with pytest.raises(QtxError, match="65x97 px, a video needs even sizes; export it with --images png"):
        export(Dataset.open(tmp_path / "set"), tmp_path / "out")
    assert export(Dataset.open(tmp_path / "set"), tmp_path / "out", Options("png"))["frames"] == 2
    with pytest.raises(QtxError, match="images is 'gif', expected one of video, png"):
        Options("gif")
