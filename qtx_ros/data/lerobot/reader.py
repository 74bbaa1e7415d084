"""A LeRobot dataset on disk, v3.0 or v2.x: features, episodes, their columns and frames. Read without lerobot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from qtx_ros.data import compressed
from qtx_ros.data.lerobot.layout import INDEX, TASKS_PATH
from qtx_ros.data.lerobot.video import read_video
from qtx_ros.errors import QtxError

READS = ("v3.0", "v2.1", "v2.0")
PLACEHOLDER = re.compile(r"\{(chunk_index|file_index|episode_chunk|episode_index|video_key)(:0?\d?d)?\}")


@dataclass(frozen=True)
class Entry:
    """One episode: where its steps and videos lie, and what the dataset says of it besides."""

    index: int
    length: int
    data: dict[str, int]  # what the path of its data file is made of
    videos: dict[str, dict] = field(default_factory=dict)  # feature → what its path is made of
    starts: dict[str, float] = field(default_factory=dict)  # feature → [s] where it begins in the video
    own: dict[str, Any] = field(default_factory=dict)  # the entries `qtx/…` of an export of ours


class LeRobotFolder:
    """A dataset: `info` is `meta/info.json`, `features` its features, `entries` its episodes, `tasks` their texts."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.info = self._json("meta/info.json")
        version = self.info.get("codebase_version")
        if version not in READS:
            raise QtxError(f"{self.root} is a LeRobot dataset {version!r}, expected one of {', '.join(READS)}")
        self.features = self._known("features", dict)
        self.fps = float(self._known("fps", (int, float)))
        if not 0 < self.fps <= 1000:
            raise QtxError(f"{self.root}/meta/info.json: fps is {self.fps}, expected a number in (0, 1000]")
        for key, feature in self.features.items():
            self._check(key, feature)
        self.tasks = self._read_tasks()
        self.entries = self._read_entries()
        self._newest: tuple[Path | None, Any] = (None, None)

    def _json(self, name: str) -> dict:
        path = self.root / name
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise QtxError(f"{self.root} is not a LeRobot dataset: cannot read {name}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise QtxError(f"{path} is not valid JSON: {error}") from None
        if not isinstance(data, dict):
            raise QtxError(f"{path} holds {type(data).__name__}, expected an object")
        return data

    def _known(self, key: str, kind: Any) -> Any:
        value = self.info.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise QtxError(f"{self.root}/meta/info.json: {key} is {value!r:.80}")
        return value

    def _check(self, key: str, feature: Any) -> None:
        shape = feature.get("shape") if isinstance(feature, dict) else None
        if not isinstance(shape, list) or not all(isinstance(n, int) and n > 0 for n in shape):
            raise QtxError(f"{self.root}: feature {key!r} has the shape {shape!r:.80}, expected a list of sizes")
        if not isinstance(feature.get("dtype"), str):
            raise QtxError(f"{self.root}: feature {key!r} has the dtype {feature.get('dtype')!r:.80}")

    # --- episodes and tasks ---

    def _read_entries(self) -> list[Entry]:
        read = self._entry_v3 if self.info["codebase_version"] == "v3.0" else self._entry_v2
        rows = self._rows_v3() if self.info["codebase_version"] == "v3.0" else self._lines("meta/episodes.jsonl")
        try:
            entries = sorted((read(row) for row in rows), key=lambda entry: entry.index)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            said = f"lacks {error}" if isinstance(error, KeyError) else f"cannot be read: {error}"
            raise QtxError(f"{self.root}/meta: an entry of the list of episodes {said}") from None
        double = [one.index for one, other in zip(entries, entries[1:], strict=False) if one.index == other.index]
        if double:
            raise QtxError(f"{self.root}/meta: episode {double[0]} stands twice in the list of episodes")
        return entries

    def _rows_v3(self) -> Iterator[dict]:
        paths = sorted((self.root / "meta/episodes").glob("*/*.parquet"))
        if not paths:
            raise QtxError(f"{self.root}/meta/episodes holds no parquet file")
        for path in paths:
            yield from self._parquet(path, skip="stats/").to_pylist()

    def _entry_v3(self, row: Mapping) -> Entry:
        def part(prefix: str) -> dict:
            return {key[len(prefix) :]: value for key, value in row.items() if key.startswith(prefix)}

        videos = {key: part(f"videos/{key}/") for key in self.videos}
        starts = {key: float(where["from_timestamp"]) for key, where in videos.items()}
        return Entry(int(row["episode_index"]), int(row["length"]), part("data/"), videos, starts, part("qtx/"))

    def _entry_v2(self, row: Mapping) -> Entry:
        index = int(row["episode_index"])
        place = {"episode_chunk": index // int(self.info.get("chunks_size") or 1000), "episode_index": index}
        videos, starts = dict.fromkeys(self.videos, place), dict.fromkeys(self.videos, 0.0)
        return Entry(index, int(row["length"]), place, videos, starts)

    def _read_tasks(self) -> dict[int, str]:
        if self.info["codebase_version"] != "v3.0":
            return {line.get("task_index"): str(line.get("task")) for line in self._lines("meta/tasks.jsonl")}
        path = self.root / TASKS_PATH
        table = self._parquet(path)
        text = [name for name in table.column_names if name != "task_index"]
        if not text or "task_index" not in table.column_names:
            raise QtxError(f"{path} has the columns {', '.join(table.column_names)}, expected task_index and the text")
        return dict(zip(table["task_index"].to_pylist(), map(str, table[text[0]].to_pylist()), strict=True))

    def _lines(self, name: str) -> list[dict]:
        path = self.root / name
        try:
            found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise QtxError(f"cannot read {path}: {error}") from None
        if not all(isinstance(line, dict) for line in found):
            raise QtxError(f"{path} holds a line that is not an object")
        return found

    # --- what an episode holds ---

    @property
    def videos(self) -> list[str]:
        """Features stored as video."""
        return [key for key, feature in self.features.items() if feature["dtype"] == "video"]

    @property
    def cameras(self) -> list[str]:
        """Features that are pictures, stored as video or as images."""
        return [key for key, feature in self.features.items() if feature["dtype"] in ("video", "image")]

    def columns(self, entry: Entry) -> dict[str, np.ndarray]:
        """The numbers of an episode by feature, [N] or [N, D]."""
        table = self._steps(entry)
        known = [key for key in table.column_names if key in self.features or key in INDEX]
        found = {key: _numbers(table[key]) for key in known if key not in self.cameras}
        for key, values in found.items():
            width = int(np.prod(self.features[key]["shape"])) if key in self.features else 1
            if values.shape[1:] != ((width,) if width > 1 else ()):
                raise QtxError(f"{self.root}: column {key!r} holds {values.shape[1:]} numbers a step, not {width}")
        return found

    def frames(self, entry: Entry, key: str) -> Iterator[np.ndarray]:
        """The pictures of an episode in order, uint8 [H, W, 3] RGB."""
        shape = self.features[key]["shape"]
        size = tuple(shape[:2] if shape[-1] == 3 else shape[1:])
        for step, picture in enumerate(self._video(entry, key) if key in self.videos else self._images(entry, key)):
            if picture.shape[:2] != size:
                what = f"{self.root}: {key} of step {step} of episode {entry.index}"
                raise QtxError(f"{what} has {picture.shape[:2]} pixels, the feature says {size}")
            yield picture

    def _video(self, entry: Entry, key: str) -> Iterator[np.ndarray]:
        path = self._path("video_path", {**entry.videos[key], "video_key": key})
        return read_video(path, entry.starts[key], entry.length, self.fps)

    def _images(self, entry: Entry, key: str) -> Iterator[np.ndarray]:
        for step, cell in enumerate(self._steps(entry)[key]):
            cell, where = cell.as_py(), f"{self.root}: {key} of step {step} of episode {entry.index}"
            data = cell.get("bytes") if isinstance(cell, dict) else cell
            if not isinstance(data, bytes) or not data:
                raise QtxError(f"{where} is not stored in the dataset's files")
            try:
                yield compressed.image(SimpleNamespace(format="", data=data))
            except QtxError as error:
                raise QtxError(f"{where}: {error}") from None

    def _steps(self, entry: Entry):
        """The rows of an episode."""
        path = self._path("data_path", entry.data)
        table = self._table(path)
        rows = np.flatnonzero(table["episode_index"].to_numpy() == entry.index)
        if len(rows) != entry.length:
            raise QtxError(f"{path} holds {len(rows)} steps of episode {entry.index}, expected {entry.length}")
        return table.slice(rows[0], len(rows)) if rows[-1] - rows[0] + 1 == len(rows) else table.take(rows)

    def _table(self, path: Path):
        """A data file; the newest is kept, for episodes follow each other in it."""
        if self._newest[0] != path:
            table = self._parquet(path)
            for key in ("episode_index", *self.features):
                if key not in table.column_names and key not in self.videos:
                    raise QtxError(f"{path} lacks the column {key!r}")
            self._newest = (path, table)
        return self._newest[1]

    # --- files ---

    def _path(self, template: str, parts: Mapping[str, Any]) -> Path:
        text = self.info.get(template)
        plain = PLACEHOLDER.sub("", text) if isinstance(text, str) else "{"
        if "{" in plain or "}" in plain or ".." in plain or plain.startswith("/"):
            raise QtxError(f"{self.root}/meta/info.json: {template} is {text!r:.120}, no path with known placeholders")
        try:
            path = self.root / text.format(**parts)
        except (KeyError, ValueError, TypeError) as error:
            raise QtxError(f"{self.root}: an episode lacks {error} for the file {text!r:.120}") from None
        if not path.exists():
            raise QtxError(f"{path} is missing")
        return path

    def _parquet(self, path: Path, skip: str = "\0"):
        import pyarrow
        import pyarrow.parquet

        try:
            file = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)
            return file.read([name for name in file.schema_arrow.names if not name.startswith(skip)])
        except (OSError, pyarrow.ArrowException, ValueError) as error:
            raise QtxError(f"cannot read {path}: {' '.join(str(error).split())}") from None


def _numbers(column: Any) -> np.ndarray:
    """An Arrow column as [N] or, of lists, as [N, D]."""
    import pyarrow

    column = column.combine_chunks() if isinstance(column, pyarrow.ChunkedArray) else column
    if not pyarrow.types.is_nested(column.type):
        return column.to_numpy(zero_copy_only=False)
    return np.array(column.to_pylist())
