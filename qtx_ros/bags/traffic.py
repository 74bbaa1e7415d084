"""What each topic of a recording does: rate, age, gaps, losses; and whether that is what the robot's file asks for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from qtx_ros.spec import Camera, Spec, StateStream

SETTLED = 10  # intervals before the usual time between messages is known
GAP = 2.0  # a message that stays away for longer than this many usual times left a gap
SECOND = 1_000_000_000  # [ns]


@dataclass(frozen=True)
class Limits:
    """What a recording of a topic must be to be accepted; None: anything."""

    min_rate: float | None = None  # [Hz]
    max_gap: float | None = None  # [s]
    max_lost: float | None = None  # [share]

    @classmethod
    def of(cls, stream: Camera | StateStream) -> Limits:
        """Those of a camera or state stream of a robot's file."""
        return cls(stream.min_rate, stream.max_gap, stream.max_lost)


def limits(spec: Spec) -> dict[str, Limits]:
    """Topic as the robot's file names it → its limits, where it has any."""
    every = {stream.topic: Limits.of(stream) for stream in (*spec.cameras, *spec.states)}
    return {topic: one for topic, one in every.items() if one != Limits()}


class TopicTraffic:
    """One topic since an episode began. Times are the recorder's [ns]."""

    def __init__(self, name: str, type: str, start_ns: int, limits: Limits = Limits()) -> None:
        self.name, self.type, self.start_ns, self.limits = name, type, start_ns, limits
        self.messages, self.bytes = 0, 0
        self.lost_wire, self.lost_queue = 0, 0
        self.last_ns = start_ns
        self.gaps = 0
        self.age, self.max_age = math.nan, math.nan  # [s]
        self.rate = 0.0  # [Hz] between the last two calls of `tick`
        self._longest, self._usual, self._intervals = 0, 0.0, 0
        self._ticked = (start_ns, 0)

    def heard(self, receive_ns: int, size: int, stamp_ns: int = 0) -> None:
        """A message of `size` bytes came; `stamp_ns`: its header stamp, 0 without one."""
        self._pass(receive_ns - self.last_ns)
        self.last_ns = max(self.last_ns, receive_ns)
        self.messages += 1
        self.bytes += size
        if stamp_ns > 0:
            self.age = (receive_ns - stamp_ns) / SECOND
            self.max_age = self.age if math.isnan(self.max_age) else max(self.max_age, self.age)

    def tick(self, now_ns: int) -> None:
        """Measure the rate since the last call."""
        before_ns, before = self._ticked
        if now_ns > before_ns:
            self.rate = (self.messages - before) * SECOND / (now_ns - before_ns)
        self._ticked = (now_ns, self.messages)

    def silence(self, now_ns: int) -> float:
        """[s] since the newest message, or since the beginning."""
        return max(now_ns - self.last_ns, 0) / SECOND

    def max_gap(self, now_ns: int) -> float:
        """[s] the longest time without a message, the present silence included."""
        return max(self._longest / SECOND, self.silence(now_ns))

    @property
    def lost(self) -> int:
        return self.lost_wire + self.lost_queue

    def problems(self, now_ns: int) -> dict[str, str]:
        """Which limits are broken: key of the limit → a sentence with value and limit."""
        found = {}
        seconds, gap = (now_ns - self.start_ns) / SECOND, self.max_gap(now_ns)
        low = self.limits.min_rate is not None and seconds > 1 and self.messages + 1 < self.limits.min_rate * seconds
        if low:
            rate = self.messages / seconds
            found["min_rate"] = f"{self.name} came at {rate:.1f} Hz, min_rate is {self.limits.min_rate:g} Hz"
        if self.limits.max_gap is not None and gap > self.limits.max_gap:
            found["max_gap"] = f"{self.name} was silent for {gap:.2f} s, max_gap is {self.limits.max_gap:g} s"
        share = self.lost / max(self.messages + self.lost_wire, 1)
        if self.limits.max_lost is not None and share > self.limits.max_lost:
            lost = f"{self.name} lost {self.lost} messages ({100 * share:.2g} %)"
            found["max_lost"] = f"{lost}, max_lost is {100 * self.limits.max_lost:g} %"
        return found

    def _pass(self, interval: int) -> None:
        """Time went by between two messages, or between the beginning and the first one [ns]."""
        self._longest = max(self._longest, interval)
        if not self.messages:
            return
        if self._intervals >= SETTLED and interval > GAP * self._usual:
            self.gaps += 1
            interval = GAP * self._usual
        self._intervals += 1
        self._usual += (interval - self._usual) / min(self._intervals, 50)


class Traffic:
    """All topics of an episode."""

    def __init__(self, start_ns: int, limits: dict[str, Limits]) -> None:
        """`limits`: full topic name → its limits; such a topic is judged even if nobody publishes it."""
        self.start_ns, self._limits = start_ns, limits
        self.topics = {name: TopicTraffic(name, "", start_ns, one) for name, one in limits.items()}

    def add(self, name: str, type: str, now_ns: int) -> TopicTraffic:
        """The topic, known from now on."""
        if name not in self.topics:
            self.topics[name] = TopicTraffic(name, type, now_ns)
        self.topics[name].type = type
        return self.topics[name]

    def problems(self, now_ns: int) -> dict[tuple[str, str], str]:
        """All broken limits: (topic, key of the limit) → a sentence."""
        return {(t.name, key): text for t in self.topics.values() for key, text in t.problems(now_ns).items()}


def total_lost(topics: Iterable[TopicTraffic]) -> int:
    """Messages known to be lost."""
    return sum(topic.lost for topic in topics)
