"""Coarse-to-fine tokens: every bin is a cell and a bin inside it, and from outside nothing has changed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_run import SMALL, small_spec

from qtx_ros.model.codes import CoarseCode
from qtx_ros.model.policy import QTransformer
from qtx_ros.preprocess import cells

COARSE = replace(SMALL, code="coarse", code_base=4)


def build(bins: tuple[int, ...] = (5, 9, 3)) -> QTransformer:
    torch.manual_seed(0)
    return QTransformer(small_spec(bins), COARSE).eval()


@given(st.lists(st.integers(2, 300), min_size=1, max_size=4), st.integers(2, 20))
def test_every_bin_comes_back_from_its_tokens(counts, base):
    code = CoarseCode(tuple(counts), base)
    bins = torch.stack([torch.arange(max(counts)) % n for n in counts], 1)
    tokens = code.to_tokens(bins)
    assert tokens.shape == (max(counts), code.places) and len(code.sizes) == code.places
    assert torch.equal(code.to_bins(tokens), bins)
    assert (tokens < torch.tensor(code.sizes)).all()
    if not code.even:  # a bin is present after the cell that it lies in
        assert code._present(tokens[:, :-1]).gather(-1, tokens[..., None]).all()


@given(st.integers(2, 300), st.integers(2, 20))
def test_cells_are_as_even_as_they_can_be_and_none_is_empty(bins, base):
    many, inside = cells(bins, base)
    assert inside <= base and (many - 1) * inside < bins <= many * inside


def test_few_bins_stay_one_token():
    code = CoarseCode((16, 17, 256, 2), 16)
    assert code.sizes == (16, 2, 9, 16, 16, 2)


def test_tokens_beyond_the_last_bin_are_absent():
    model = build((7,))  # cells of 4 and 3 bins
    q = model.q_values(model.context(torch.randn(2, *model.ring_shape)), torch.tensor([[0, 3], [1, 2]]))
    assert torch.isfinite(q).sum(-1).tolist() == [[2, 4], [2, 3]]


def test_bins_of_other_cells_show_the_value_of_their_cell():
    model = build((8,))  # 2 cells of 4
    q = torch.tensor([[[0.7, 0.2, float("-inf"), float("-inf")], [0.1, 0.7, 0.3, 0.4]]])  # the backup is learned
    bins, taken, q_all = model.code.decision(torch.tensor([[0, 1]]), q)
    assert bins.tolist() == [[1]] and taken.tolist() == [[pytest.approx(0.7)]]
    torch.testing.assert_close(q_all[0, 0], torch.tensor([0.1, 0.7, 0.3, 0.4, 0.2, 0.2, 0.2, 0.2]))


def test_where_cells_are_as_good_as_their_best_bin_a_row_shows_the_best_of_all():
    code, values = CoarseCode((9, 5), 4), torch.rand(9, 5)  # of each pair of bins
    best = values.amax(1)
    for first, second in itertools.product(range(9), range(5)):
        tokens = code.to_tokens(torch.tensor([[first, second]]))
        q = torch.full((1, 4, 4), float("-inf"))
        for row, among in ((0, best.split(3)), (2, values[first].split(3))):
            q[0, row, : len(among)] = torch.stack([cell.max() for cell in among])
        for row, among in ((1, best.split(3)[tokens[0, 0]]), (3, values[first].split(3)[tokens[0, 2]])):
            q[0, row, : len(among)] = among
        _, taken, q_all = code.decision(tokens, q)
        torch.testing.assert_close(taken[0], torch.stack([best[first], values[first, second]]))
        torch.testing.assert_close(q_all[0].amax(-1), torch.stack([best.max(), values[first].max()]))


def test_256_bins_cost_two_rows_of_16():
    def heads(code: str) -> int:
        model = QTransformer(small_spec((256,) * 4), replace(SMALL, code=code))
        return sum(p.numel() for p in (model.decoder.head, model.decoder.bin_embedding.weight))

    assert heads("coarse") <= heads("plain") / 7
