"""Run by a Python that has `q_transformer`: the model of its README, one action at a time, on one line of JSON each.

    python -I q_transformer_peer.py THREADS

It prints a line when it is ready. `tick` on standard input chooses one action and answers wall and CPU time [ms] and
the peak memory so far [MB]; `save FILE` writes the weights of image encoder and token learner, frames, and the tokens
that they become. It imports nothing of this package, so that the two environments need not fit together.

The text models, which would be downloaded, are replaced by their width: instructions are given as embeddings.
"""

import json
import sys
import time
import types
from importlib.metadata import version

FRAMES, SIZE, TEXT = 6, 224, 768
VIT = {
    "num_classes": 1000,
    "dim_conv_stem": 64,
    "dim": 64,
    "dim_head": 64,
    "depth": (2, 2, 5, 2),
    "window_size": 7,
    "mbconv_expansion_rate": 4,
    "mbconv_shrinkage_rate": 0.25,
    "dropout": 0.1,
}
MODEL = {"num_actions": 8, "action_bins": 256, "depth": 1, "heads": 8, "dim_head": 64, "dueling": True}


class NoText:
    """In the place of a text model: nothing but the width of its embeddings."""

    dim_latent = TEXT

    def __init__(self, *_, **__) -> None:
        pass


def build():
    """The model of the README, in eval mode, its weights drawn with seed 0."""
    import torch

    for module, name in (("t5", "T5Adapter"), ("open_clip", "OpenClipAdapter"), ("bge", "BGEAdapter")):
        stand_in = types.ModuleType(f"classifier_free_guidance_pytorch.{module}")
        setattr(stand_in, name, NoText)
        sys.modules[stand_in.__name__] = stand_in
    from q_transformer import QRoboticTransformer

    torch.manual_seed(0)
    return QRoboticTransformer(vit=VIT, cond_drop_prob=0.2, **MODEL).eval()


def tick(model) -> dict:
    """One action from six frames, as the robot would get it."""
    import torch

    video, text = torch.randn(1, 3, FRAMES, SIZE, SIZE), torch.randn(1, TEXT)
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    bins = model.get_optimal_actions(video, text_embeds=text)
    wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
    return {"wall_ms": [wall / 1e6], "cpu_ms": [cpu / 1e6], "peak_mb": peak_mb(), "bins": list(bins.shape)}


def save(model, path: str) -> dict:
    """Weights under the names of this model, `frames` float [2, 3, 224, 224] and `tokens` [2, channels, 8]."""
    import numpy as np
    import torch

    frames = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        tokens = model.token_learner(model.vit(frames, return_embeddings=True))
    parts = {"vit": model.vit, "token_learner": model.token_learner}
    weights = {f"{part}.{k}": v.numpy() for part, module in parts.items() for k, v in module.state_dict().items()}
    np.savez(path, frames=frames.numpy(), tokens=tokens.numpy(), **weights)
    return {}


def peak_mb() -> float:
    """Most memory that this process has held [MB]."""
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["VmHWM"].split()[0]) * 1024 / 1e6


def main(threads: str) -> None:
    try:
        found = version("q-transformer")
        import torch

        torch.set_num_threads(int(threads))
        model = build()
    except ModuleNotFoundError as error:
        return answer({"missing": error.name})
    answer({"version": found, "parameters": sum(p.numel() for p in model.parameters())})
    for line in sys.stdin:
        word, *rest = line.split()
        answer(tick(model) if word == "tick" else save(model, *rest))


def answer(data: dict) -> None:
    print(json.dumps(data), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
