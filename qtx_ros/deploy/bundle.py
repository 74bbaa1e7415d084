"""The bundle: a folder that holds a whole policy, `tick.onnx`, `instruction.onnx`, `manifest.json` and a model card.

A bundle may hold more ways to compute the same tick: `frame.onnx` and `act.onnx`, which cut it where the picture ends,
and `weights.safetensors`, for machines that run it in PyTorch.

A frozen sentence encoder travels along as `sentence.onnx` and `tokenizer.json`.

The manifest carries the robot's contract and the SHA-256 of every graph. Nothing in a bundle is ever unpickled or run
as code, and a graph is handed to the inference engine from the very bytes whose hash was checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from qtx_ros import config
from qtx_ros.errors import QtxError
from qtx_ros.files import write_atomically
from qtx_ros.paths import share
from qtx_ros.preprocess import TEXT_LENGTH
from qtx_ros.spec import LIMITS, Spec

FORMAT = 1
TICK, INSTRUCTION = "tick.onnx", "instruction.onnx"
FRAME, ACT, WEIGHTS = "frame.onnx", "act.onnx", "weights.safetensors"  # not in every bundle
SENTENCE, TOKENIZER = "sentence.onnx", "tokenizer.json"  # of a frozen sentence encoder, nor these
OPTIONAL = (FRAME, ACT, WEIGHTS, SENTENCE, TOKENIZER)
ROBOTS_OWN = (
    "topic", "type", "max_age", "frozen_after", "frozen_motion", "max_speed", "limits", "clock_offset", "instruction",
    "events", "intervention", *LIMITS,
)  # fmt: skip
MANIFEST, MODEL_CARD = "manifest.json", "README.md"

Ports = dict[str, tuple[str, tuple[int, ...]]]  # name → (NumPy type, shape)


@dataclass(frozen=True)
class Manifest:
    """What a bundle says about itself."""

    name: str
    spec: Spec
    ring: tuple[int, int, int]  # T frames, K tokens each, W numbers a token
    features: int  # F, numbers that stand for the instruction
    model: dict = field(default_factory=dict)  # the network's configuration
    versions: dict = field(default_factory=dict)  # of the libraries that made it
    metrics: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)  # data, commands, seed
    picture: int = 0  # tokens of one camera's picture in frame.onnx and act.onnx; 0: the bundle has tick.onnx only
    precision: str = "fp32"  # of the graphs inside; their ports are the same in any
    files: dict = field(default_factory=dict)  # name → {"sha256", "bytes"}; filled when written
    format: int = FORMAT

    def tick_inputs(self) -> Ports:
        """Inputs of `tick.onnx`; without cameras there are no frames."""
        cameras = self.spec.cameras
        frames = {"frames": ("uint8", (len(cameras), cameras[0].height, cameras[0].width, 3))} if cameras else {}
        return frames | {
            "state": ("float32", (len(self.spec.state_names),)),
            "ring": ("float32", self.ring),
            "first": ("bool", (1,)),
            "features": ("float32", (1, self.features)),
        }

    def tick_outputs(self) -> Ports:
        """Outputs of `tick.onnx`."""
        count, widest = len(self.spec.dimensions), max(d.bins for d in self.spec.dimensions)
        return {
            "bins": ("int64", (count,)),
            "values": ("float32", (count,)),
            "q": ("float32", (count,)),
            "q_all": ("float32", (count, widest)),
            "ring_out": ("float32", self.ring),
        }

    def frame_inputs(self) -> Ports:
        """Inputs of `frame.onnx`: the picture of one camera."""
        kind, shape = self.tick_inputs()["frames"]
        return {"frame": (kind, shape[1:]), "features": ("float32", (1, self.features))}

    def frame_outputs(self) -> Ports:
        """Outputs of `frame.onnx`."""
        return {"tokens": ("float32", (self.picture, self.ring[2]))}

    def act_inputs(self) -> Ports:
        """Inputs of `act.onnx`: those of `tick.onnx`, each camera's tokens instead of all frames."""
        tick = self.tick_inputs()
        del tick["frames"]
        return tick | {f"tokens_{i}": self.frame_outputs()["tokens"] for i in range(len(self.spec.cameras))}

    def act_outputs(self) -> Ports:
        """Outputs of `act.onnx`."""
        return self.tick_outputs()

    def instruction_inputs(self) -> Ports:
        """Inputs of `instruction.onnx`: hashed tokens, or what a frozen sentence encoder says."""
        size = self.model.get("text_size", 0)
        return {"tokens": ("float32", (1, size)) if size else ("int64", (1, TEXT_LENGTH))}

    def instruction_outputs(self) -> Ports:
        """Outputs of `instruction.onnx`."""
        return {"features": ("float32", (1, self.features))}


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: its manifest and the bytes of its graphs (and weights)."""

    folder: Path
    manifest: Manifest
    graphs: Mapping[str, bytes]


def for_robot(bundle: Bundle, robot: Spec) -> Bundle:
    """The bundle with the contract of the robot at hand, which may differ in what the network never saw.

    Topics, message types, age limits and command limits are the robot's own business. Anything else that differs from
    the contract the policy was trained with is a QtxError that names it.
    """
    ours, theirs = _learned(robot.to_dict()), _learned(bundle.manifest.spec.to_dict())
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            raise QtxError(
                f"bundle {bundle.folder} does not fit robot {robot.name!r}: {key} is {ours.get(key, 'absent')!r}, "
                f"the policy was trained with {theirs.get(key, 'absent')!r}"
            )
    return replace(bundle, manifest=replace(bundle.manifest, spec=robot))


def _learned(value: object, path: str = "") -> dict[str, object]:
    """The leaves of a contract that the network was trained with, by path."""
    if isinstance(value, (dict, list)) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        parts = [_learned(v, f"{path}[{k}]" if isinstance(value, list) else f"{path}.{k}".lstrip("."))
                 for k, v in items if k not in ROBOTS_OWN]  # fmt: skip
        return {key: leaf for part in parts for key, leaf in part.items()}
    return {} if path == "name" else {path: value}


def write_bundle_manifest(folder: str | Path, manifest: Manifest) -> Manifest:
    """Hash the graphs in `folder`, write `manifest.json` there (atomically), return the manifest with the hashes."""
    folder = Path(folder)
    names = [TICK, INSTRUCTION, *(name for name in OPTIONAL if (folder / name).exists())]
    files = {name: _entry(_read(folder, name)) for name in names}
    manifest = replace(manifest, files=files)
    _check(manifest, str(folder / MANIFEST))
    write_atomically(folder / MANIFEST, (json.dumps(config.dump(manifest), indent=1) + "\n").encode())
    return manifest


def read_manifest(folder: str | Path) -> Manifest:
    """The manifest of a bundle folder, checked against itself but not against the graphs."""
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise QtxError(f"{folder} is not a bundle: it has no {MANIFEST} (`qtx export` makes one)")
    data = _json(path)
    if data.get("format") != FORMAT:
        raise QtxError(f"{path}: format is {data.get('format')!r}, this version of qtx_ros reads format {FORMAT}")
    manifest = config.build(Manifest, data, str(path))
    _check(manifest, str(path))
    return manifest


def bundle_folder(bundle: str) -> Path:
    """The folder of a bundle: a path, or the name of a shipped one."""
    if not bundle:
        raise QtxError("parameter 'bundle' is empty, expected a bundle's folder or the name of a shipped one")
    if "/" in bundle or Path(bundle).exists():
        return Path(bundle)
    return share(f"models/{bundle}")


def load_bundle(folder: str | Path) -> Bundle:
    """Read a bundle folder and verify every graph against its hash; QtxError says what is wrong."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    names = [TICK, INSTRUCTION, *([FRAME, ACT] if manifest.picture else []), *({WEIGHTS} & manifest.files.keys())]
    names += [SENTENCE, TOKENIZER] if manifest.model.get("text_size") else []
    return Bundle(folder, manifest, {name: _verified(folder, manifest, name) for name in names})


