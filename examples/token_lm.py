"""The learner of the robots on a language model: tokens are action dimensions, the vocabulary is their bins.

A small causal model is first cloned on a toy corpus of mixed quality: answers of a help desk, whose writers differ in
how polite they are. Then it is trained offline, on the same corpus and its scores, by the rules that train the robots
(`qtx_ros/learn/rules.py`): each token is an action dimension, the score comes after the last one, targets go back
through the best next token, tokens that the corpus does not hold are pushed to zero. Cloning writes what most people
write; Q-learning puts the best parts of many answers together into answers that hardly anybody wrote.

    python examples/token_lm.py            # ten seconds of one core: a table, and some answers
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from qtx_ros.learn import rules
from qtx_ros.model.transformer import Attention, Mlp

TOPICS = ("refund", "parcel", "invoice", "password")
# One slot per word of an answer: rude, plain, polite. The object's slot holds the topics.
SLOTS = (
    ("listen", "hi", "dear"),
    ("you", "there", "customer"),
    ("i", "we", "gladly"),
    ("might", "will", "shall"),
    ("maybe", "soon", "promptly"),
    ("shift", "handle", "resolve"),
    ("that", "the", "your"),
    TOPICS,
    ("whatever", "bye", "sincerely"),
    ("bot", "desk", "yours"),
)
OBJECT = SLOTS.index(TOPICS)
GREETING, CLOSING = 0, len(SLOTS) - 2
WORDS = tuple(sorted({word for slot in SLOTS for word in slot}))
NUMBER = {word: i for i, word in enumerate(WORDS)}
WRITERS = ((0.70, 0.20, 0.10), (0.45, 0.35, 0.20), (0.20, 0.40, 0.40))  # chances of rude, plain and polite words


# --- the corpus ------------------------------------------------------------------------------------------------------

def write_corpus(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Topics int64 [N] and answers int64 [N, D] of writers who are rude more often than polite."""
    random = np.random.default_rng(seed)
    topics, answers = random.integers(0, len(TOPICS), count), np.empty((count, len(SLOTS)), np.int64)
    for topic, answer in zip(topics, answers, strict=True):
        manner = WRITERS[random.integers(len(WRITERS))]
        for i, slot in enumerate(SLOTS):
            word = slot[random.choice(3, p=manner)] if i != OBJECT else slot[topic if random.random() < 0.8 else 0]
            answer[i] = NUMBER[word]
    return topics, answers


