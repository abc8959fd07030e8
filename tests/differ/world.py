"""What both brokers know under names of their own: ids of topics, producers, members, sessions."""

from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class Told:
    """A value that each broker gave out itself: Kafka's, and ours."""

    name: str
    values: tuple

    def __repr__(self):
        return f"<{self.name}>"


@dataclass
class World:
    """What has been made so far."""

    # Topics that there are, with their numbers of partitions.
    partitions: dict = field(default_factory=dict)
    topic_ids: dict = field(default_factory=dict)
    producers: list = field(default_factory=list)
    sequences: dict = field(default_factory=dict)
    members: dict = field(default_factory=dict)
    sessions: list = field(default_factory=list)
    # By broker: what a value that it gave out is called.
    names: tuple = field(default_factory=lambda: ({}, {}))

    def told(self, name, values, kind=None):
        """Remembers what both gave out for the same thing; numbers with what they are numbers of."""
        told = Told(name, tuple(values))
        for names, value in zip(self.names, values):
            names[value if kind is None else (kind, value)] = name
        return told

    def member(self, group, values):
        if values[0] in self.names[0]:
            return
        known = self.members.setdefault(group, [])
        known.append(self.told(f"member {sum(map(len, self.members.values()))}", values))

    def producer(self, values):
        self.producers.append(self.told(f"producer {len(self.producers)}", values, "producer_id"))

    def session(self, values):
        self.sessions.append([self.told(f"session {len(self.sessions)}", values, "session_id"), 1])
        del self.sessions[:-4]


def resolve(value, broker):
    """The request as this broker is asked: with its own names for things."""
    match value:
        case Told():
            return value.values[broker]
        case dict():
            return {name: resolve(part, broker) for name, part in value.items()}
        case list():
            return [resolve(part, broker) for part in value]
        case _ if callable(value):
            return value(broker)
    return value
