"""`recompute`: how many frames are encoded at a time, and which of them twice."""

from __future__ import annotations

import numpy as np
import pytest
from small_run import small_config
from test_trainer import windows_of

from qtx_ros.learn.trainer import Trainer

PICKED = [2, 3, 4, 5, 12, 13, 14, 15]  # two chunks: 10 frames of s, 12 of s and s′


@pytest.mark.parametrize(
    ("at_once", "online", "target"),
    [
        (3, [1, 3, 3, 3] + [3, 3, 1], [3, 3, 3, 3]),
        (5, [5, 5] + [5], [2, 5, 5]),
        (12, [10], [12]),
        (0, [10], [12]),
    ],
)
def test_all_parts_but_the_last_are_encoded_again_on_the_way_back(tmp_path, at_once, online, target):
    settings = small_config(chunk=4, recompute=at_once)
    windows = windows_of(tmp_path, None, settings)
    trainer, encoded = Trainer(windows.spec, settings, 0), {"model": [], "target": []}
    for name, sizes in encoded.items():
        network = getattr(trainer, name)
        network.encoder.register_forward_pre_hook(lambda _, args, sizes=sizes: sizes.append(len(args[0])))
    trainer.update(windows.batch(np.array(PICKED)))
    assert encoded == {"model": online, "target": target}
