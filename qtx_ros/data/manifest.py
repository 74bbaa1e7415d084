"""Reading an episode's manifest with care: it may come from anybody, or be damaged."""

from __future__ import annotations

from pathlib import Path

from qtx_ros.data.episode import CODECS, FORMAT, read_json
from qtx_ros.errors import QtxError

KEYS = {
    "codec": str, "spec_digest": str, "steps": int, "valid_steps": int, "label": str, "instruction": str,
    "terminated": bool, "truncated": bool, "files": dict,
}  # fmt: skip


def read_manifest(folder: Path) -> dict:
    """The manifest of an episode with every key that readers need. QtxError says what is wrong with it."""
    path = folder / "manifest.json"
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise QtxError(f"{path} is no manifest of format {FORMAT}")
    for key, kind in KEYS.items():
        if type(manifest.get(key)) is not kind:
            raise QtxError(f"{path}: {key} is {manifest.get(key)!r:.60}, expected {kind.__name__}")
    if manifest["codec"] not in CODECS or not 0 <= manifest["valid_steps"] <= manifest["steps"]:
        counts = f"{manifest['valid_steps']} of {manifest['steps']} steps valid"
        raise QtxError(f"{path}: codec {manifest['codec']!r:.20}, {counts}; that cannot be")
    for name, entry in manifest["files"].items():
        if Path(name).name != name or not _is_fingerprint(entry):
            raise QtxError(f"{path}: the entry of file {name!r:.60} is not a name with sha256 and bytes")
    return manifest


def _is_fingerprint(entry: object) -> bool:
    return isinstance(entry, dict) and type(entry.get("sha256")) is str and type(entry.get("bytes")) is int
