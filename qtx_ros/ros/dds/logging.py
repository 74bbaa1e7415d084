"""Loggers with rcl's levels and console format; every line also goes to `/rosout` of the node that owns the logger."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from qtx_ros.ros.dds.arguments import Arguments

DEFAULT_FORMAT = "[{severity}] [{time}] [{name}]: {message}"
COLORS = {10: "\033[32m", 20: "", 30: "\033[33m", 40: "\033[31m", 50: "\033[31m"}


class LoggingSeverity(IntEnum):
    UNSET = 0
    DEBUG = 10
    INFO = 20
    WARN = 30
    ERROR = 40
    FATAL = 50


@dataclass(frozen=True)
class Record:
    """One line of the log."""

    level: int
    name: str
    text: str
    stamp_ns: int
    file: str
    function: str
    line: int


_levels: dict[str, int] = {"": LoggingSeverity.INFO}
_sinks: dict[str, Callable[[Record], None]] = {}
_console = True
_lock = threading.Lock()


def configure(arguments: Arguments) -> None:
    """Apply `--log-level` and the logging switches of the command line."""
    global _console
    _levels[""] = arguments.log_level or LoggingSeverity.INFO
    _levels.update(arguments.logger_levels)
    _console = arguments.switches.get("stdout-logs", True)


def add_sink(name: str, sink: Callable[[Record], None]) -> None:
    """Hand every record of the logger `name` and of its children to `sink`."""
    _sinks[name] = sink


def remove_sink(name: str) -> None:
    _sinks.pop(name, None)


def get_logger(name: str) -> RcutilsLogger:
    """The logger of this name; parts are separated by dots."""
    return RcutilsLogger(name)


def set_logger_level(name: str, level: int) -> None:
    _levels[name] = LoggingSeverity(level)


def get_logger_effective_level(name: str) -> LoggingSeverity:
    """The level of the logger or of the nearest ancestor that has one."""
    for ancestor in _ancestors(name):
        if _levels.get(ancestor):
            return LoggingSeverity(_levels[ancestor])
    return LoggingSeverity.INFO


class RcutilsLogger:
    """rclpy's logger: `once`, `skip_first` and `throttle_duration_sec` filter per calling line."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._seen: dict[tuple[str, int], float] = {}

    def get_child(self, name: str) -> RcutilsLogger:
        return RcutilsLogger(f"{self.name}.{name}" if self.name else name)

    def set_level(self, level: int) -> None:
        set_logger_level(self.name, level)

    def get_effective_level(self) -> LoggingSeverity:
        return get_logger_effective_level(self.name)

    def is_enabled_for(self, level: int) -> bool:
        return level >= self.get_effective_level()

    def debug(self, message: str, **filters) -> bool:
        return self._log(message, LoggingSeverity.DEBUG, **filters)

    def info(self, message: str, **filters) -> bool:
        return self._log(message, LoggingSeverity.INFO, **filters)

    def warning(self, message: str, **filters) -> bool:
        return self._log(message, LoggingSeverity.WARN, **filters)

    def warn(self, message: str, **filters) -> bool:
        return self._log(message, LoggingSeverity.WARN, **filters)

    def error(self, message: str, **filters) -> bool:
        return self._log(message, LoggingSeverity.ERROR, **filters)

    def fatal(self, message: str, **filters) -> bool:
        return self._log(message, LoggingSeverity.FATAL, **filters)

    def log(self, message: str, severity: int, **filters) -> bool:
        return self._log(message, severity, **filters)

    def _log(
        self,
        message: str,
        severity: int,
        *,
        once: bool = False,
        skip_first: bool = False,
        throttle_duration_sec: float | None = None,
        throttle_time_source_type=None,
        name: str | None = None,
    ) -> bool:
        """Write the line unless a filter holds it back; whether it was written."""
        if not self.is_enabled_for(severity):
            return False
        caller = sys._getframe(2)
        place = (caller.f_code.co_filename, caller.f_lineno)
        if not self._passes(place, once, skip_first, throttle_duration_sec, throttle_time_source_type):
            return False
        function = caller.f_code.co_name
        emit(Record(int(severity), name or self.name, str(message), time.time_ns(), place[0], function, place[1]))
        return True

    def _passes(self, place: tuple[str, int], once: bool, skip_first: bool, period: float | None, clock) -> bool:
        now = clock.now().nanoseconds / 1e9 if clock else time.monotonic()
        last = self._seen.get(place)
        if last is None:
            self._seen[place] = now
            return not skip_first
        if once or (period is not None and 0 <= now - last < period):
            return False
        self._seen[place] = now
        return True


def emit(record: Record) -> None:
    """Write a record to the console and to the sinks of its logger."""
    if _console:
        stream = sys.stdout if os.environ.get("RCUTILS_LOGGING_USE_STDOUT") == "1" else sys.stderr
        with _lock:
            try:
                print(format_record(record, stream), file=stream, flush=True)
            except (ValueError, OSError):
                pass  # the console was closed; the sinks still get the line
    for ancestor in _ancestors(record.name):
        if ancestor in _sinks:
            _sinks[ancestor](record)
            return


def format_record(record: Record, stream) -> str:
    """The console line, in rcl's format or RCUTILS_CONSOLE_OUTPUT_FORMAT."""
    text = os.environ.get("RCUTILS_CONSOLE_OUTPUT_FORMAT") or DEFAULT_FORMAT
    fields = {
        "severity": LoggingSeverity(record.level).name,
        "name": record.name,
        "time": f"{record.stamp_ns // 10**9}.{record.stamp_ns % 10**9:09d}",
        "time_as_nanoseconds": str(record.stamp_ns),
        "file_name": record.file,
        "short_file_name": Path(record.file).name,
        "function_name": record.function,
        "line_number": str(record.line),
    }
    for key, value in fields.items():
        text = text.replace(f"{{{key}}}", value)
    text = text.replace("{message}", record.text)
    colored = os.environ.get("RCUTILS_COLORIZED_OUTPUT", "1" if stream.isatty() else "0") == "1"
    color = COLORS.get(record.level, "") if colored else ""
    return f"{color}{text}\033[0m" if color else text


def _ancestors(name: str) -> list[str]:
    """`a.b.c`, `a.b`, `a` and the root."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(len(parts), 0, -1)] + [""]
