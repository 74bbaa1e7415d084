"""One episode of a training set on disk: a blob of frames with offsets, arrays of numbers, a manifest with hashes.

An episode is written into a hidden folder and renamed when it is complete, so a reader never sees half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from qtx_ros.data import jpeg
from qtx_ros.errors import QtxError
from qtx_ros.files import write_atomically
from qtx_ros.spec import Spec

FORMAT = 1
CODECS = ("jpeg", "raw")


@dataclass(frozen=True)
class Columns:
    """The numbers of an episode of N steps. Invalid steps hold NaN, never zeros."""

    state: np.ndarray  # [N, S]
    action: np.ndarray  # [N, D]
    reward: np.ndarray  # [N]
    tick: np.ndarray  # int64 [N] ns
    valid: np.ndarray  # bool [N]
    age: np.ndarray  # [N, cameras + states] s
    intervention: np.ndarray | None = None  # bool [N]: a human drove instead of the policy; None: nobody did

    DTYPES = {
        "state": "f4", "action": "f4", "reward": "f4", "tick": "i8", "valid": "?", "age": "f4", "intervention": "?"
    }  # fmt: skip

    def __post_init__(self) -> None:
        if self.intervention is None:
            object.__setattr__(self, "intervention", np.zeros(len(self.tick), bool))

    def cut(self, start: int, stop: int) -> Columns:
        """Steps start … stop − 1."""
        return Columns(**{name: getattr(self, name)[start:stop] for name in self.DTYPES})


class EpisodeWriter:
    """Writes one episode: `add` the frames step by step, then `finish` with the numbers; `abort` leaves nothing."""

    def __init__(self, root: Path, name: str, spec: Spec, codec: str = "jpeg") -> None:
        if codec not in CODECS:
            raise QtxError(f"codec is {codec!r}, expected one of {', '.join(CODECS)}")
        self._final = Path(root) / name
        self._folder = Path(root) / f".{name}.{os.getpid()}"
        self._spec, self._codec = spec, codec
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._blobs = {c.name: open(self._folder / f"frames_{c.name}.bin", "wb") for c in spec.cameras}
        self._offsets = {c.name: [0] for c in spec.cameras}

    def add(self, frames: Mapping[str, np.ndarray] | None) -> None:
        """Append one step's frames, uint8 [H, W, 3] per camera; None for a step that has none."""
        for name, blob in self._blobs.items():
            data = b"" if frames is None else encode(frames[name], self._codec)
            blob.write(data)
            self._offsets[name].append(self._offsets[name][-1] + len(data))

    def finish(self, columns: Columns, info: Mapping) -> dict:
        """Write numbers and manifest and put the episode in its place; returns the manifest.

        If `columns` has fewer steps than frames were added, the frames after them are cut off. `info` holds at least
        instruction, label, terminated and truncated.
        """
        count = len(columns.tick)
        for name, blob in self._blobs.items():
            offsets = np.array(self._offsets[name][: count + 1], np.int64)
            blob.truncate(int(offsets[-1]))
            _close(blob)
            self._save(f"frames_{name}", offsets)
        for name, dtype in Columns.DTYPES.items():
            self._save(name, np.asarray(getattr(columns, name), dtype))
        manifest = self._manifest(columns, info)
        write_json(self._folder / "manifest.json", manifest)
        shutil.rmtree(self._final, ignore_errors=True)
        os.replace(self._folder, self._final)
        return manifest

    def _manifest(self, columns: Columns, info: Mapping) -> dict:
        files = {path.name: _fingerprint(path) for path in sorted(self._folder.iterdir())}
        counts = {"steps": len(columns.tick), "valid_steps": int(np.sum(columns.valid))}
        fixed = {"format": FORMAT, "spec_digest": self._spec.digest(), "codec": self._codec}
        return {**fixed, **info, **counts, "files": files}

    def _save(self, name: str, array: np.ndarray) -> None:
        with open(self._folder / f"{name}.npy", "wb") as file:
            np.save(file, array)
            _close(file)

    def abort(self) -> None:
        """Throw away what was written."""
        for blob in self._blobs.values():
            blob.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def write_episode(
    root: Path, name: str, spec: Spec, frames: Mapping[str, np.ndarray], columns: Columns, info: Mapping, codec="jpeg"
) -> dict:
    """Write a whole episode at once from frames uint8 [N, H, W, 3] per camera; returns the manifest."""
    writer = EpisodeWriter(root, name, spec, codec)
    for step, valid in enumerate(columns.valid):
        writer.add({camera: images[step] for camera, images in frames.items()} if valid else None)
    return writer.finish(columns, info)


