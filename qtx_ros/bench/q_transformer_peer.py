"""Run by a Python that has `q_transformer`: the model of its README, one action at a time, on one line of JSON each.

    python -I q_transformer_peer.py THREADS [SIZES]

SIZES is JSON: `image`, `frames`, and keys of `vit` and `model` that differ from the README's. It prints a line when it
is ready. `tick` on standard input chooses one action and answers wall and CPU time [ms] and the peak memory so far
[MB]; `train BATCH WARM STEPS` takes gradient steps with the package's own learner; `save FILE` writes the weights of
image encoder and token learner, frames, and the tokens that they become. It imports nothing of this package, so that
the two environments need not fit together.

The text models, which would be downloaded, are replaced by their width: instructions are given as embeddings.
"""

import contextlib
import json
import sys
import tempfile
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


def build(sizes: dict):
    """The model of the README but for `sizes`, in eval mode, its weights drawn with seed 0."""
    import torch

    for module, name in (("t5", "T5Adapter"), ("open_clip", "OpenClipAdapter"), ("bge", "BGEAdapter")):
        stand_in = types.ModuleType(f"classifier_free_guidance_pytorch.{module}")
        setattr(stand_in, name, NoText)
        sys.modules[stand_in.__name__] = stand_in
    from q_transformer import QRoboticTransformer

    torch.manual_seed(0)
    vit = {**VIT, **sizes.get("vit", {})}
    vit["depth"] = tuple(vit["depth"])
    return QRoboticTransformer(vit=vit, cond_drop_prob=0.2, **{**MODEL, **sizes.get("model", {})}).eval()


def tick(model) -> dict:
    """One action from six frames, as the robot would get it."""
    import torch

    video, text = torch.randn(1, 3, FRAMES, SIZE, SIZE), torch.randn(1, TEXT)
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    bins = model.get_optimal_actions(video, text_embeds=text)
    wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
    return {"wall_ms": [wall / 1e6], "cpu_ms": [cpu / 1e6], "peak_mb": peak_mb(), "bins": list(bins.shape)}


def transitions(model, sizes: dict):
    """A data set of one transition, read again and again: what its loader costs is next to nothing."""
    import torch
    from torch.utils.data import Dataset

    shape = (3, sizes.get("frames", FRAMES), *[sizes.get("image", SIZE)] * 2)
    actions = torch.randint(0, model.action_bins, (model.num_actions,))
    state, after, text = torch.randn(shape), torch.randn(shape), torch.randn(TEXT)
    item = text[None], state, actions, after, text, torch.tensor(0.0), torch.tensor(False)

    class One(Dataset):
        __len__ = lambda _: 1_000_000  # noqa: E731
        __getitem__ = lambda *_: item  # noqa: E731

    return One()


def train(model, sizes: dict, batch: int, warm: int, steps: int) -> dict:
    """Gradient steps of `QLearner`, after `warm` that do not count: wall and CPU time [s], peak memory [MB]."""
    from q_transformer import QLearner

    options = {"batch_size": batch, "num_train_steps": warm, "learning_rate": 1e-4}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        sampler = {"dataloader_kwargs": {"shuffle": False}}
        learner = QLearner(model, dataset=transitions(model, sizes), checkpoint_folder=folder, **options, **sampler)
        learner(min_reward=0.0)
        learner.num_train_steps += steps
        cpu, wall = time.process_time(), time.perf_counter()
        learner(min_reward=0.0)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb()}


def save(model, sizes: dict, path: str) -> dict:
    """Weights under the names of this model, `frames` float [2, 3, image, image] and `tokens` [2, channels, 8]."""
    import numpy as np
    import torch

    frames = torch.randn(2, 3, *[sizes.get("image", SIZE)] * 2)
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


def main(threads: str, given: str = "{}") -> None:
    sizes = json.loads(given)
    try:
        found = version("q-transformer")
        import torch

        torch.set_num_threads(int(threads))
        model = build(sizes)
    except ModuleNotFoundError as error:
        return answer({"missing": error.name})
    answer({"version": found, "parameters": sum(p.numel() for p in model.parameters())})
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "train":
            answer(train(model, sizes, *map(int, rest)))
        else:
            answer(tick(model) if word == "tick" else save(model, sizes, *rest))


def answer(data: dict) -> None:
    print(json.dumps(data), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
