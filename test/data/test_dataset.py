"""Windows: history, n-step sums, ends, gaps, filters, order. Expected numbers are worked out by hand."""

import numpy as np
import pytest

from qtx_ros.data.dataset import Dataset, Windows, returns_to_go, write_index
from qtx_ros.data.episode import Columns, Episode, write_episode
from qtx_ros.errors import QtxError
from qtx_ros.preprocess import to_bins
from qtx_ros.spec import ActionDimension, Camera, CommandStream, Spec, StateStream

SPEC = Spec(
    name="toy",
    rate=10.0,
    history=3,
    cameras=(Camera("front", "image", 8, 8), Camera("wrist", "image2", 8, 8)),
    states=(StateStream("joints", ("a", "b")),),
    commands=(
        CommandStream("command", (ActionDimension("a", -1, 1, 5, "delta"), ActionDimension("grip", -1, 1, 3))),
    ),
)


def frames(count: int, base: int = 0) -> dict:
    """Step i is a flat picture of grey level base + i (front) and 100 + base + i (wrist)."""
    levels = np.arange(base, base + count, dtype=np.uint8)[:, None, None, None]
    front = np.broadcast_to(levels, (count, 8, 8, 3))
    return {"front": front, "wrist": front + np.uint8(100)}


def episode(root, name, count, base=0, invalid=(), label="success", codec="raw", **info):
    valid = np.ones(count, bool)
    valid[list(invalid)] = False
    number = np.arange(count, dtype=float)
    state = np.stack([number, -number], 1)
    action = np.stack([np.full(count, 0.5), np.full(count, -1.0)], 1)
    state[~valid], action[~valid] = np.nan, np.nan
    reward = np.zeros(count)
    reward[-1] = label == "success"
    columns = Columns(state, action, reward, np.arange(count) * 100_000_000, valid, np.zeros((count, 3)))
    done = label in ("success", "failure")
    facts = {"instruction": "push", "label": label, "terminated": done, "truncated": not done, **info}
    write_episode(root, name, SPEC, frames(count, base), columns, facts, codec)
    write_index(root, SPEC)


def grey(batch, window="here") -> np.ndarray:
    """Grey level of the front camera in the windows of s or of s′, [B, T]."""
    return batch["frames"][:, 0, 0, 0, 0].astype(int)[batch[window]]


def test_first_window_repeats_the_first_frame(tmp_path):
    episode(tmp_path, "e", 6)
    batch = Windows(Dataset.open(tmp_path)).batch([0])
    assert grey(batch).tolist() == [[0, 0, 0]] and grey(batch, "after").tolist() == [[0, 0, 1]]
    assert batch["frames"].shape == (2, 2, 8, 8, 3) and batch["frames"].dtype == np.uint8
    assert batch["frames"][1, 1, 0, 0, 0] == 101
    assert batch["state"].tolist() == [[0, 0], [1, -1]]


def test_last_window_of_a_success_is_terminal_and_earns_the_reward(tmp_path):
    episode(tmp_path, "e", 6)
    windows = Windows(Dataset.open(tmp_path), steps=2, discount=0.5)
    batch = windows.batch(np.arange(len(windows)))
    assert batch["terminal"].tolist() == [0, 0, 0, 0, 1, 1]
    assert batch["reward"].tolist() == [0, 0, 0, 0, 0.5, 1]
    assert batch["discount"].tolist() == [0.25, 0.25, 0.25, 0.25, 0.25, 0.5]
    assert batch["returns"].tolist() == [2**-5, 2**-4, 2**-3, 2**-2, 2**-1, 1]
    assert grey(batch)[3].tolist() == [1, 2, 3] and grey(batch, "after")[3].tolist() == [3, 4, 5]


def test_truncated_episode_never_bootstraps_beyond_its_frames(tmp_path):
    episode(tmp_path, "e", 6, label="")
    windows = Windows(Dataset.open(tmp_path), steps=2)
    batch = windows.batch(np.arange(len(windows)))
    assert windows.starts.tolist() == [0, 1, 2, 3]
    assert not batch["terminal"].any()


@pytest.mark.parametrize(("failures", "starts"), [("terminal", [0, 1, 2, 3]), ("truncated", [0, 1, 2])])
def test_failures_end_as_asked(tmp_path, failures, starts):
    episode(tmp_path, "e", 4, label="failure")
    windows = Windows(Dataset.open(tmp_path), failures=failures)
    assert windows.starts.tolist() == starts
    assert windows.batch(np.arange(len(windows)))["terminal"].any() == (failures == "terminal")


def test_windows_never_cross_a_gap(tmp_path):
    episode(tmp_path, "e", 8, invalid=[3])
    windows = Windows(Dataset.open(tmp_path))
    batch = windows.batch(np.arange(len(windows)))
    assert windows.starts.tolist() == [0, 1, 4, 5, 6, 7]
    assert grey(batch)[2].tolist() == [4, 4, 4] and grey(batch, "after")[2].tolist() == [4, 4, 5]
    assert np.isfinite(batch["state"]).all() and (batch["bins"] >= 0).all()
    assert batch["returns"][0] == pytest.approx(0.98**7)


