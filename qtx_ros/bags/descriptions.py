"""What the channels of a damaged MCAP file are: from wherever it still says so."""

from __future__ import annotations

from collections.abc import Mapping

from mcap import records

from qtx_ros.bags.target import Topic


class Descriptions:
    """Topics by channel number. What stands in damaged chunks is used where nothing else describes a channel."""

    def __init__(self, types: Mapping[str, str]) -> None:
        """`types`: topic → message type, where something beside the file says so."""
        self._types = types
        self._schemas: tuple[dict, dict] = {}, {}  # sure, doubtful
        self._channels: tuple[dict, dict] = {}, {}
        self.doubtful: set[str] = set()  # topics asked for whose description is doubtful

    def learn(self, entry: records.Schema | records.Channel, sure: bool = True) -> None:
        """A schema or channel; the first of its number counts."""
        known = self._channels if isinstance(entry, records.Channel) else self._schemas
        known[not sure].setdefault(entry.id, entry)

    def sure(self) -> list[int]:
        """Channels that a sound part of the file describes."""
        return list(self._channels[0])

    def topic(self, number: int) -> Topic | None:
        """The topic of a channel; None if nothing says what it is."""
        channel = self._channels[0].get(number) or self._channels[1].get(number)
        if channel is None:
            return None
        schema = self._schemas[0].get(channel.schema_id) or self._schemas[1].get(channel.schema_id)
        if schema is None:
            return self._without_schema(channel)
        if number not in self._channels[0] or channel.schema_id not in self._schemas[0]:
            self.doubtful.add(channel.topic)
        definition = (schema.data, schema.encoding)
        return Topic(channel.topic, schema.name, channel.message_encoding, *definition, channel.metadata)

    def _without_schema(self, channel: records.Channel) -> Topic | None:
        type = self._types.get(channel.topic, "")
        if channel.schema_id and not type:
            return None
        return Topic(channel.topic, type, channel.message_encoding, metadata=channel.metadata)
