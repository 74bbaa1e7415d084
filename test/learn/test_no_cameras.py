"""A robot seen by its state alone trains, exports, and decides from a bundle that takes no frames."""

from __future__ import annotations

import numpy as np
import pytest
from small_run import small_config, small_spec
from test_variants import trained_run


@pytest.mark.parametrize("method", ["q", "bc"])
def test_every_method_trains_without_frames(tmp_path, method):
    run = trained_run(tmp_path, small_spec(cameras=0), small_config(method=method))
    assert (run / "checkpoint.safetensors").exists()
