"""The learner on a language model: examples/token_lm.py."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "examples"))
import token_lm  # noqa: E402


def words(sentence: str) -> np.ndarray:
    return np.array([[token_lm.NUMBER[word] for word in sentence.split()]])


@pytest.mark.parametrize(
    "answer, expected",
    [
        ("dear customer gladly shall promptly resolve your parcel sincerely yours", 1.0),
        ("dear customer gladly shall promptly resolve your refund sincerely yours", 0.5),
        ("dear customer gladly shall promptly resolve your parcel bye yours", 0.5 * 8 / 9),
        ("hi there we will soon handle the parcel bye desk", 0.0),
    ],
)
def test_the_toy_reward_is_as_computed_by_hand(answer, expected):
    assert token_lm.score(np.array([token_lm.TOPICS.index("parcel")]), words(answer)) == pytest.approx(expected)


def test_a_word_depends_only_on_the_words_before_it():
    torch.manual_seed(0)
    model, topics = token_lm.TokenModel(), torch.tensor([1])
    answer = torch.tensor(words("dear customer gladly shall promptly resolve your parcel sincerely"))
    changed = answer.clone()
    changed[0, 5] = token_lm.NUMBER["bot"]
    before, after = model(topics, answer), model(topics, changed)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert (before[:, 6:] - after[:, 6:]).abs().max() > 1e-3


def test_offline_q_learning_writes_better_answers_than_the_clone_it_began_as():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        table, _ = token_lm.compare(token_lm.Settings())
    finally:
        torch.set_num_threads(threads)
    clone = max(table["clone, greedy"], table["clone, sampled"])
    assert abs(table["clone, sampled"] - table["corpus, mean"]) < 0.1, "the clone learned to write as the corpus does"
    assert table["Q-learning, greedy"] > clone + 0.4