class Episode:
    """A finished episode, read lazily. `folder` is its directory, `manifest` what it says about itself."""

    def __init__(self, folder: str | Path, spec: Spec) -> None:
        self.folder, self.spec = Path(folder), spec
        self.manifest = read_json(self.folder / "manifest.json")
        if self.manifest.get("format") != FORMAT:
            raise QtxError(f"{self.folder}: format is {self.manifest.get('format')!r}, this version reads {FORMAT}")
        if self.manifest["spec_digest"] != spec.digest():
            raise QtxError(f"{self.folder} was converted for another robot description than {spec.name!r}")

    def __len__(self) -> int:
        return int(self.manifest["steps"])

    @cached_property
    def columns(self) -> Columns:
        """All numbers of the episode."""
        names = [name for name in Columns.DTYPES if f"{name}.npy" in self.manifest["files"]]  # older sets have fewer
        columns = Columns(**{name: _load(self.folder / f"{name}.npy") for name in names})
        if any(len(getattr(columns, name)) != len(self) for name in Columns.DTYPES):
            raise QtxError(f"{self.folder}: the arrays do not have {len(self)} steps as the manifest says")
        return columns

    @cached_property
    def _frames(self) -> dict[str, tuple[np.ndarray, list[int]]]:
        frames = {}
        for camera in self.spec.cameras:
            offsets = _load(self.folder / f"frames_{camera.name}.npy")
            path = self.folder / f"frames_{camera.name}.bin"
            blob = np.asarray(np.memmap(path, np.uint8, "r")) if path.stat().st_size else np.empty(0, np.uint8)
            frames[camera.name] = (blob, offsets.tolist())
        return frames

    def frame(self, camera: str, step: int) -> np.ndarray:
        """The frame of a camera at a step, uint8 [H, W, 3] RGB. QtxError for a step that has none."""
        shape = next((c.height, c.width, 3) for c in self.spec.cameras if c.name == camera)
        frame = np.empty((1, *shape), np.uint8)
        self.read_frames([camera], step, frame)
        return frame[0]

    def read_frames(self, cameras: Sequence[str], step: int, out: np.ndarray) -> None:
        """The frames of cameras at a step into `out`, uint8 [cameras, H, W, 3]. QtxError for a step that has none."""
        frames, codec = self._frames, self.manifest["codec"]
        for camera, frame in zip(cameras, out, strict=True):
            blob, offsets = frames[camera]
            start, stop = offsets[step], offsets[step + 1]
            if start == stop:
                raise QtxError(f"{self.folder}: step {step} is invalid and has no frame of camera {camera!r}")
            decode(blob[start:stop], codec, frame)

    def verify(self) -> None:
        """Compare every file with the hash in the manifest; QtxError names the first that differs."""
        for name, expected in self.manifest["files"].items():
            path = self.folder / name
            if not path.exists() or _fingerprint(path) != expected:
                raise QtxError(f"{path} is missing or differs from its hash in the manifest, convert the episode again")


# --- frames ↔ bytes ----------------------------------------------------------------------------------------------

def encode(frame: np.ndarray, codec: str) -> bytes:
    """Bytes of a frame uint8 [H, W, 3] RGB: a JPEG as `jpeg.encode` makes it, or the raw bytes."""
    return jpeg.encode(frame) if codec == "jpeg" else np.ascontiguousarray(frame).tobytes()


def decode(data: np.ndarray, codec: str, out: np.ndarray) -> None:
    """The inverse of `encode` (JPEG: up to its loss): the frame goes into `out`, uint8 [H, W, 3] contiguous."""
    if codec == "jpeg":
        jpeg.decode_into(data, out)
    elif data.size != out.size:
        raise QtxError(f"a stored frame of {data.size} bytes does not decode to {out.shape}")
    else:
        out[:] = data.reshape(out.shape)


# --- files -------------------------------------------------------------------------------------------------------

def read_json(path: Path) -> dict:
    """The object in a JSON file."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise QtxError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise QtxError(f"{path} is not valid JSON: {error}") from None


def write_json(path: Path, data: Mapping) -> None:
    """Replace a JSON file at once."""
    write_atomically(path, json.dumps(data, indent=1).encode())


def _close(file) -> None:
    """Force a file to disk and close it."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _load(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise QtxError(f"cannot read {path}: {error}") from None


def _fingerprint(path: Path) -> dict:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return {"sha256": digest.hexdigest(), "bytes": path.stat().st_size}