def score(topics: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """The toy reward of answers int64 [N, D], float64 [N] in [0, 1].

    The share of polite words; half of it if the answer is about something else than the topic, and half of it if a
    polite greeting does not go with a polite closing.
    """
    polite = np.array([NUMBER[slot[2]] for i, slot in enumerate(SLOTS) if i != OBJECT])
    said = np.delete(answers, OBJECT, 1) == polite  # [N, D - 1]
    subject = answers[:, OBJECT] == np.array([NUMBER[topic] for topic in TOPICS])[topics]
    agrees = (answers[:, GREETING] == NUMBER["dear"]) == (answers[:, CLOSING] == NUMBER["sincerely"])
    return said.mean(1) * np.where(subject, 1, 0.5) * np.where(agrees, 1, 0.5)


# --- the model -------------------------------------------------------------------------------------------------------

class CausalBlock(nn.Module):
    """Pre-norm transformer block: every token attends to those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attention, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm_mlp, self.mlp = nn.LayerNorm(width), Mlp(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, D, W] from [B, D, W]."""
        y = self.norm_attention(x)
        x = x + self.attention(y, self.attention.keys_values(y), causal=True)
        return x + self.mlp(self.norm_mlp(x))


class TokenModel(nn.Module):
    """A causal language model: one vocabulary at every position. Its outputs are logits, or Q-values."""

    def __init__(self, width: int = 32, heads: int = 2, layers: int = 2) -> None:
        super().__init__()
        self.topic = nn.Embedding(len(TOPICS), width)
        self.word = nn.Embedding(len(WORDS), width)
        self.position = nn.Parameter(torch.randn(len(SLOTS), width) * 0.3)
        self.blocks = nn.Sequential(*(CausalBlock(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, len(WORDS))

    def forward(self, topics: Tensor, words: Tensor) -> Tensor:
        """[B, P + 1, V] after the topics int64 [B] and the words so far, int64 [B, P]."""
        x = torch.cat([self.topic(topics)[:, None], self.word(words)], 1)
        return self.head(self.norm(self.blocks(x + self.position[: x.shape[1]])))

    @torch.no_grad()
    def write(self, topics: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Answers int64 [B, D]: the best word at each position, or with a generator drawn from the softmax."""
        words = torch.zeros(len(topics), 0, dtype=torch.int64)
        for _ in SLOTS:
            values = self(topics, words)[:, -1]
            best = values.argmax(-1, keepdim=True)
            drawn = best if generator is None else values.softmax(-1).multinomial(1, generator=generator)
            words = torch.cat([words, drawn], 1)
        return words


# --- learning --------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Settings:
    """How long and how to learn."""

    answers: int = 3000
    clone_steps: int = 200
    q_steps: int = 600
    batch: int = 64
    learning_rate: float = 2e-3
    alpha: float = 0.1  # weight of the conservative term
    target_rate: float = 0.05
    seed: int = 0


Batch = tuple[Tensor, Tensor, Tensor]  # topics [B], answers [B, D], scores [B]


def clone(model: TokenModel, corpus: Batch, settings: Settings) -> None:
    """Teach the model to write as the corpus does."""
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate)
    for topics, answers, _ in batches(corpus, settings.clone_steps, settings):
        loss = rules.behaviour_cloning_loss(model(topics, answers[:, :-1]), answers)
        _step(optimiser, model, loss)


def q_learn(model: TokenModel, corpus: Batch, settings: Settings) -> None:
    """Teach the model what each word is worth: Q of word i + 1 is the target of word i, the score that of the last."""
    target = copy.deepcopy(model).requires_grad_(False)
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate)
    for topics, answers, scores in batches(corpus, settings.q_steps, settings):
        q = model(topics, answers[:, :-1])  # [B, D, V]
        nothing, over = torch.zeros_like(scores), torch.ones_like(scores)  # no value comes after the last word
        after = rules.bellman_targets(target(topics, answers[:, :-1]), nothing, scores, nothing, over)
        targets = rules.lower_bound(after, scores).clamp(0, 1)
        unseen = rules.conservative_loss(q, answers)
        _step(optimiser, model, rules.temporal_difference_loss(q, answers, targets) + settings.alpha * unseen)
        for slow, fast in zip(target.parameters(), model.parameters(), strict=True):
            slow.lerp_(fast.detach(), settings.target_rate)


def batches(corpus: Batch, steps: int, settings: Settings):
    """Random batches of the corpus."""
    generator = torch.Generator().manual_seed(settings.seed)
    for _ in range(steps):
        rows = torch.randint(len(corpus[0]), (settings.batch,), generator=generator)
        yield tuple(column[rows] for column in corpus)


def _step(optimiser: torch.optim.Optimizer, model: nn.Module, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()


# --- the comparison --------------------------------------------------------------------------------------------------

def compare(settings: Settings) -> tuple[dict[str, float], dict[str, list[str]]]:
    """Mean score of the corpus, the clone (greedy and sampled) and the Q-learner, and an answer of each per topic."""
    torch.manual_seed(settings.seed)
    topics, answers = write_corpus(settings.answers, settings.seed)
    scores = score(topics, answers)
    corpus = torch.as_tensor(topics), torch.as_tensor(answers), torch.as_tensor(scores).float()
    cloned = TokenModel()
    clone(cloned, corpus, settings)
    learned = copy.deepcopy(cloned)
    q_learn(learned, corpus, settings)
    asked = torch.arange(len(TOPICS)).repeat_interleave(100)
    generator = torch.Generator().manual_seed(settings.seed)
    written = {
        "clone, sampled": cloned.write(asked, generator),
        "clone, greedy": cloned.write(asked),
        "Q-learning, greedy": learned.write(asked),
    }
    table = {"corpus, mean": float(scores.mean()), "corpus, best": float(scores.max())}
    table |= {name: float(score(asked.numpy(), words.numpy()).mean()) for name, words in written.items()}
    return table, {name: [text(words[100 * i]) for i in range(len(TOPICS))] for name, words in written.items()}


def text(words: Tensor) -> str:
    """An answer int64 [D] in words."""
    return " ".join(WORDS[i] for i in words.tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    table, examples = compare(Settings(seed=parser.parse_args().seed))
    for name, mean in table.items():
        print(f"{name:20} {mean:.2f}")
    for name, lines in examples.items():
        print(f"\n{name}:", *lines, sep="\n  ")


if __name__ == "__main__":
    main()
