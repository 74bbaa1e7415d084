"""Parquet files of a LeRobot dataset: steps, episodes and tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qtx_ros.data.lerobot.layout import DATA_MB, DATA_PATH, EPISODES_PATH, TASKS_PATH, place

SETTINGS = {"compression": "snappy", "write_page_checksum": True}


class StepWriter:
    """The data files: the steps of episodes one after another, a new file where the last is full."""

    def __init__(self, root: Path, features: Mapping[str, dict]) -> None:
        self._root, self._schema = root, schema(features)
        self._number, self._file, self._writer = -1, None, None

    def start(self) -> dict[str, int]:
        """Begin an episode: chunk and file index of the file it goes to, whole."""
        if self._file is None or self._file.tell() >= DATA_MB << 20:
            self._open()
        return place(self._number)

    def write(self, columns: Mapping[str, Any]) -> None:
        """Append steps: arrays [N] or [N, D], or lists of encoded images."""
        import pyarrow

        arrays = [_array(columns[field.name], field.type) for field in self._schema]
        self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=self._schema))

    def _open(self) -> None:
        import pyarrow.parquet

        self.close()
        self._number += 1
        path = self._root / DATA_PATH.format(**place(self._number))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "wb")
        self._writer = pyarrow.parquet.ParquetWriter(self._file, self._schema, **SETTINGS)

    def close(self) -> None:
        """Finish the file that is open, if one is."""
        if self._writer is not None:
            self._writer.close()
            self._file.close()
            self._writer = None


def schema(features: Mapping[str, dict]):
    """The Arrow schema of the steps: one number or a list of fixed length per feature, videos are no column."""
    import pyarrow

    fields, hints = [], {}
    for key, feature in features.items():
        if feature["dtype"] == "video":
            continue
        if feature["dtype"] == "image":
            fields.append((key, pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])))
            hints[key] = {"_type": "Image"}
            continue
        one, (length,) = pyarrow.type_for_alias(feature["dtype"]), feature["shape"]
        hint = {"dtype": feature["dtype"], "_type": "Value"}
        fields.append((key, one if length == 1 else pyarrow.list_(one, length)))
        hints[key] = hint if length == 1 else {"feature": hint, "length": length, "_type": "Sequence"}
    return pyarrow.schema(fields, {"huggingface": json.dumps({"info": {"features": hints}})})


def _array(values: Any, type: Any):
    import pyarrow

    if pyarrow.types.is_struct(type):
        return pyarrow.array([{"bytes": data, "path": None} for data in values], type)
    values = np.ascontiguousarray(values)
    if pyarrow.types.is_fixed_size_list(type):
        return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values.reshape(-1), type.value_type), type=type)
    return pyarrow.array(values.reshape(-1), type)


def write_episodes(root: Path, number: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a file of `meta/episodes`, counted from 0: one row for each episode."""
    import pyarrow.parquet

    path = root / EPISODES_PATH.format(**place(number))
    path.parent.mkdir(parents=True, exist_ok=True)
    where = {f"meta/episodes/{name}": index for name, index in place(number).items()}
    table = pyarrow.Table.from_pylist([{**row, **where} for row in rows])
    pyarrow.parquet.write_table(table, path, **SETTINGS)


def write_tasks(root: Path, tasks: Sequence[str]) -> None:
    """Write `meta/tasks.parquet` as pandas would write a frame whose index is the task's text."""
    import pyarrow.parquet

    index = "__index_level_0__"
    described = [_pandas("task_index", "task_index", "int64"), _pandas(None, index, "unicode", "object")]
    level = _pandas(None, None, "unicode", "object") | {"metadata": {"encoding": "UTF-8"}}
    pandas = {"index_columns": [index], "column_indexes": [level], "columns": described}
    pandas |= {"creator": {"library": "pyarrow", "version": pyarrow.__version__}, "pandas_version": "2.0.0"}
    table = pyarrow.table({"task_index": pyarrow.array(range(len(tasks)), pyarrow.int64()), index: list(tasks)})
    table = table.replace_schema_metadata({"pandas": json.dumps(pandas)})
    pyarrow.parquet.write_table(table, root / TASKS_PATH, **SETTINGS)


def _pandas(name: str | None, field: str | None, kind: str, numpy: str = "int64") -> dict:
    return {"name": name, "field_name": field, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
