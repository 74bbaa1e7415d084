"""Information sets and the search among critics: formulas by hand, what delusion costs, and that a run survives it."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from mdp import Mdp, best_completions, optimal, random_mdp, windows
from small_run import SMALL, small_config, small_spec, write_small_set
from table import Table, second_derivatives, whole_batch

from qtx_ros import cli, config
from qtx_ros.data.dataset import Dataset
from qtx_ros.deploy.bundle import load_bundle
from qtx_ros.errors import QtxError
from qtx_ros.learn import checkpoint, export, information
from qtx_ros.learn.information import Search
from qtx_ros.learn.methods import METHODS
from qtx_ros.learn.methods_q import Backup
from qtx_ros.learn.parallel import World
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.learn.trainer import Trainer, open_windows
from qtx_ros.model.config import ModelConfig

PLAIN = TrainConfig(alpha=0.0, monte_carlo=False, value_low=-1.0, value_high=1.0, gamma=0.9)
SEARCHING = replace(PLAIN, search=10, consistency=0.01, model=ModelConfig(critics=4))
SMALL_SEARCH = {"search": 2, "consistency": 0.5, "model": replace(SMALL, critics=3)}


# --- formulas ---

def test_a_backup_takes_the_value_of_the_bin_that_it_committed_to():
    q = torch.tensor([[[1.0, 3.0], [5.0, 4.0]]]).repeat(2, 1, 1)  # [B, D, M]: of dimension 2 at s, of 1 at s′
    assumed = torch.tensor([[0, 1], [1, 0]])
    reward, discount, terminal = torch.tensor([2.0, 7.0]), torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0])
    found = information.committed_targets(q, assumed, reward, discount, terminal)
    assert found.tolist() == [[1.0, 2.0 + 0.5 * 4.0], [3.0, 7.0]]


def test_the_score_is_the_value_less_the_errors():
    q = torch.tensor([[[0.5, 2.0], [1.0, 4.0]]])  # [B, D, M] at s
    backup = Backup(torch.tensor([[1.5, 2.0]]), torch.zeros(1, 2), torch.ones(1, 2))
    batch = {"bins": torch.tensor([[0, 1]])}  # their Q: 0.5 and 4
    terms, settings = {"consistency": torch.tensor(3.0)}, TrainConfig(consistency=0.1)
    found = information.score(q, terms, backup, batch, settings)
    assert found.item() == pytest.approx(2.0 - (1.0**2 + 2.0**2) / 2 - 0.1 * 3.0)


def test_the_penalty_is_towards_the_committed_bin():
    q, after = torch.tensor([[[9.0, 9.0, 9.0], [1.0, 4.0, 2.0]]]), torch.tensor([[0.0, 5.0, 6.0]])
    backup = Backup(torch.zeros(1, 2), torch.tensor([[0, 1]]), torch.ones(1, 2))
    found = information.critic_terms(q, after, backup, {"bins": torch.zeros(1, 2, dtype=torch.int64)}, PLAIN)
    assert found["consistency"].item() == pytest.approx(((4 - 1) + (2 - 1) + (6 - 5)) / 2)


def test_bins_are_drawn_by_their_softmax():
    q = torch.tensor([0.0, 0.1, 0.3, float("-inf")]).expand(20000, 4)
    found = information.drawn(q, 0.2, torch.Generator().manual_seed(0)).bincount(minlength=4) / 20000
    torch.testing.assert_close(found, torch.softmax(q[0] / 0.2, 0), atol=0.02, rtol=0)


def search_of(critics: int = 2, length: int = 2) -> Search:
    return Search(TrainConfig(search=length, consistency=1.0, model=ModelConfig(critics=critics)))


def test_a_commitment_stands_until_the_iteration_ends():
    search, draw = search_of(3), torch.Generator().manual_seed(0)
    search.cover(5, 1)
    first, numbers = torch.zeros(3, 200, 1, 4), torch.tensor([4, 1])
    first[..., 2] = 1.0
    found = search.commit(numbers, first[:, :2], 1e6, draw)  # so hot that each bin is as likely
    assert found[0].tolist() == [[2], [2]]  # the first critic does not draw
    assert search.commit(torch.tensor([1, 4]), -first[:, :2], 1e6, draw).equal(found.flip(1))
    network = Table(1, (4,), 3)
    search.end_step(network, network)
    search.end_step(network, network)
    assert search.assumed.unique().tolist() == [information.NONE] and not search.splits
    assert search.commit(numbers, first[:, :2], 1e6, draw).unique().tolist() == [2]  # in a dive nobody draws


def test_critics_that_split_draw_different_bins():
    search = search_of(3)
    search.cover(200, 1)
    found = search.commit(torch.arange(200), torch.zeros(3, 200, 1, 4), 1.0, torch.Generator().manual_seed(0))
    assert (found[1] != found[2]).float().mean() == pytest.approx(0.75, abs=0.1)
    assert found[0].unique().tolist() == [0] and found[1].unique().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("scores", "sources"),
    [([1.0, 2.0], [1, 1]), ([2.0, 1.0], [0, 0]), ([0.0, 3.0, 1.0, 2.0], [1, 3, 1, 3]), ([1.0, 2.0, 3.0], [2, 1, 2])],
)
def test_the_better_half_survives(scores, sources):
    assert information.survivors(torch.tensor(scores)) == sources


def test_the_best_critic_moves_to_the_front_with_its_target_and_its_momentum():
    model, target = (Table(2, (3,), 3) for _ in range(2))
    with torch.no_grad():
        for k in range(3):
            target.tables[k][0].fill_(k)
    optimiser = torch.optim.AdamW(model.parameters())
    sum((k + 1) * table[0].sum() for k, table in enumerate(model.tables)).backward()
    optimiser.step()
    best = model.tables[2][0].clone()
    search = search_of(3)
    search.step, search.scores = 3, torch.tensor([0.0, 1.0, 2.0])  # the last step of a dive
    search.end_step(model, target, optimiser)
    assert model.tables[0][0].equal(best) and model.tables[2][0].equal(best)
    assert [table[0][0, 0, 0].item() for table in target.tables] == [2, 1, 2]
    moments = [optimiser.state[table[0]]["exp_avg"].mean().item() for table in model.tables]
    assert moments == pytest.approx([0.3, 0.2, 0.3])


# --- what it learns ---

def train(model, target, batch, settings: TrainConfig, rounds: int, step, seed: int = 0) -> None:
    """`step` of all parameters along their gradients, all that can happen in each round, then the target follows."""
    search = Search(settings)
    search.cover(len(batch["number"]), batch["bins"].shape[1])
    for k in range(rounds):
        target.load_state_dict(model.state_dict())
        given = model, target, batch, settings
        draw = torch.Generator().manual_seed(1000 * seed + k)
        loss, _ = search.loss(*given, draw) if settings.search else METHODS["q"](*given)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, change in zip(model.parameters(), step(gradients), strict=True):
                parameter -= change
        if settings.search:
            search.end_step(model, target)


@pytest.mark.parametrize("bins", [(4,), (2, 3), (2, 2, 2)], ids=str)
@pytest.mark.parametrize("seed", [1, 2])
def test_without_a_conflict_it_ends_with_the_values_of_dynamic_programming(bins, seed):
    settings = replace(SEARCHING, gamma=0.5, value_high=10.0, search=8, consistency=1e-3)
    mdp = random_mdp(seed, bins)
    batch = whole_batch(windows(mdp, settings.gamma, 1, 1, 3))
    batch["number"] = torch.arange(len(batch["reward"]))
    model, target = (Table(3, bins, 4) for _ in range(2))
    weights = second_derivatives(model, batch, settings)
    train(model, target, batch, settings, 96, lambda g: [a / b for a, b in zip(g, weights, strict=True)])
    for table, wanted in zip(model.tables[0], best_completions(mdp, optimal(mdp, settings.gamma)), strict=True):
        assert np.abs(table.detach().numpy() - wanted).max() < 1e-2


class Linear(Table):
    """Q [S, A] = features [S, A, F] · weights [F] of each critic."""

    def __init__(self, features: np.ndarray, critics: int, start: list[float]) -> None:
        super().__init__(1, features.shape[1:2], critics)
        self.features = torch.as_tensor(features)
        weights = [torch.tensor(start, dtype=torch.float64) for _ in range(critics)]
        self.tables = torch.nn.ModuleList(torch.nn.ParameterList([w]) for w in weights)

    def critic_q_values(self, context, bins):
        return [(self.features[context[:, -1, 0].long()] @ weights[0])[:, None] for weights in self.tables]


GATE, SIDE, TO_SIDE, TO_GATE = range(4)  # states; action 1 goes on, action 0 leaves with nothing
TIMES = 25  # as often as all else the data goes on to the side and to the gate


def conflict() -> tuple[Mdp, np.ndarray]:
    """An MDP and features [S, A, 2] with which Q cannot prefer all the actions that are best.

    Beyond the gate are 0.5, beyond the side 0.25. Whoever is worth something at the gate cannot want to go to the
    side, for going on has the features (5, 0) there and (−1, 0) on the way to the side; and the other way round.
    """
    reward, after, ends = np.zeros((4, 2)), np.zeros((4, 2), int), np.ones((4, 2), bool)
    reward[GATE, 1], reward[SIDE, 1] = 0.5, 0.25
    after[TO_SIDE, 1], after[TO_GATE, 1] = SIDE, GATE
    ends[[TO_SIDE, TO_GATE], 1] = False
    features = np.zeros((4, 2, 2))
    features[GATE, 1], features[TO_SIDE, 1], features[SIDE, 1], features[TO_GATE, 1] = (5, 0), (-1, 0), (0, 5), (0, -1)
    twice = [np.repeat(x[..., None], 2, -1) for x in (reward, after, ends)]  # both outcomes are the same
    return Mdp((2,), *twice, np.ones((4, 2), bool)), features


def worth(policy: tuple[int, ...]) -> float:
    """Mean value of the four states."""
    gate, side = 0.5 * policy[GATE], 0.25 * policy[SIDE]
    return (gate + side + 0.9 * (policy[TO_SIDE] * side + policy[TO_GATE] * gate)) / 4


def learned(settings: TrainConfig, start: list[float], rate: float, rounds: int = 60, seed: int = 0) -> tuple[int, ...]:
    """The policy of Q after `rounds` of regression, each `rate` of the way to the least squares."""
    mdp, features = conflict()
    batch = whole_batch(windows(mdp, settings.gamma, 1, 1, 4))
    state = batch["state"][batch["here"][:, 0], 0].long()
    often = torch.where((state >= TO_SIDE) & (batch["bins"][:, 0] == 1), TIMES, 1)
    frames = ("frames", "state", "owner")
    batch = {name: x if name in frames else x.repeat_interleave(often, 0) for name, x in batch.items()}
    batch["number"] = torch.arange(len(batch["reward"]))
    model, target = (Linear(features, settings.model.critics, start) for _ in range(2))
    here = model.features[state.repeat_interleave(often), batch["bins"][:, 0]]
    inverse = rate * torch.linalg.inv(here.T @ here / len(here) / settings.model.critics)
    train(model, target, batch, settings, rounds, lambda g: [inverse @ one for one in g], seed)
    return tuple((model.features @ model.tables[0][0]).argmax(-1).tolist())


def expressible() -> set[tuple[int, ...]]:
    """Policies of weights in all directions."""
    angles = np.linspace(0, 2 * np.pi, 360) + 1e-3
    q = np.einsum("saf,fk->ksa", conflict()[1], [np.cos(angles), np.sin(angles)])
    return set(map(tuple, q.argmax(-1).tolist()))


BEST = (1, 0, 0, 1)  # through the gate, and nothing of the side


def test_the_conflict_is_one():
    policies = expressible()
    assert max(policies, key=worth) == BEST and len(policies) == 4
    assert max(itertools.product((0, 1), repeat=4), key=worth) not in policies


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_values_of_no_policy_swing_and_the_search_settles_on_the_best_policy(seed):
    """Plain Q-learning believes in gate and side, learns that neither is worth anything then, and begins anew."""
    start = [0.0, 0.0]
    swing = {learned(PLAIN, start, 1.0, rounds) for rounds in range(57, 61)}
    assert BEST not in swing and len(swing) == 2
    assert learned(SEARCHING, start, 1.0, seed=seed) == BEST


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_search_leaves_a_worse_policy_that_agrees_with_itself(seed):
    start = [-0.01, 0.025]  # what is learned for going through the side
    for settings in (PLAIN, replace(PLAIN, consistency=0.01)):
        assert learned(settings, start, 0.3) == (0, 1, 1, 0)
    assert learned(SEARCHING, start, 0.3, seed=seed) == BEST


# --- in a run ---

def trainer_and_batches(folder, **changes) -> tuple[Trainer, list[dict[str, np.ndarray]]]:
    settings = small_config(**{"steps": 9, "target_rate": 0.1, **SMALL_SEARCH, **changes})
    data = open_windows(Dataset.open(write_small_set(folder / "set", small_spec())), settings)
    trainer, batches = Trainer(data.spec, settings, 0), data.batches(settings.batch_size, prefetch=0)
    trainer.set_statistics(data)
    return trainer, [next(batches) for _ in range(settings.steps)]


@pytest.mark.parametrize("changes", [
    {}, {"n_step": 3, "margin_weight": 0.5, "completion": True, "smooth": 0.3, "rebuild": 0.1, "conservative": "gap"},
    {"model": replace(SMALL, critics=2, code="coarse", code_base=2, memory=2)},
], ids=["plain", "options", "coarse"])  # fmt: skip
def test_every_critic_learns(tmp_path, changes):
    trainer, batches = trainer_and_batches(tmp_path, steps=60, learning_rate=3e-3, search=8, **changes)
    before = [p.clone() for p in trainer.model.critics[1].parameters()]
    losses = [trainer.update(batches[0])["loss"].item() for _ in batches]
    assert np.isfinite(losses).all() and losses[-1] < 0.8 * losses[0]
    assert any(not torch.equal(a, b) for a, b in zip(before, trainer.model.critics[1].parameters(), strict=True))


@pytest.mark.parametrize("done", [3, 4, 7])
def test_a_resumed_run_has_the_same_bits(tmp_path, done):
    whole, batches = trainer_and_batches(tmp_path)
    killed, _ = trainer_and_batches(tmp_path)
    for batch in batches[:done]:
        killed.update(batch)
    killed.save(tmp_path)
    resumed = Trainer(whole.spec, whole.config, 0)
    resumed.load(tmp_path)
    for batch in batches:
        whole.update(batch)
    for batch in batches[done:]:
        resumed.update(batch)
    found, expected = saved(resumed, tmp_path), saved(whole, tmp_path)
    assert found.keys() == expected.keys() and "search/assumed" in found
    assert all(torch.equal(x, expected[name]) for name, x in found.items())


def saved(trainer: Trainer, folder) -> dict[str, torch.Tensor]:
    """All that a checkpoint holds."""
    trainer.save(folder)
    groups, _ = checkpoint.load_checkpoint(folder)
    return {f"{group}/{name}": x for group, named in groups.items() for name, x in named.items()}


def test_the_exported_policy_is_the_first_critic(tmp_path):
    """Export itself compares the graph with what `load_model` gives, bin for bin."""
    robot = small_spec((3, 5), history=1, cameras=0)
    write_small_set(tmp_path / "set", robot)
    settings = tmp_path / "config.json"
    settings.write_text(json.dumps(config.dump(small_config(steps=9, **SMALL_SEARCH))))
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    assert cli.main(["train", str(tmp_path / "set"), "-o", str(run), "--config", str(settings)]) == 0
    assert cli.main(["export", str(run), "-o", str(bundle)]) == 0
    manifest = load_bundle(bundle).manifest
    assert manifest.model["critics"] == 1 and manifest.training["config"]["model"]["critics"] == 3
    found, trained = checkpoint.open_run(run), Trainer(robot, small_config(**SMALL_SEARCH), 0)
    trained.load(run)
    model, bins = export.load_model(found)[0], torch.zeros(16, 2, dtype=torch.int64)
    context = torch.randn(16, model.context_tokens, SMALL.width, generator=torch.Generator().manual_seed(0))
    first, *others = trained.model.eval().critic_q_values(context, bins)
    assert model.q_values(context, bins).equal(first) and not any(first.equal(other) for other in others)


@pytest.mark.parametrize(("changes", "message"), [
    ({"search": -1}, "search is -1, expected at least 0"),
    ({"method": "cql"}, "method is cql, expected q with search"),
    ({"tighten": True, "n_step": 2}, "tighten is true, expected false with search"),
    ({"regenerative": 0.1}, "regenerative is 0.1, expected 0.0 with search"),
    ({"model": replace(SMALL, critics=2, order="random")}, "model.order is random, expected fixed with search"),
    ({"loss": "hl_gauss", "model": replace(SMALL, critics=2, atoms=21)}, "loss is hl_gauss, expected mse with search"),
    ({"model": SMALL}, "search needs several critics and a consistency above 0, but model.critics is 1"),
    ({"consistency": 0.0}, "but model.critics is 3 and consistency 0.0"),
    ({"search": 0}, "model.critics is 3, expected 1 or 2 without search"),
])  # fmt: skip
def test_what_cannot_be_searched_is_refused(changes, message):
    with pytest.raises(QtxError, match=message):
        small_config(**{**SMALL_SEARCH, **changes})


def test_several_processes_are_refused():
    with pytest.raises(QtxError, match="search keeps its tables in one process, there are 2: use search 0"):
        Trainer(small_spec(), small_config(**SMALL_SEARCH), 0, World(0, 2))


def test_batches_say_their_transitions_only_if_asked(tmp_path):
    trainer, batches = trainer_and_batches(tmp_path)
    data = open_windows(Dataset.open(tmp_path / "set"), replace(trainer.config, search=0, model=SMALL))
    assert "number" not in data.batch(np.arange(4))
    drawn = np.concatenate([batch["number"] for batch in batches])
    assert np.array_equal(np.sort(drawn[: len(data)]), np.arange(len(data)))  # an epoch