def test_windows_never_cross_an_episode(tmp_path):
    episode(tmp_path, "a", 3)
    episode(tmp_path, "b", 3, base=10)
    windows = Windows(Dataset.open(tmp_path))
    batch = windows.batch([3, 2])
    assert grey(batch).tolist() == [[10, 10, 10], [0, 1, 2]] and grey(batch, "after")[0].tolist() == [10, 10, 11]


def test_bins_are_those_of_preprocess(tmp_path):
    episode(tmp_path, "e", 3)
    assert Windows(Dataset.open(tmp_path)).batch([1])["bins"].tolist() == [to_bins(SPEC, [0.5, -1.0]).tolist()]


def test_idle_steps_are_dropped_but_a_moving_gripper_is_kept(tmp_path):
    action = np.array([[0.5, -1], [0, -1], [0, -1], [0, 1], [0, 1.0]])
    columns = Columns(
        np.zeros((5, 2)), action, np.zeros(5), np.arange(5), np.ones(5, bool), np.zeros((5, 3))
    )
    facts = {"instruction": "", "label": "failure", "terminated": True, "truncated": False}
    write_episode(tmp_path, "e", SPEC, frames(5), columns, facts)
    write_index(tmp_path, SPEC)
    assert Windows(Dataset.open(tmp_path), drop_idle=True).starts.tolist() == [0, 3]


def test_filters_by_label_and_instruction(tmp_path):
    episode(tmp_path, "a", 3, instruction="push")
    episode(tmp_path, "b", 3, instruction="pull", label="failure")
    assert [e.folder.name for e in Dataset.open(tmp_path, labels=["failure"]).episodes] == ["b"]
    assert [e.folder.name for e in Dataset.open(tmp_path, instructions=["push"]).episodes] == ["a"]
    with pytest.raises(QtxError, match="none of 2 episodes"):
        Dataset.open(tmp_path, labels=["failure"], instructions=["push"])


def test_batches_are_deterministic_and_resumable(tmp_path):
    episode(tmp_path, "e", 11)
    windows = Windows(Dataset.open(tmp_path))
    stream = windows.batches(4, seed=3)
    whole = [grey(next(stream)) for _ in range(7)]
    stream.close()
    resumed = windows.batches(4, seed=3, step=5, prefetch=0)
    assert all((a == b).all() for a, b in zip(whole[5:], [grey(next(resumed)) for _ in range(2)], strict=True))
    assert not all((a == grey(windows.batch(windows.draw(4, 4, i)))).all() for i, a in enumerate(whole))


def test_an_epoch_draws_every_transition_once(tmp_path):
    episode(tmp_path, "e", 10)
    windows = Windows(Dataset.open(tmp_path))
    drawn = np.concatenate([windows.draw(4, 0, step) for step in range(5)])
    assert np.bincount(drawn).tolist() == [2] * 10


@pytest.mark.parametrize("chunk", [3, 16])
def test_chunks_draw_every_transition_once_and_are_resumable(tmp_path, chunk):
    for k, count in enumerate((10, 7)):
        episode(tmp_path, f"e{k}", count, base=20 * k, invalid=[4])
    windows = Windows(Dataset.open(tmp_path), chunk=chunk)
    drawn = np.concatenate([windows.draw(4, 5, step) for step in range(13)]).reshape(4, 13)  # epochs of 13 transitions
    assert (np.sort(drawn) == np.arange(13)).all() and (drawn[0] != drawn[1]).any()
    assert Windows(windows.dataset, chunk=chunk).draw(4, 5, 9).tolist() == drawn.ravel()[36:40].tolist()
    assert (np.diff(drawn) == 1).mean() >= 0.5


def test_chunks_are_cut_elsewhere_in_every_epoch(tmp_path):
    episode(tmp_path, "e", 64)
    windows = Windows(Dataset.open(tmp_path), chunk=8)
    orders = [windows.draw(64, 0, epoch) for epoch in range(16)]
    cuts = {int(b) % 8 for order in orders for a, b in zip(order, order[1:], strict=False) if b != a + 1}
    assert cuts == set(range(8))


def test_a_chunk_holds_each_frame_once(tmp_path):
    episode(tmp_path, "e", 40)
    batch = Windows(Dataset.open(tmp_path), history=6, chunk=16).batch(np.arange(10, 26))
    assert grey(batch)[0].tolist() == [5, 6, 7, 8, 9, 10] and grey(batch, "after")[15].tolist() == list(range(21, 27))
    assert len(batch["frames"]) == 22 and (batch["owner"] == 0).all()


