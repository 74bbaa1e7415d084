"""The model card of a bundle: what it was trained on, by which commands, and how well it does."""

from __future__ import annotations

from qtx_ros.deploy.bundle import Manifest

METHODS = {
    "q": "autoregressive Q-learning with a conservative regulariser",
    "bc": "behaviour cloning",
    "iql": "implicit Q-learning with an autoregressive policy",
    "cql": "conservative Q-learning (CQL(H)), autoregressive",
    "dt": "Decision Transformer, asked for the return 1",
}
KINDS = {"success": ", successes only", "demonstrations": ", demonstrations only"}  # of episodes


def model_card(manifest: Manifest, recipe: str = "") -> str:
    """Markdown."""
    training, spec = manifest.training, manifest.spec
    size = sum(entry["bytes"] for entry in manifest.files.values()) / 1e6
    config = training["config"]
    parts = [
        f"# {manifest.name}",
        f"A Q-Transformer policy for the robot `{spec.name}`: {size:.1f} MB, qtx_ros {manifest.versions['qtx_ros']}.",
        "## What it does",
        _contract(manifest),
        "## How it was made",
        f"Method: {METHODS.get(config['method'], config['method'])}; {training['step']} steps of "
        f"{config['batch_size']} transitions, {training['seconds']:.0f} s, seed {training['seed']}.",
        _block(recipe.strip() or training["command"]),
        f"Training data: {training['episodes']} episodes{KINDS.get(config['episodes'], '')}, {training['steps']} ticks "
        f"({', '.join(training['data'])}, "
        f"digest `{training['digest'][:16]}`).",
        _mix(training["mix"]),
        "## How well it does",
        _metrics(manifest.metrics),
        f"Torch and ONNX Runtime chose identical bins in {training['parity']['observations']} random observations; "
        f"{training['parity']['ties']} ties (best two bins within 1e-5 in Q) were drawn anew.",
        *([precision_line(training["precision"])] if "precision" in training else []),
        "## Limits",
        "Trained on the scenes and instructions above only; anything else gives some bins, not a refusal.",
    ]
    return "\n\n".join(parts) + "\n"


def precision_line(found: dict) -> str:
    """What another precision than float32 costs and brings, of `precision.Comparison` as a mapping."""
    return (
        f"Precision {found['precision']}: {found['agreement']:.1%} of the bins of {found['observations']} observations "
        f"of the training set as with fp32 (all bins in {found['whole_actions']:.1%}), a tick takes {found['ms']:.2f} "
        f"ms instead of {found['fp32_ms']:.2f} ms on {found['device']}."
    )


def _contract(manifest: Manifest) -> str:
    spec = manifest.spec
    cameras = ", ".join(f"`{c.name}` {c.height}×{c.width} px" for c in spec.cameras) or "no cameras"
    bins = sorted({d.bins for d in spec.dimensions})
    return "\n".join(
        [
            f"- sees {cameras} and {len(spec.state_names)} state values, {spec.history} frames, at {spec.rate:g} Hz",
            f"- chooses {len(spec.dimensions)} action dimensions of {' or '.join(map(str, bins))} bins",
            f"- {manifest.files['tick.onnx']['bytes'] / 1e6:.1f} MB per-tick graph, tokens of the ring {manifest.ring}",
            *(["- decides by the smaller Q of two critics"] if manifest.model["critics"] == 2 else []),
            *([f"- searches with a beam of {beam}"] if (beam := manifest.model.get("beam", 1)) > 1 else []),
            *([f"- guidance {manifest.model['guidance']:g}"] if manifest.model["guidance"] != 1 else []),
        ]
    )


def _mix(mix: dict[str, dict[str, int]]) -> str:
    rows = [f"| {text} | {n.get('success', 0)} | {n.get('failure', 0)} |" for text, n in sorted(mix.items())]
    return "\n".join(["| Instruction | Successes | Failures |", "|---|---|---|", *rows])


def _metrics(metrics: dict) -> str:
    if "tasks" not in metrics:
        return "Not measured before export (`qtx evaluate`)."
    rows = [f"| {name} | {m['success']:.2f} | {m['episodes']} |" for name, m in metrics["tasks"].items()]
    mean = f"Mean success {metrics['mean_success']:.2f}, in process."
    return "\n".join(["| Task | Success | Episodes |", "|---|---|---|", *rows, "", mean])


def _block(text: str) -> str:
    return f"```sh\n{text}\n```"
