"""The host's side of the link: requests, retries, and several requests under way."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NoReturn

from mla_hw.errors import ConfigError, ToolError
from mla_hw.host.frames import Deframer, encode_frame
from mla_hw.host.messages import Identity, Message, Response, Traffic
from mla_hw.host.operation import Operation, Receive, Send
from mla_hw.host.protocol import (
    CRC_BYTES,
    FLAG,
    LINK_IDENTITY,
    LINK_WORDS,
    MAX_PAYLOAD,
    PAIR_BYTES,
    PROTOCOL_VERSION,
    REQUEST,
    RESPONSE,
    SEQUENCES,
    STATUSES,
    WAIT_READS,
    WORD_BYTES,
    Space,
    Status,
    command,
    header_bytes,
)
from mla_hw.host.protocol import Operation as Action

__all__ = ["CYCLES_PER_READ", "Link", "LinkError"]

#: Cycles that a read of :meth:`Link.wait_register` takes at least, by the fastest of buses.
CYCLES_PER_READ = 3

_LONGEST = 2 * (max(header_bytes(REQUEST), header_bytes(RESPONSE)) + MAX_PAYLOAD + CRC_BYTES)
# The link holds a request beside the one that it carries out. Requests with data are longer than
# their responses, so that many can be on their way.
_READS_UNDER_WAY = 2
_WRITES_UNDER_WAY = 8
#: Bytes without a response in them after which a line is as good as silent.
_NOISE_BYTES = 8 * _LONGEST
#: Times that bytes may come before a frame begins, so that slow chatter has an end as well.
_NOISE_PIECES = 16
_BITS_PER_BYTE = 10


class LinkError(ToolError):
    """A link that does not answer, or refuses."""


class Link:
    """Requests to a link as operations; a link serves one of them at a time.

    A request without a response is sent again. What may be carried out twice goes on its way before
    the responses to those before are there, and again with a new sequence number if it was lost;
    everything else waits, and is repeated with its old number, which the link does not carry out a
    second time.

    Parameters
    ----------
    baud : int
        Of the line.
    timeout : float
        Seconds for which a response may be late.
    attempts : int
        How often a request is sent before the link is given up.
    sequence : int
        Number of the last request, whatever it was.
    """

    def __init__(
        self, *, baud: int, timeout: float = 0.25, attempts: int = 5, sequence: int = 0
    ) -> None:
        self.baud, self.timeout, self.attempts = baud, timeout, attempts
        self.traffic = Traffic()
        self._sequence = sequence
        self._identity: Identity | None = None
        self._deframer = Deframer(_LONGEST)
        self._responses: deque[Response] = deque()

    @property
    def identity(self) -> Identity:
        """What the link is; :meth:`identify` finds out."""
        if self._identity is None:
            raise ConfigError("The link must be identified before it can be used")
        return self._identity

    def identify(self) -> Operation[Identity]:
        """Ask the link what it is; begins a conversation, whatever was before.

        Raises
        ------
        LinkError
            If nothing answers.
        ConfigError
            If what answers is something else, or speaks another version of the protocol.
        """
        what = command(Space.LINK, Action.READ)
        # Here the number says nothing yet, but the response is to be told from those before it.
        response = yield from self._call(Message(command=what, count=len(LINK_WORDS)))
        values: dict[str, int] = {}
        for word, value in zip(LINK_WORDS, response.words, strict=False):
            for name, width in word.fields.items():
                values[name] = value & ((1 << width) - 1)
                value >>= width
        if values.pop("identity", None) != LINK_IDENTITY or len(values) < 4:
            raise ConfigError("what answers is no host link of mla-hw")
        if values["version"] != PROTOCOL_VERSION:
            raise ConfigError(
                f"the link speaks version {values['version']} of the protocol, this program "
                f"{PROTOCOL_VERSION}: build the bitstream with this version of mla-hw"
            )
        self._identity = Identity(**values)
        return self._identity

    def read_memory(self, address: int, size: int) -> Operation[bytes]:
        """Read whole beats."""
        responses = yield from self.exchange(self.memory_reads(address, size))
        return b"".join(response.data for response in responses)

    def write_memory(
        self, address: int, data: bytes, progress: Callable[[int], None] | None = None
    ) -> Operation[None]:
        """Write whole beats; ``progress`` is called with the bytes of each request that is done."""
        self._check_beats(address, len(data))
        what, step = command(Space.MEMORY, Action.WRITE), self.identity.payload_bytes
        messages = [
            Message(
                command=what,
                count=len(piece) // self.identity.port_bytes,
                address=address + start,
                data=piece,
            )
            for start in range(0, len(data), step)
            if (piece := data[start : start + step])
        ]
        yield from self.exchange(messages, progress)

    def read_registers(self, space: Space, address: int, count: int) -> Operation[list[int]]:
        """Read consecutive registers."""
        responses = yield from self.exchange([self.register_read(space, address, count)])
        return responses[0].words

    def write_registers(self, space: Space, pairs: Iterable[tuple[int, int]]) -> Operation[None]:
        """Write registers, given as addresses and values, in order; none behind one refused."""
        pairs, step = list(pairs), MAX_PAYLOAD // PAIR_BYTES
        for start in range(0, len(pairs), step):
            some = pairs[start : start + step]
            data = b"".join(word.to_bytes(WORD_BYTES, "little") for pair in some for word in pair)
            message = Message(command=command(space, Action.WRITE), count=len(some), data=data)
            yield from self._call(message)

    def wait_register(self, space: Space, address: int, reads: int) -> Operation[int]:
        """Wait until a register is not 0, for so many reads of it or some more; return it."""
        count = -(-reads // WAIT_READS)
        message = Message(command=command(space, Action.WAIT), count=count, address=address)
        response = yield from self._call(message)
        return response.words[0]

    def memory_reads(self, address: int, size: int) -> list[Message]:
        """Return the requests that read whole beats."""
        self._check_beats(address, size)
        what, step = command(Space.MEMORY, Action.READ), self.identity.payload_bytes
        return [
            Message(
                command=what,
                count=min(step, size - start) // self.identity.port_bytes,
                address=address + start,
            )
            for start in range(0, size, step)
        ]

    def register_read(self, space: Space, address: int, count: int) -> Message:
        """Return the request that reads consecutive registers."""
        if not 0 < count * WORD_BYTES <= MAX_PAYLOAD:
            raise ConfigError(f"{count} registers cannot be read at once")
        return Message(command=command(space, Action.READ), count=count, address=address)

    def exchange(
        self, messages: Sequence[Message], progress: Callable[[int], None] | None = None
    ) -> Operation[list[Response]]:
        """Send requests that may be carried out twice; return their responses in order.

        Raises
        ------
        LinkError
            If one is refused, or has no answer.
        """
        before = self.traffic.received
        responses: dict[int, Response] = {}
        waiting, tries = deque(range(len(messages))), Counter[int]()
        under_way: dict[int, int] = {}
        limit = _WRITES_UNDER_WAY if all(item.data for item in messages) else _READS_UNDER_WAY
        while waiting or under_way:
            while waiting and len(under_way) < limit:
                index = waiting.popleft()
                tries[index] += 1
                sequence = self._next_sequence()
                under_way[sequence] = index
                yield from self._send(messages[index], sequence, repeated=tries[index] > 1)
            response = yield from self._receive([messages[i] for i in under_way.values()])
            lost: list[int] = []
            if response is None:
                lost, under_way = list(under_way.values()), {}
            elif self._answers(response, under_way, messages):
                # Responses come in order: what has none by now was lost, or its response was.
                while (first := next(iter(under_way))) != response.sequence:
                    lost.append(under_way.pop(first))
                done = under_way.pop(first)
                responses[done] = self._checked(messages[done], response)
                if progress:
                    progress(len(messages[done].data))
            if any(tries[index] >= self.attempts for index in lost):
                self._give_up(self.traffic.received - before)
            waiting.extendleft(reversed(lost))
        return [responses[index] for index in range(len(messages))]

    def _call(self, message: Message) -> Operation[Response]:
        """Send one request, again with the same number until it is answered."""
        sequence = self._next_sequence()
        before = self.traffic.received
        for attempt in range(self.attempts):
            yield from self._send(message, sequence, repeated=attempt > 0)
            while (response := (yield from self._receive([message]))) is not None:
                if response.sequence == sequence and response.command == message.command.code:
                    return self._checked(message, response)
        self._give_up(self.traffic.received - before)

    @staticmethod
    def _answers(
        response: Response, under_way: Mapping[int, int], messages: Sequence[Message]
    ) -> bool:
        """Tell whether a response is to one of the requests under way, by sequence number."""
        index = under_way.get(response.sequence)
        return index is not None and response.command == messages[index].command.code

    def _next_sequence(self) -> int:
        self._sequence = (self._sequence + 1) % SEQUENCES
        return self._sequence

    def _send(self, message: Message, sequence: int, *, repeated: bool) -> Operation[None]:
        frame = encode_frame(message.content(sequence))
        self.traffic.requests += 1
        self.traffic.repeated += repeated
        self.traffic.sent += len(frame)
        yield Send(frame)

    def _receive(self, under_way: Sequence[Message]) -> Operation[Response | None]:
        """Return the next response, or None if it is late."""
        # What is still on the line, both ways, may take its time.
        size = sum(_LONGEST + len(message.data) for message in under_way)
        timeout = self.timeout + size * _BITS_PER_BYTE / self.baud
        noise = pieces = 0
        begun = False
        while not self._responses:
            data = yield Receive(timeout)
            self.traffic.received += len(data)
            noise += len(data)
            begun = begun or FLAG in data
            pieces += not begun
            if not data or noise > _NOISE_BYTES or pieces > _NOISE_PIECES:
                return None
            for content in self._deframer.feed(data):
                response = Response.decode(content)
                if response is not None:
                    self._responses.append(response)
            self.traffic.spoilt = self._deframer.spoilt
        return self._responses.popleft()

    def _checked(self, message: Message, response: Response) -> Response:
        """Return the response to a request if it was done."""
        if response.status == Status.OK:
            return response
        known = [status for status in Status if status == response.status]
        meaning = STATUSES[known[0]] if known else f"status {response.status}"
        where = f" at {message.address:#x}" if not message.data else ""
        if message.command.space is Space.MEMORY:
            last = message.address + message.count * self.identity.port_bytes - 1
            where = f" at {message.address:#x} to {last:#x}"
        raise LinkError(f"{message.command.name}{where}: {meaning}")

    def _check_beats(self, address: int, size: int) -> None:
        unit = self.identity.port_bytes
        if address % unit or size % unit:
            raise ConfigError(
                f"Memory is read and written in beats of {unit} bytes, not {size} bytes at "
                f"{address:#x}"
            )

    def _give_up(self, received: int) -> NoReturn:
        found = f"{received} bytes came, but no answer" if received else "nothing came"
        raise LinkError(
            f"the link does not answer, after {self.attempts} attempts: {found}; is this the "
            f"board's port, and its bitstream loaded and built for --baud {self.baud}?"
        )
