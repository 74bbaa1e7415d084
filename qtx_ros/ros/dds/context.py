"""The lifetime of ROS in this process: init, ok, shutdown."""

from __future__ import annotations

import atexit
import sys
import threading
import weakref
from collections.abc import Callable, Sequence

from qtx_ros.ros.dds import domain, logging, security, signals
from qtx_ros.ros.dds.arguments import Arguments, parse
from qtx_ros.ros.dds.exceptions import NotInitializedException
from qtx_ros.ros.dds.participant import Participant

_initialised: weakref.WeakSet[Context] = weakref.WeakSet()


class Context:
    """One participation in the ROS graph; most processes use the default one through `init()`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._valid = False
        self._participant: Participant | None = None
        self._callbacks: list[Callable[[], Callable[[], None] | None]] = []
        self.arguments = Arguments()

    def init(self, args: Sequence[str] | None = None, *, domain_id: int | None = None) -> None:
        """Join the domain; `args`: the command line, `sys.argv[1:]` when None.

        Raises:
            RuntimeError: it is initialised already.
            QtxError: wrong ROS arguments or environment, security is enforced, or no DDS library.
        """
        with self._lock:
            if self._valid:
                raise RuntimeError("ros.init() was called twice, call ros.shutdown() in between")
            self.close()
            self.arguments = parse(sys.argv[1:] if args is None else args)
            logging.configure(self.arguments)
            if warning := security.unprotected():
                logging.get_logger("qtx_ros").warning(warning)
            number = domain.domain_id_from_environment() if domain_id is None else domain_id
            self._participant = Participant(number, self.arguments.enclave)
            self._valid = True
            _initialised.add(self)

    @property
    def participant(self) -> Participant:
        """The DDS participant.

        Raises:
            NotInitializedException: `init()` was not called.
        """
        if self._participant is None:
            raise NotInitializedException()
        return self._participant

    def ok(self) -> bool:
        return self._valid

    def on_shutdown(self, callback: Callable[[], None]) -> None:
        """Call `callback` when this context is shut down; methods are held weakly, as in rclpy."""
        method = hasattr(callback, "__self__")
        with self._lock:
            self._callbacks.append(weakref.WeakMethod(callback) if method else lambda: callback)

    def invalidate(self) -> None:
        """End spinning and publishing; the participant stays until `shutdown()` or the process's exit."""
        with self._lock:
            if not self._valid:
                return
            self._valid = False
            callbacks, self._callbacks = self._callbacks, []
        for reference in callbacks:
            if callback := reference():
                callback()

    def shutdown(self) -> None:
        """End everything and leave the domain.

        Raises:
            RuntimeError: it is not initialised.
        """
        if self._participant is None:
            raise RuntimeError("ros.shutdown() was called on a context that is not initialised")
        self.try_shutdown()

    def try_shutdown(self) -> None:
        """As `shutdown()`, and nothing when there is nothing to shut down."""
        self.invalidate()
        self.close()

    def close(self) -> None:
        with self._lock:
            participant, self._participant = self._participant, None
        if participant:
            participant.close()

    def get_domain_id(self) -> int:
        return self.participant.domain_id


_default = Context()


def get_default_context() -> Context:
    return _default


def init(*, args: Sequence[str] | None = None, context: Context | None = None, domain_id: int | None = None) -> None:
    """Initialise ROS; `args` as in `Context.init`. On the default context SIGINT and SIGTERM then end spinning."""
    context = context or _default
    context.init(args, domain_id=domain_id)
    if context is _default:
        signals.install(_default.invalidate)


def ok(*, context: Context | None = None) -> bool:
    """Whether ROS is initialised and not shut down."""
    return (context or _default).ok()


def shutdown(*, context: Context | None = None) -> None:
    """Shut down.

    Raises:
        RuntimeError: not initialised.
    """
    (context or _default).shutdown()
    if context in (None, _default):
        signals.uninstall()


def try_shutdown(*, context: Context | None = None) -> None:
    """Shut down if need be."""
    (context or _default).try_shutdown()
    if context in (None, _default):
        signals.uninstall()


@atexit.register
def _leave() -> None:
    """Leave the domain at exit: a participant that vanishes silently haunts its peers for ten seconds."""
    for context in list(_initialised):
        context.try_shutdown()
