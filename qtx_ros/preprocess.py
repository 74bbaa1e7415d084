"""The only home of image size, bins ↔ values, history padding and instruction hashing: training and robot share it."""

from __future__ import annotations

import functools
import math
import re
import zlib
from collections.abc import Mapping

import cv2
import numpy as np

from qtx_ros.errors import QtxError
from qtx_ros.spec import ActionDimension, Camera, Spec

TEXT_LENGTH = 64  # tokens per instruction, padded with 0
TEXT_BUCKETS = 4096  # hash buckets; token 0 is padding


# --- images ------------------------------------------------------------------------------------------------------

def resize(image: np.ndarray, camera: Camera) -> np.ndarray:
    """Crop and area-average a uint8 [h, w, 3] RGB image to the camera's [height, width, 3].

    Area averaging in both directions of scale: the filter must be one and the same in training and serving. An image
    of twice the size or more is halved first, which is several times as fast.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise QtxError(f"camera {camera.name!r}: got an image {image.dtype} {image.shape}, expected uint8 [h, w, 3]")
    if camera.crop is not None:
        image = _crop(image, camera)
    if image.shape[:2] == (camera.height, camera.width):
        return np.ascontiguousarray(image)
    return cv2.resize(_halved(image, camera), (camera.width, camera.height), interpolation=cv2.INTER_AREA)


def _halved(image: np.ndarray, camera: Camera) -> np.ndarray:
    """The image with 2 x 2 pixels averaged to one, as often as it stays at least as large as the camera's."""
    while True:
        height, width = image.shape[0] // 2, image.shape[1] // 2
        if image.shape[:2] != (2 * height, 2 * width) or height < camera.height or width < camera.width:
            return image
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _crop(image: np.ndarray, camera: Camera) -> np.ndarray:
    top, left, height, width = camera.crop
    part = image[max(top, 0) : top + height, max(left, 0) : left + width]
    if part.shape[:2] != (height, width):
        raise QtxError(f"camera {camera.name!r}: crop {camera.crop} does not fit an image of {image.shape[:2]}")
    return part


# --- bins ↔ values -----------------------------------------------------------------------------------------------

def cells(bins: int, base: int) -> tuple[int, int]:
    """Number of cells and of bins in each (in the last maybe fewer) that `bins` bins make, at most `base` in a cell."""
    inside = math.ceil(bins / math.ceil(bins / base))
    return math.ceil(bins / inside), inside


def decided_together(spec: Spec, model: Mapping) -> tuple[int, ...] | None:
    """Bins of a cell in each dimension, 1 where bins have none, of a network with these settings; None: all of them."""
    if model.get("code", "plain") == "plain":
        return None
    found = [cells(dimension.bins, model["code_base"]) for dimension in spec.dimensions]
    return tuple(inside if many > 1 else 1 for many, inside in found)


@functools.lru_cache(maxsize=1024)
def bin_values(dimension: ActionDimension) -> np.ndarray:
    """The value of each bin, float64 [bins], ascending from `low` to `high`.

    If the range holds zero, one bin is exactly zero: the grid is even on each side of it, or with a `curve` above 1
    closer near zero, where slow and careful motion lies: the k-th of n values up to `high` is high · (k / n)^curve
    (companding, as in telephony).
    """
    low, high, count = dimension.low, dimension.high, dimension.bins
    values = np.linspace(low, high, count)
    if dimension.around_zero:
        zero = zero_bin(dimension)
        values = np.concatenate([np.linspace(low, 0, zero + 1), np.linspace(0, high, count - zero)[1:]])
        if dimension.curve > 1:
            end = np.where(values < 0, -low, high)
            values = np.sign(values) * end * (np.abs(values) / end) ** dimension.curve
    values.setflags(write=False)
    return values


def zero_bin(dimension: ActionDimension) -> int:
    """The bin that holds zero, for a range around zero (256 bins, symmetric: 128)."""
    share_below = -dimension.low / (dimension.high - dimension.low)
    return int(np.clip(np.floor(share_below * (dimension.bins - 1) + 0.5), 1, dimension.bins - 2))


@functools.lru_cache(maxsize=1024)
def bin_edges(dimension: ActionDimension) -> np.ndarray:
    """Edges between bins, float64 [bins + 1]: bin i holds [edges[i], edges[i + 1])."""
    values = bin_values(dimension)
    edges = np.concatenate([[dimension.low], (values[1:] + values[:-1]) / 2, [dimension.high]])
    edges.setflags(write=False)
    return edges


def to_bins(spec: Spec, actions: np.ndarray) -> np.ndarray:
    """Nearest bin of each value, int64 [..., D] from float [..., D]; outside the range it is the outermost bin."""
    actions = np.asarray(actions, np.float64)
    if actions.shape[-1:] != (len(spec.dimensions),):
        raise QtxError(f"actions have shape {actions.shape}, expected {len(spec.dimensions)} dimensions last")
    if not np.isfinite(actions).all():
        raise QtxError("actions hold NaN or infinity, which no bin can hold")
    bins = [np.searchsorted(bin_edges(d)[1:-1], actions[..., i], side="right") for i, d in enumerate(spec.dimensions)]
    return np.stack(bins, -1).astype(np.int64)


def from_bins(spec: Spec, bins: np.ndarray) -> np.ndarray:
    """Value of each bin, float64 [..., D] from int [..., D]. The inverse of `to_bins` on bin values."""
    bins = np.asarray(bins)
    counts = np.array([d.bins for d in spec.dimensions])
    if bins.shape[-1:] != counts.shape or (bins < 0).any() or (bins >= counts).any():
        raise QtxError(f"bins {bins.tolist()} do not fit dimensions of {counts.tolist()} bins")
    return np.stack([bin_values(d)[bins[..., i]] for i, d in enumerate(spec.dimensions)], -1)


# --- history -----------------------------------------------------------------------------------------------------

def history_indices(step: int | np.ndarray, history: int) -> np.ndarray:
    """Indices of the last `history` frames up to `step`, int64 [..., history].

    Before the first frame stands the first frame: the ring of a live policy starts the same way.
    """
    offsets = np.arange(1 - history, 1)
    return np.maximum(np.asarray(step)[..., None] + offsets, 0)


# --- instructions ------------------------------------------------------------------------------------------------

def text_tokens(instruction: str) -> np.ndarray:
    """Hashed words and character trigrams of an instruction, int64 [TEXT_LENGTH], padded with 0."""
    words = re.findall(r"\w+", instruction.lower())
    grams = [f"#{word}#"[i : i + 3] for word in words for i in range(len(word))]
    pieces = [f"w:{word}" for word in words] + [f"g:{gram}" for gram in grams]
    tokens = [1 + zlib.crc32(piece.encode()) % (TEXT_BUCKETS - 1) for piece in pieces][:TEXT_LENGTH]
    return np.array(tokens + [0] * (TEXT_LENGTH - len(tokens)), np.int64)
