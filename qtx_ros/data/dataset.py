"""A training set: its episodes, and the windows a learner draws from them. Plain NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from qtx_ros.data.episode import Episode
from qtx_ros.data.frames import Frames
from qtx_ros.data.index import read_index
from qtx_ros.data.index import write_index as write_index  # part of this module's face
from qtx_ros.data.prefetch import Prefetch
from qtx_ros.errors import QtxError
from qtx_ros.preprocess import history_indices, text_tokens, to_bins, zero_bin
from qtx_ros.spec import Spec

FAILURES = ("terminal", "truncated")


class Dataset:
    """The episodes of one or more training sets that share one spec."""

    def __init__(self, spec: Spec, episodes: Sequence[Episode]) -> None:
        self.spec, self.episodes = spec, list(episodes)

    @classmethod
    def open(
        cls,
        path: str | Path | Sequence[str | Path],
        verify: bool = False,
        labels: Sequence[str] = (),
        instructions: Sequence[str] = (),
    ) -> Dataset:
        """Read one training set or several. `verify` compares every file with its hash; `labels` and `instructions`
        keep only episodes that have one of them."""
        paths = [Path(p) for p in ([path] if isinstance(path, (str, Path)) else path)]
        if not paths:
            raise QtxError("no training set given")
        spec = read_index(paths[0])[0]
        episodes = []
        for folder in paths:
            other, names = read_index(folder)
            if other.digest() != spec.digest():
                raise QtxError(f"{folder} holds another robot description than {paths[0]}, convert both with one")
            episodes += [Episode(folder / name, spec) for name in names]
        kept = [e for e in episodes if _wanted(e, "label", labels) and _wanted(e, "instruction", instructions)]
        if not kept:
            raise QtxError(f"{', '.join(map(str, paths))}: none of {len(episodes)} episodes fits the filter")
        for episode in kept if verify else ():
            episode.verify()
        return cls(spec, kept)

    def __len__(self) -> int:
        return len(self.episodes)


def _wanted(episode: Episode, key: str, values: Sequence[str]) -> bool:
    return not values or episode.manifest[key] in values


class Windows:
    """The transitions of a dataset, each with `history` frames before and `steps` after it.

    A transition starts at a valid step. It is terminal if the episode ends by itself within `steps`; otherwise all
    frames up to s′ must exist, so the last `steps` transitions before a gap or a truncated end are left out.
    `failures` says whether a failed episode ends by itself ("terminal") or was merely cut ("truncated"). `drop_idle`
    leaves out transitions whose action moves nothing. `cache` decodes every frame once into memory. Up to `chunk`
    transitions that follow each other are drawn together and share their frames. `read` makes an array of an
    instruction, the batch's `tokens`. `memory`: steps before s whose states and bins a batch holds, too. `near`: of
    several `steps` a batch also says what the first one brought and what was seen after it. `numbered`: a batch also
    says which transitions it holds.
    """

    def __init__(
        self,
        dataset: Dataset,
        history: int | None = None,
        steps: int = 1,
        discount: float = 0.98,
        failures: str = "terminal",
        drop_idle: bool = False,
        cache: bool = False,
        chunk: int = 1,
        read: Callable[[str], np.ndarray] = text_tokens,
        memory: int = 0,
        near: bool = False,
        numbered: bool = False,
    ) -> None:
        if failures not in FAILURES:
            raise QtxError(f"failures is {failures!r}, expected one of {', '.join(FAILURES)}")
        if steps < 1 or not 0 <= discount <= 1:
            raise QtxError(f"steps is {steps} and discount {discount}, expected at least 1 and a number in [0, 1]")
        if chunk < 1:
            raise QtxError(f"chunk is {chunk}, expected at least 1 transition")
        self.dataset, self.spec, self.chunk, self._read = dataset, dataset.spec, chunk, read
        self.memory, self.near, self.numbered = memory, near, numbered
        self.history, self.steps, self.discount = history or dataset.spec.history, steps, discount
        self._frames = Frames(self.spec, dataset.episodes)
        self._collect(failures)
        self.starts = self._starts(drop_idle)
        if not len(self.starts):
            raise QtxError(f"{len(dataset)} episodes hold no window of {self.history} + {steps} valid steps")
        self._orders: dict[tuple[int, int], np.ndarray] = {}
        self._cache = self._frames.read_all(self.valid) if cache else None

    def __len__(self) -> int:
        """Number of transitions."""
        return len(self.starts)

    # --- tables over all steps ("rows") of all episodes, one after another ---

    def _collect(self, failures: str) -> None:
        episodes = self.dataset.episodes
        lengths = np.array([len(e) for e in episodes])
        self._first = np.concatenate([[0], np.cumsum(lengths)])  # row of each episode's first step
        self._episode = np.repeat(np.arange(len(episodes)), lengths)
        self.state = np.concatenate([e.columns.state for e in episodes])
        self.action = np.concatenate([e.columns.action for e in episodes])
        self.reward = np.concatenate([e.columns.reward for e in episodes])
        self.valid = np.concatenate([e.columns.valid for e in episodes])
        self.bins = np.full(self.action.shape, -1, np.int64)
        self.bins[self.valid] = to_bins(self.spec, self.action[self.valid])
        self.returns = np.concatenate([returns_to_go(e.columns.reward, self.discount) for e in episodes])
        read = {text: self._read(text) for text in {e.manifest["instruction"] for e in episodes}}
        self._tokens = np.stack([read[e.manifest["instruction"]] for e in episodes])
        self._success = np.array([e.manifest["label"] == "success" for e in episodes])
        ends = [_ends_by_itself(e.manifest, failures) for e in episodes]
        self._segment_start, self._segment_stop = _segments(self.valid, self._episode)
        last = self._segment_stop == self._first[1:][self._episode]
        self._terminal_end = np.array(ends)[self._episode] & last

    def _starts(self, drop_idle: bool) -> np.ndarray:
        """Rows at which a transition can start, int64 [transitions]."""
        rows = np.arange(len(self.valid))
        usable = self.valid & (self._terminal_end | (rows + self.steps < self._segment_stop))
        if drop_idle:
            usable &= ~self._idle()
        return np.flatnonzero(usable)

    def _idle(self) -> np.ndarray:
        """Rows whose action keeps still: delta dimensions in the zero bin, absolute ones as in the step before."""
        delta = np.array([d.mode == "delta" for d in self.spec.dimensions])
        zero = np.array([zero_bin(d) if d.around_zero else -1 for d in self.spec.dimensions])
        if not delta.any():
            return np.zeros(len(self.bins), bool)
        same = (self.bins == np.roll(self.bins, 1, 0)) & (np.arange(len(self.bins)) > self._segment_start)[:, None]
        return np.where(delta, self.bins == zero, same).all(1)

    # --- batches ---

    def places(self, transitions: np.ndarray, heads: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        """The unique frames of a batch and where its windows find them.

        Returns int64 rows [U], counted through all episodes, owner [U], the first transition of the chunk that each
        belongs to, and the indices into these U of the windows of s, of s′ and, with `near`, of one step after s:
        here, after and near [B, T].
        """
        heads = self._heads(transitions) if heads is None else heads
        start = self.starts[transitions]
        first, stop = self._segment_start[start], self._segment_stop[start]
        steps = np.array([0, self.steps, 1][: 2 + self.near])
        ends = np.minimum(start + steps[:, None], stop - 1)  # [2 or 3, B], the last frame of each window
        windows = first[:, None] + history_indices(ends - first, self.history)  # [2 or 3, B, T]
        count = len(self.valid)
        keys = heads[:, None] * count + windows
        unique, index = np.unique(keys, return_inverse=True)
        return unique % count, unique // count, *index.reshape(keys.shape)

    def _heads(self, transitions: np.ndarray) -> np.ndarray:
        """The place of each transition's first neighbour of its chunk in the batch, int64 [B]."""
        transitions, place = np.asarray(transitions), np.arange(len(transitions))
        segment = self._segment_start[self.starts[transitions]]
        new = np.ones(len(transitions), bool)
        new[1:] = (np.diff(transitions) != 1) | (np.diff(segment) != 0)
        run = np.maximum.accumulate(np.where(new, place, 0))
        return place - (place - run) % self.chunk

    def batch(self, transitions: np.ndarray, share: tuple[int, int] = (0, 1)) -> dict[str, np.ndarray]:
        """The batch of the given transition numbers, int [B]: the arrays `docs/data.md` lists.

        `share`: of process r of R the r-th part of it, in which every random draw is that of the whole batch.
        """
        first, end = (len(transitions) * rank // share[1] for rank in (share[0], share[0] + 1))
        draw, transitions = self._heads(transitions)[first:end], transitions[first:end]
        start = self.starts[transitions]
        stop = self._segment_stop[start]
        rows, owner, here, after, *near = self.places(transitions, np.maximum(draw - first, 0))
        powers = self.discount ** np.arange(self.steps)
        ahead = start[:, None] + np.arange(self.steps)  # [B, n]
        rewards = np.where(ahead < stop[:, None], self.reward[np.minimum(ahead, stop[:, None] - 1)], 0)
        taken = np.minimum(self.steps, stop - start)
        episode = self._episode[start]
        return {
            "frames": self._frames.read(rows) if self._cache is None else self._frames.copy(self._cache, rows),
            "state": self.state[rows],
            "owner": owner,
            "draw": draw,
            "here": here,
            "after": after,
            "bins": self.bins[start],
            "reward": (rewards * powers).sum(1).astype(np.float32),
            "discount": (self.discount**taken).astype(np.float32),
            "terminal": (start + self.steps >= stop).astype(np.float32),
            "returns": self.returns[start].astype(np.float32),
            "tokens": self._tokens[episode],
            "success": self._success[episode],
            **(self._past(start) if self.memory else {}),
            **(self._first_step(start, *near) if near else {}),
            **({"number": np.asarray(transitions, np.int64)} if self.numbered else {}),
        }

    def _first_step(self, start: np.ndarray, near: np.ndarray) -> dict[str, np.ndarray]:
        """Of the transitions of one step from `start`, what a batch says of those of several."""
        ends = (start + 1 >= self._segment_stop[start]).astype(np.float32)
        return {"near": near, "near_reward": self.reward[start].astype(np.float32), "near_terminal": ends}

    def _past(self, start: np.ndarray) -> dict[str, np.ndarray]:
        """The M steps before s and the n after them: bins int64 [B, M + n, D], −1 for none, and state [B, M + n, S]."""
        rows = start[:, None] + np.arange(-self.memory, self.steps)
        known = (rows >= self._segment_start[start][:, None]) & (rows < self._segment_stop[start][:, None])
        rows, known = np.where(known, rows, start[:, None]), known[..., None]
        return {"past_bins": np.where(known, self.bins[rows], -1), "past_state": np.where(known, self.state[rows], 0)}

    def draw(self, size: int, seed: int, step: int) -> np.ndarray:
        """Transition numbers int64 [size] of a training step: shuffled epochs, fixed by the seed and the step."""
        epochs, offsets = np.divmod(np.arange(step * size, (step + 1) * size), len(self))
        return np.concatenate([self._order(seed, e)[offsets[epochs == e]] for e in np.unique(epochs)])

    def _order(self, seed: int, epoch: int) -> np.ndarray:
        key, before = (seed, int(epoch)), self._orders
        found = before.get(key)
        if found is None:  # replaced as a whole: several threads draw
            chunks = self._cut(key)
            order = np.random.default_rng(key).permutation(chunks[-1] + 1)
            rank = np.argsort(order)  # of each chunk in the epoch
            found = np.argsort(rank[chunks], kind="stable")
            self._orders = {k: v for k, v in before.items() if k == (seed, int(epoch) - 1)} | {key: found}
        return found

    def _cut(self, key: tuple[int, int]) -> np.ndarray:
        """The chunk of each transition in an epoch, int64 [transitions], ascending; segments are cut at random."""
        segment = self._segment_start[self.starts]
        first = np.flatnonzero(np.append(True, np.diff(segment) != 0))
        run = np.searchsorted(first, np.arange(len(self)), "right") - 1
        offset = np.random.default_rng((*key, self.chunk)).integers(self.chunk, size=len(first))
        part = (np.arange(len(self)) - first[run] + offset[run]) // self.chunk
        return np.cumsum(np.append(False, (np.diff(part) != 0) | (np.diff(run) != 0)))

    def batches(
        self, size: int, seed: int = 0, step: int = 0, prefetch: int = 2, share: tuple[int, int] = (0, 1)
    ) -> Iterator[dict[str, np.ndarray]]:
        """Endless batches of `size` from training step `step` on, up to `prefetch` of them prepared ahead.

        (seed, step) is the whole state: a run resumed at a step sees what it would have seen. Process r of R takes the
        `share` (r, R) of each.
        """

        def make(k: int) -> dict[str, np.ndarray]:
            return self.batch(self.draw(size, seed, step + k), share)

        if prefetch < 1:
            for k in itertools.count():
                yield make(k)
        with Prefetch(make, prefetch) as ready:
            while True:
                yield ready.get()


# --- parts -------------------------------------------------------------------------------------------------------

def returns_to_go(reward: np.ndarray, discount: float) -> np.ndarray:
    """Σ γ^k r[i + k] to the end of the episode, float64 [N], for each step i."""
    returns, total = np.zeros(len(reward)), 0.0
    for step in range(len(reward) - 1, -1, -1):
        total = reward[step] + discount * total
        returns[step] = total
    return returns


def _segments(valid: np.ndarray, episode: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First row and row after the last of the run of valid steps each row lies in, int64 [rows] each."""
    new = np.ones(len(valid), bool)
    new[1:] = (valid[1:] != valid[:-1]) | (episode[1:] != episode[:-1])
    starts = np.flatnonzero(new)
    run = np.cumsum(new) - 1
    return starts[run], np.append(starts[1:], len(valid))[run]


def _ends_by_itself(manifest: dict, failures: str) -> bool:
    return manifest["terminated"] and (manifest["label"] != "failure" or failures == "terminal")