def _verified(folder: Path, manifest: Manifest, name: str) -> bytes:
    entry, data = manifest.files.get(name), _read(folder, name)
    if not isinstance(entry, dict) or not {"sha256", "bytes"} <= entry.keys():
        raise QtxError(f"{folder / MANIFEST}: files has no sha256 and bytes for {name}, it has {entry!r}")
    if len(data) != entry["bytes"]:
        raise QtxError(f"{folder / name} has {len(data)} bytes, not the {entry['bytes']} of its manifest: copy it anew")
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry["sha256"]:
        raise QtxError(
            f"{folder / name} was changed after export: its SHA-256 is {digest[:12]}…, "
            f"not the {str(entry['sha256'])[:12]}… of its manifest: copy it anew"
        )
    return data


def _json(path: Path) -> dict:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise QtxError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise QtxError(f"{path} holds {type(data).__name__}, expected a mapping of keys to values")
    return data


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise QtxError(f"bundle {folder}: cannot read {name}: {error.strerror}") from None


def _entry(data: bytes) -> dict:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _check(manifest: Manifest, where: str) -> None:
    if manifest.ring[0] != manifest.spec.history:
        raise QtxError(f"{where}: ring holds {manifest.ring[0]} frames, its spec has history {manifest.spec.history}")
    if min(*manifest.ring, manifest.features) < 1:
        raise QtxError(f"{where}: ring {list(manifest.ring)} and features {manifest.features} must be at least 1")
    if not 0 <= manifest.picture * len(manifest.spec.cameras) <= manifest.ring[1]:
        raise QtxError(
            f"{where}: {len(manifest.spec.cameras)} pictures of {manifest.picture} tokens do not fit the "
            f"{manifest.ring[1]} tokens that a frame has in the ring"
        )
    sizes = {(camera.height, camera.width) for camera in manifest.spec.cameras}
    if len(sizes) > 1:
        raise QtxError(f"{where}: cameras have the sizes {sorted(sizes)}, a policy takes cameras of one size")
