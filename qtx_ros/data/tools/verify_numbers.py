"""Whether the columns and frames of an episode make sense, beyond being the bytes that were written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from qtx_ros.data.episode import Columns, Episode
from qtx_ros.data.stored import stored_frames
from qtx_ros.errors import QtxError
from qtx_ros.spec import Spec


def check_numbers(folder: Path, spec: Spec, manifest: dict, decode: bool = False) -> list[str]:
    """Sentences that name the file: shapes, types, order of time, NaN, frames' places, and that frames decode."""
    try:
        columns = _load(folder, manifest)
        problems = [*_shapes(folder, spec, columns, manifest["steps"])]
        problems = problems or [*_values(folder, columns, manifest)]
        return problems or [*_frames(folder, spec, columns["valid"], decode)]
    except QtxError as error:
        return [str(error)]


def _load(folder: Path, manifest: dict) -> dict[str, np.ndarray]:
    columns = {}
    for name in Columns.DTYPES:
        path = folder / f"{name}.npy"
        if path.name not in manifest["files"]:
            if name == "intervention":  # younger than the first sets
                continue
            raise QtxError(f"{folder}/manifest.json lists no {path.name}")
        try:
            columns[name] = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise QtxError(f"cannot read {path}: {error}") from None
    return columns


def _shapes(folder: Path, spec: Spec, columns: dict[str, np.ndarray], steps: int) -> Iterator[str]:
    widths = {
        "state": (len(spec.state_names),),
        "action": (len(spec.dimensions),),
        "age": (len(spec.cameras) + len(spec.states),),
    }
    for name, array in columns.items():
        shape, kind = (steps, *widths.get(name, ())), np.dtype(Columns.DTYPES[name])
        if array.shape != shape or array.dtype != kind:
            yield f"{folder}/{name}.npy holds {array.dtype} {array.shape}, expected {kind} {shape}"


def _values(folder: Path, columns: dict[str, np.ndarray], manifest: dict) -> Iterator[str]:
    valid = columns["valid"]
    if int(valid.sum()) != manifest["valid_steps"]:
        yield f"{folder}/valid.npy marks {int(valid.sum())} steps, the manifest says {manifest['valid_steps']}"
    if (np.diff(columns["tick"]) <= 0).any():
        step = int(np.argmax(np.diff(columns["tick"]) <= 0)) + 1
        yield f"{folder}/tick.npy does not rise at step {step}"
    for name in ("state", "action"):
        finite = np.isfinite(columns[name]).all(1) if columns[name].shape[1] else valid
        if (finite != valid).any():
            step = int(np.argmax(finite != valid))
            says = "valid but not finite" if valid[step] else "invalid but finite"
            yield f"{folder}/{name}.npy is {says} at step {step}"
    if not np.isfinite(columns["reward"]).all():
        yield f"{folder}/reward.npy is not finite at step {int(np.argmin(np.isfinite(columns['reward'])))}"


def _frames(folder: Path, spec: Spec, valid: np.ndarray, decode: bool) -> Iterator[str]:
    for camera in spec.cameras:
        offsets, _ = stored_frames(folder, camera.name)
        held = np.diff(offsets) > 0
        if len(held) != len(valid):
            yield f"{folder}/frames_{camera.name}.npy has {len(held)} frames, expected {len(valid)}"
        elif (held != valid).any():
            step = int(np.argmax(held != valid))
            says = "no frame at a valid step" if valid[step] else "a frame at an invalid step"
            yield f"{folder}/frames_{camera.name}.npy: {says}, {step}"
        elif decode:
            yield from _decoded(folder, spec, camera.name, valid)


def _decoded(folder: Path, spec: Spec, camera: str, valid: np.ndarray) -> Iterator[str]:
    episode = Episode(folder, spec)
    for step in np.flatnonzero(valid):
        try:
            episode.frame(camera, int(step))
        except (QtxError, ValueError) as error:
            yield f"{folder}/frames_{camera}.bin: step {step}: {error}"
            return
