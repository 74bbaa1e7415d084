"""Messages that are decoded when somebody looks into them.

Most camera frames and joint states of a bag fall between two ticks, and nobody ever does."""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from qtx_ros.bags.parts import Raw
from qtx_ros.errors import QtxError

STAMP = (struct.Struct(">4xiI"), struct.Struct("<4xiI"))  # CDR: representation (big or little endian), sec, nanosec


class Late:
    """A message whose type begins with a header. The header's stamp is read at once, the rest when it is asked for.

    Until then `header` holds nothing but the stamp. What cannot be decoded raises QtxError, and is noted in `failures`.
    """

    __slots__ = ("header", "_raw", "_decode", "_failures", "_message")

    def __init__(self, raw: Raw, decode: Callable[[Raw], Any], failures: list[QtxError]) -> None:
        self._raw, self._decode, self._failures, self._message = raw, decode, failures, None
        if len(raw.data) < STAMP[0].size:
            decode(raw)  # which says what is wrong
        sec, nanosec = STAMP[raw.data[1] & 1].unpack_from(raw.data)
        self.header: Any = SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.decoded(), name)

    def decoded(self) -> Any:
        """The whole message; QtxError if it cannot be decoded."""
        if self._message is None:
            try:
                self._message = self._decode(self._raw)
            except QtxError as error:
                self._failures.append(error)
                raise
            self.header = self._message.header
        return self._message
