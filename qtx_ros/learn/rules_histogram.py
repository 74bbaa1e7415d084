"""Values as histograms (HL-Gauss): a number becomes a Gaussian cut into atoms, regression becomes classification.

Source: Imani and White 2018 (arXiv 1806.04613); Farebrother et al. 2024, "Stop Regressing" (arXiv 2403.03950), whose
ratio of σ to the width of an atom is 0.75. Shapes: A atoms between A + 1 edges.
"""

from __future__ import annotations

import torch
from torch import Tensor


def histogram(values: Tensor, edges: Tensor, sigma: float) -> Tensor:
    """Probabilities [..., A] of a Gaussian around values [...], cut off at the ends of the support.

    p_a = (Φ((e_{a+1} − y) / σ) − Φ((e_a − y) / σ)) / (Φ((e_A − y) / σ) − Φ((e_0 − y) / σ)), Φ the normal distribution.

    edges [A + 1]: ascending, evenly spaced; sigma: standard deviation in widths of an atom.
    """
    scaled = (edges - values[..., None]) / (sigma * (edges[1] - edges[0]))  # [..., A + 1]
    below = torch.special.ndtr(scaled)
    return below.diff(dim=-1) / (below[..., -1:] - below[..., :1])


def histogram_errors(logits: Tensor, values: Tensor, edges: Tensor, sigma: float) -> Tensor:
    """Cross-entropy [B, D, M] of the logits [B, D, M, A] of every bin towards the histogram of values [B, D].

    −Σ_a p_a(y) · log softmax(logits)_a = log Σ_a exp(logits_a) − Σ_a p_a(y) · logits_a.
    """
    wanted = histogram(values, edges, sigma)[..., None]  # [B, D, A, 1]
    return logits.logsumexp(-1) - (logits @ wanted)[..., 0]
