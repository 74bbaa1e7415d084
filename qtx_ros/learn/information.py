"""Q-learning whose backups remember what they assumed, and a search among critics for assumptions that fit together.

A backup takes the value of the best bin of a decision, as if the policy took that bin. An approximator may be unable to
prefer all the bins at once that its backups assumed: then its targets are of no policy, delusional (Lu, Schuurmans and
Boutilier 2018, Non-delusional Q-learning and value iteration). ConQUR (Su et al. 2020, arXiv 2002.12399) commits: the
bins that the backups of a critic assume are its information set, they stand for a while, a penalty asks the critic to
prefer them, and several critics with other sets compete.

An iteration is `search` gradient steps. In even ones the sets split: the first critic commits to the best bins, the
others draw theirs. In odd ones all dive: each commits to what is best by what it learned. In the second half of a dive
they are scored; then the worse half become copies of the better half, and the best is the first, which alone decides.

Shapes: C critics, B samples, D decisions a backup rests on (dimensions 2 … D at s, then the first one at s′), M bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from qtx_ros.learn import contexts, methods_q, rules, rules_regularise
from qtx_ros.learn.contexts import Batch, Metrics
from qtx_ros.learn.losses import of_numbers
from qtx_ros.learn.settings import TrainConfig
from qtx_ros.model.policy import QTransformer

TEMPERATURE = 0.1  # of drawn commitments, as a share of the range of values
NONE = -1  # in the table: not committed yet


class Search:
    """The information sets of all critics, and how well each does."""

    def __init__(self, config: TrainConfig, device: torch.device | str = "cpu") -> None:
        self.critics, self.length = config.model.critics, config.search
        self.assumed = torch.empty(self.critics, 0, 0, dtype=torch.int16, device=device)  # [C, transitions, D]
        self.scores = torch.zeros(self.critics, device=device)  # [C], sums over the steps that were scored
        self.step = 0

    def cover(self, transitions: int, decisions: int) -> None:
        """Make room for the commitments of a training set; none is made yet."""
        size = self.critics, transitions, decisions
        self.assumed = torch.full(size, NONE, dtype=torch.int16, device=self.assumed.device)

    def state_dict(self) -> dict[str, Tensor]:
        """All that a resumed run needs."""
        return {"assumed": self.assumed, "scores": self.scores, "step": torch.tensor(self.step)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state_dict` gave."""
        self.assumed, self.scores, self.step = state["assumed"], state["scores"], int(state["step"])

    @property
    def splits(self) -> bool:
        """Whether the critics behind the first one draw what they commit to."""
        return self.step // self.length % 2 == 0

    @property
    def judges(self) -> bool:
        """Whether this is a step of a dive in which what was committed to has been learned as far as it goes."""
        return not self.splits and self.step % self.length >= self.length // 2

    def loss(
        self, model: QTransformer, target: QTransformer, batch: Batch, config: TrainConfig, generator: torch.Generator
    ) -> tuple[Tensor, Metrics]:
        """Q-learning, each critic towards its own targets: means over the critics."""
        bins, backups = batch["bins"], self.backups(target, batch, config, generator)
        critics = model.critic_q_values(contexts.online(model, batch), bins)
        after = model.critic_first_q_values(contexts.online_after(model, batch))
        each = [critic_terms(*one, batch, config) for one in zip(critics, after, backups, strict=True)]
        if self.judges:
            self.scores += torch.stack([score(*one, batch, config) for one in zip(critics, each, backups, strict=True)])
        terms = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
        loss = methods_q.weighted(terms, config)
        taken, first = rules.taken(critics[0], bins).detach(), backups[0]
        return loss, {**terms, "q_taken": taken.mean(), "target": first.targets.mean()}

    @torch.no_grad()
    def backups(
        self, target: QTransformer, batch: Batch, config: TrainConfig, generator: torch.Generator
    ) -> list[methods_q.Backup]:
        """Of each critic the targets by its own target network, with the value of the bins it has committed to."""
        here, after = contexts.target(target, batch)
        later = torch.stack(target.critic_q_values(here, batch["bins"]))[:, :, 1:]  # [C, B, D − 1, M]
        first = torch.stack(target.critic_first_q_values(after))  # [C, B, M]
        q = torch.cat([later, first[:, :, None]], 2)
        temperature = TEMPERATURE * (config.value_high - config.value_low)
        assumed = self.commit(batch["number"], q, temperature, generator)
        given = batch["reward"], batch["discount"], batch["terminal"]
        backed_up = [committed_targets(*one, *given) for one in zip(q, assumed, strict=True)]
        return [methods_q.bounded(y, y, bins, batch, config) for y, bins in zip(backed_up, assumed, strict=True)]

    def commit(self, numbers: Tensor, q: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        """Bins int64 [C, B, D] that the backups of the transitions with these numbers, int64 [B], assume.

        Those that stand; where none does yet, of the Q [C, B, D, M] the best ones of the first critic, and of the
        others, if the sets split, bins drawn with the probability softmax(Q / temperature).
        """
        found = q.argmax(-1)
        if self.splits:
            found[1:] = drawn(q[1:], temperature, generator)
        known = self.assumed[:, numbers]
        self.assumed[:, numbers] = torch.where(known == NONE, found.to(known.dtype), known)
        return self.assumed[:, numbers].long()

    def end_step(
        self, model: QTransformer, target: QTransformer, optimiser: torch.optim.Optimizer | None = None
    ) -> None:
        """After an iteration forget all commitments; after a dive also replace the worse critics by the better ones."""
        dived = not self.splits
        self.step += 1
        if self.step % self.length:
            return
        if dived:
            sources = survivors(self.scores)
            copy_critics(model.critics, sources, optimiser)
            copy_critics(target.critics, sources)
        self.assumed.fill_(NONE)
        self.scores.zero_()


def committed_targets(q: Tensor, assumed: Tensor, reward: Tensor, discount: Tensor, terminal: Tensor) -> Tensor:
    """Autoregressive Bellman targets [B, D] with the value of the assumed bins, int64 [B, D], instead of the largest.

    q [B, D, M]: target network's Q of the decisions; the others [B] as in `rules.bellman_targets`.
    """
    values = rules.taken(q, assumed)  # [B, D]
    last = rules.backed_up(reward, discount, terminal, values[:, -1])
    return torch.cat([values[:, :-1], last[:, None]], 1)


def critic_terms(
    q: Tensor, after: Tensor, backup: methods_q.Backup, batch: Batch, config: TrainConfig
) -> dict[str, Tensor]:
    """The terms of the loss of one critic with Q [B, D, M] at s and `after` [B, M] of the first dimension at s′."""
    td, conservative = of_numbers(q, batch["bins"], backup.targets, config)
    decisions = torch.cat([q[:, 1:], after[:, None]], 1)
    consistency = rules_regularise.consistency_loss(decisions, backup.assumed, backup.rests)
    terms = {"td": td, "conservative": conservative, "consistency": consistency}
    if config.margin_weight:
        terms["margin"] = rules_regularise.margin_loss(q, batch["bins"], batch["success"], config.margin)
    return terms


@torch.no_grad()
def score(
    q: Tensor, terms: dict[str, Tensor], backup: methods_q.Backup, batch: Batch, config: TrainConfig
) -> Tensor:
    """Value of the states by the greedy policy − (Bellman error + `consistency` · inconsistency), means; a scalar.

    With Q [B, D, M] at s. The errors alone are the score of the paper, which also tries each policy out. Here nothing
    can be tried out, and policies that earn nothing have the smallest errors of all.
    """
    error = (rules.taken(q, batch["bins"]) - backup.targets).square().mean()
    return q[:, 0].amax(-1).mean() - error - config.consistency * terms["consistency"]


def drawn(q: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Bins int64 […] drawn with the probability softmax(Q / temperature), Q […, M]: the best after Gumbel noise."""
    uniform = torch.rand(q.shape, generator=generator).to(q.device).clamp(min=torch.finfo(torch.float32).tiny)
    return (q / temperature - (-uniform.log()).log()).argmax(-1)


def survivors(scores: Tensor) -> list[int]:
    """Which critic each place gets, best first: the better half stays, the others become copies of the best ones."""
    order = scores.argsort(descending=True, stable=True).tolist()
    kept = (len(order) + 1) // 2
    return order[:kept] + order[: len(order) - kept]


@torch.no_grad()
def copy_critics(
    critics: Sequence[nn.Module], sources: Sequence[int], optimiser: torch.optim.Optimizer | None = None
) -> None:
    """Give each critic the weights, and what an optimiser keeps of them, of the critic that `sources` names."""
    for same in zip(*(critic.parameters() for critic in critics), strict=True):
        _copy(same, sources)
        states = [optimiser.state[parameter] for parameter in same] if optimiser else [{}]
        for name in states[0]:
            _copy([state[name] for state in states], sources)


def _copy(tensors: Sequence[Tensor], sources: Sequence[int]) -> None:
    before = [tensor.clone() for tensor in tensors]
    for tensor, source in zip(tensors, sources, strict=True):
        tensor.copy_(before[source])
