"""The walk that decides: greedy, or a beam of prefixes of which the best whole action is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from qtx_ros.model.codes import PlainCode
from qtx_ros.model.decoder import Walk, decode

Combine = Callable[[list[Tensor]], Tensor]


def decide(
    code: PlainCode, walks: Sequence[Walk], combine: Combine, beam: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Bins int64 [B, D], their Q [B, D], and all Q [B, D, M] along them; see `search` for `beam` above 1."""
    path = search(walks, combine, code.places, beam) if beam > 1 else decode(walks, combine, code.places)
    return code.decision(*path)


def margin(code: PlainCode, walks: Sequence[Walk], combine: Combine, beam: int) -> Tensor:
    """The smallest difference of Q, [B], between what was chosen and what was not, in any choice of `decide`."""
    gaps: list[Tensor] = []
    if beam > 1:
        search(walks, combine, code.places, beam, gaps)
    else:
        gaps += lead(decode(walks, combine, code.places)[1]).unbind(1)
    return torch.stack(gaps).amin(0)


def search(
    walks: Sequence[Walk], combine: Combine, places: int, beam: int, gaps: list[Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """The best of all actions that `beam` prefixes lead to: choices int64 [B, K] and Q [B, K, M] along them.

    What an action is worth is the Q of its last token; a prefix is kept for the Q of its own last token. The first
    prefix is always the greedy one, so the result is never below the greedy action's Q. `gaps` takes, of each choice
    between two candidates that matters, how far they are apart, [B].
    """
    choices = q_all = alive = None  # [B, n, k], [B, n, k, M] and bool [B, n], of n prefixes of k tokens
    for place in range(places):
        q = combine([walk.next(None if choices is None else choices[:, :, -1].flatten()) for walk in walks])
        q = q[:, None] if choices is None else q.unflatten(0, choices.shape[:2])  # [B, n, M]
        if alive is not None:
            q = q.masked_fill(~alive[..., None], float("-inf"))
        count = 1 if place + 1 == places else min(beam, q.shape[1] * q.shape[2])
        best, alive = _best(q, count, final=place + 1 == places, gaps=gaps)  # [B, n′] of n · M candidates
        prefix, bins = best // q.shape[2], best % q.shape[2]
        if place + 1 < places:
            for walk in walks:
                walk.select(_rows(prefix, q.shape[1]))
        choices, q_all = _append(choices, prefix, bins[..., None]), _append(q_all, prefix, _pick(q, prefix)[:, :, None])
    return choices[:, 0], q_all[:, 0]


def _best(q: Tensor, count: int, final: bool, gaps: list[Tensor] | None) -> tuple[Tensor, Tensor]:
    """Candidates to keep, int64 [B, count] into the flat Q [B, n, M]: the greedy one first, then the best others.

    Second, bool [B, count], which are alive: where there are fewer bins than places for them, the greedy one stands in
    the others too, and what follows it there is worth nothing.
    """
    flat = q.flatten(1)
    if gaps is not None:
        gaps.append(lead(flat) if final else lead(q[:, 0]))
    if final:
        best = flat.argmax(1, keepdim=True)
        return best, torch.ones_like(best, dtype=torch.bool)
    greedy = q[:, 0].argmax(1, keepdim=True)  # of the first prefix, which is the greedy one
    others = flat.scatter(1, greedy, float("-inf"))
    if gaps is not None and count < flat.shape[1]:
        ranked = others.topk(count).values
        gaps.append((ranked[:, -2] - ranked[:, -1]).nan_to_num(nan=float("inf")))
    values, indices = others.topk(count - 1)
    alive = torch.isfinite(values)
    indices = torch.where(alive, indices, greedy)
    return torch.cat([greedy, indices], 1), torch.cat([torch.ones_like(greedy, dtype=torch.bool), alive], 1)


def lead(q: Tensor) -> Tensor:
    """How far the best of Q [..., M] is above the second, [...]."""
    first, second = q.topk(2).values.unbind(-1)
    return first - second


def _rows(prefix: Tensor, count: int) -> Tensor:
    """Rows of a batch of B · n prefixes, int64 [B · n′], for prefixes int64 [B, n′] of each sample."""
    first = torch.arange(prefix.shape[0], device=prefix.device)[:, None] * count
    return (first + prefix).flatten()


def _pick(values: Tensor, prefix: Tensor) -> Tensor:
    """[B, n′, M] of [B, n, M]."""
    return values.gather(1, prefix[..., None].expand(-1, -1, values.shape[2]))


def _append(kept: Tensor | None, prefix: Tensor, new: Tensor) -> Tensor:
    """What the prefixes hold, [B, n′, k + 1, …], from what they held, [B, n, k, …], and something new [B, n′, 1, …]."""
    if kept is None:
        return new
    index = prefix.reshape(*prefix.shape, *[1] * (kept.ndim - 2)).expand(-1, -1, *kept.shape[2:])
    return torch.cat([kept.gather(1, index), new], 2)
