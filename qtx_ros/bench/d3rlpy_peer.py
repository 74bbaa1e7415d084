"""Run by the Python of d3rlpy's environment, as a program of its own: transitions in, a policy as ONNX out.

    python d3rlpy_peer.py FOLDER

FOLDER holds `peer.npz` (observations, actions, rewards, terminals, timeouts float32; low, high of the actions) and
`peer.json` (algorithm, steps, batch_size, seed, context, algo: keys of d3rlpy's own configuration). It gets
`policy.onnx` and `facts.json`.
"""

import functools
import json
import sys
import time
from pathlib import Path

import numpy as np


def main(folder: Path) -> None:
    """Train and export."""
    import d3rlpy
    import torch.onnx
    from d3rlpy.logging import NoopAdapterFactory

    torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)  # d3rlpy exports traced functions
    told, arrays = json.loads((folder / "peer.json").read_text()), np.load(folder / "peer.npz")
    d3rlpy.seed(told["seed"])
    names = ("observations", "actions", "rewards", "terminals", "timeouts")
    dataset = d3rlpy.dataset.MDPDataset(**{name: arrays[name] for name in names})
    algo = create(d3rlpy, told, arrays)
    began = time.perf_counter()
    schedule = {"n_steps": told["steps"], "n_steps_per_epoch": told["steps"]}
    algo.fit(dataset, **schedule, logger_adapter=NoopAdapterFactory(), show_progress=False)
    seconds = time.perf_counter() - began
    partial = str(folder / "partial.onnx")
    export_transformer(torch, algo, partial) if told["algorithm"] == "dt" else algo.save_policy(partial)
    facts = {"steps": told["steps"], "batch_size": told["batch_size"], "parameters": parameters(algo)}
    (folder / "facts.json").write_text(json.dumps({**facts, "train_s": f"{seconds:.0f}"}))
    Path(partial).rename(folder / "policy.onnx")


def create(d3rlpy, told: dict, arrays):
    """The algorithm, with its scalers."""
    configs = {
        "bc": d3rlpy.algos.BCConfig,
        "iql": d3rlpy.algos.IQLConfig,
        "cql": d3rlpy.algos.CQLConfig,
        "dt": d3rlpy.algos.DecisionTransformerConfig,
    }
    scalers = {
        "observation_scaler": d3rlpy.preprocessing.StandardObservationScaler(),
        "action_scaler": d3rlpy.preprocessing.MinMaxActionScaler(minimum=arrays["low"], maximum=arrays["high"]),
    }
    if told["algorithm"] == "dt":
        scalers |= {"context_size": told["context"], "max_timestep": told["max_timestep"]}
    config = configs[told["algorithm"]](batch_size=told["batch_size"], **scalers, **told["algo"])
    return config.create(device="cpu:0")


def export_transformer(torch, algo, path: str) -> None:
    """As d3rlpy's `save_policy`, but with the mask as an input: its export treats the padding before the first
    observation as observations."""
    from d3rlpy.algos.transformer.inputs import TorchTransformerInput

    config, impl = algo.config, algo.impl

    def act(observations, actions, returns, timesteps, masks):
        seen = TorchTransformerInput(
            observations=config.observation_scaler.transform(observations[None]),
            actions=config.action_scaler.transform(actions[None]),
            rewards=torch.zeros_like(returns[None]),
            returns_to_go=returns[None],
            timesteps=timesteps[None],
            masks=masks[None],
            length=config.context_size,
        )
        return config.action_scaler.reverse_transform(impl.predict(seen))

    count = config.context_size
    example = (
        torch.rand(count, *impl.observation_shape),
        torch.rand(count, impl.action_size),
        torch.rand(count, 1),
        torch.arange(count),
        torch.ones(count),
    )
    impl.modules.freeze()
    names = ["observations", "actions", "returns", "timesteps", "masks"]
    traced = torch.jit.trace(act, example, check_trace=False)
    torch.onnx.export(traced, example, path, opset_version=17, input_names=names, output_names=["action"])


def parameters(algo) -> int:
    """Trained numbers in all of its networks, targets not counted."""
    modules = {name: value for name, value in vars(algo.impl.modules).items() if "targ" not in name}
    return sum(p.numel() for m in modules.values() if hasattr(m, "parameters") for p in m.parameters())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