def test_chunks_end_at_segments_and_at_their_length(tmp_path):
    episode(tmp_path, "a", 8, invalid=[3])
    episode(tmp_path, "b", 6)
    windows = Windows(Dataset.open(tmp_path), chunk=4)
    assert windows.starts.tolist() == [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    batch = windows.batch(np.arange(12))
    heads = batch["owner"][batch["here"][:, -1]]
    assert heads.tolist() == [0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 10, 10]
    assert (batch["owner"][batch["here"]] == heads[:, None]).all()
    assert (batch["owner"][batch["after"]] == heads[:, None]).all()


def test_neighbours_drawn_by_chance_share_nothing_without_chunks(tmp_path):
    episode(tmp_path, "e", 10)
    batch = Windows(Dataset.open(tmp_path)).batch([4, 5])
    assert len(batch["frames"]) == 8 and sorted(set(batch["owner"].tolist())) == [0, 1]


def test_frames_between_two_far_states_are_not_read(tmp_path):
    episode(tmp_path, "e", 20)
    batch = Windows(Dataset.open(tmp_path), history=2, steps=8).batch([5])
    assert batch["frames"][:, 0, 0, 0, 0].tolist() == [4, 5, 12, 13]


def test_cached_frames_equal_decoded_ones(tmp_path):
    episode(tmp_path, "e", 9, invalid=[4], codec="jpeg")
    dataset = Dataset.open(tmp_path)
    everything = np.arange(len(Windows(dataset)))
    plain, cached = Windows(dataset).batch(everything), Windows(dataset, cache=True).batch(everything)
    assert (plain["frames"] == cached["frames"]).all()


@pytest.mark.parametrize("codec", ["jpeg", "raw"])
def test_frames_of_a_batch_stay_while_anything_of_it_is_held(tmp_path, codec):
    episode(tmp_path, "e", 30, codec=codec)
    windows = Windows(Dataset.open(tmp_path))
    expected = windows.batch(np.arange(4))["frames"][1:, 1].copy()
    view = windows.batch(np.arange(4))["frames"][1:, 1]  # the batch itself is gone
    later = [windows.batch(np.arange(k, k + 4))["frames"] for k in range(9, 20)]
    assert (view == expected).all() and len({frames.ctypes.data for frames in later}) == len(later)


def test_memory_of_a_batch_is_used_again_when_nothing_of_it_is_held(tmp_path):
    episode(tmp_path, "e", 30)
    windows = Windows(Dataset.open(tmp_path))
    addresses = {windows.batch(np.arange(k, k + 4))["frames"].ctypes.data for k in range(8, 17)}
    assert len(addresses) == 1


def test_a_failing_prefetch_raises_in_the_caller(tmp_path):
    episode(tmp_path, "e", 5, codec="jpeg")
    dataset = Dataset.open(tmp_path)
    (tmp_path / "e" / "frames_front.bin").write_bytes(b"\0" * 10_000)
    with pytest.raises(QtxError, match="does not decode"):
        next(Windows(dataset).batches(2))


def test_verify_names_a_changed_file(tmp_path):
    episode(tmp_path, "e", 5)
    Dataset.open(tmp_path, verify=True)
    path = tmp_path / "e" / "reward.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(QtxError, match=r"reward\.npy"):
        Dataset.open(tmp_path, verify=True)


@pytest.mark.parametrize("codec", ["jpeg", "raw"])
def test_frames_survive_storing(tmp_path, codec):
    picture = np.random.default_rng(0).integers(0, 256, (2, 2, 3)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
    columns = Columns(*(np.zeros((1, n)) for n in (2, 2)), np.zeros(1), np.zeros(1), np.ones(1, bool), np.zeros((1, 3)))
    facts = {"instruction": "", "label": "", "terminated": False, "truncated": True}
    write_episode(tmp_path, "e", SPEC, {"front": picture[None], "wrist": picture[None]}, columns, facts, codec)
    stored = Episode(tmp_path / "e", SPEC).frame("front", 0).astype(int)
    assert np.abs(stored - picture).max() <= (12 if codec == "jpeg" else 0)


def test_returns_to_go_by_hand():
    assert returns_to_go(np.array([0, 1, 0, 1.0]), 0.5).tolist() == [0.625, 1.25, 0.5, 1.0]


def test_a_batch_of_several_steps_may_say_what_the_first_of_them_brought(tmp_path):
    episode(tmp_path, "e", 6)
    windows, single = Windows(Dataset.open(tmp_path), steps=3, near=True), Windows(Dataset.open(tmp_path))
    everything = np.arange(len(windows))
    batch, one = windows.batch(everything), single.batch(everything)
    assert len(everything) == 6 and batch["near_reward"].tolist() == [0, 0, 0, 0, 0, 1]
    assert batch["near_terminal"].tolist() == one["terminal"].tolist() == [0, 0, 0, 0, 0, 1]
    assert grey(batch, "near").tolist() == grey(one, "after").tolist()
    assert "near" not in single.batch([0])
