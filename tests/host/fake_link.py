"""A link in Python with the buses of a board behind it, and a line that spoils frames."""

import random
from collections.abc import Callable

from mla_hw.host.frames import Deframer, encode_frame
from mla_hw.host.protocol import (
    COMMANDS,
    LINK_IDENTITY,
    MAX_PAYLOAD,
    OLDEST,
    PROTOCOL_VERSION,
    REQUEST,
    RESPONSE,
    SEQUENCES,
    WAIT_READS,
    Operation,
    Space,
    Status,
    header_bytes,
    pack_header,
    unpack_header,
)

__all__ = ["FakeLink", "Registers", "break_line"]

#: Of ulx3s-85f.
CLOCK_HZ = 60_000_000
#: Reads of a wait, at most, for the tests to be quick.
_PATIENCE = 1000


class Registers:
    """Registers that hold what is written, and note it."""

    def __init__(self):
        self.values: dict[int, int] = {}
        self.writes: list[tuple[int, int]] = []
        self.refused: set[int] = set()

    def read(self, address):
        return self.values.get(address, 0)

    def write(self, address, value):
        self.writes.append((address, value))
        self.values[address] = value


class FakeLink:
    """A :class:`~mla_hw.host.operation.Transport` that answers as the gateware does.

    Parameters
    ----------
    size : int
        Bytes of memory; addresses behind are refused.
    port_bytes, version, clock_hz : int
    request, response : callable
        Make of the bytes of a frame what arrives.
    """

    def __init__(
        self,
        size: int = 1 << 16,
        *,
        port_bytes: int = 8,
        version: int = PROTOCOL_VERSION,
        clock_hz: int = CLOCK_HZ,
        request: Callable[[bytes], bytes] = bytes,
        response: Callable[[bytes], bytes] = bytes,
    ):
        self.memory = bytearray(size)
        self.core, self.controller = Registers(), Registers()
        self.port_bytes, self.version, self.clock_hz = port_bytes, version, clock_hz
        self.request, self.response = request, response
        #: Names of the commands that were carried out.
        self.done: list[str] = []
        self._deframer = Deframer(4096)
        self._sequence, self._stored = 0, b""
        self._received = bytearray()

    def write(self, data):
        for content in self._deframer.feed(self.request(data)):
            answer = self._answer(content)
            if answer:
                self._received += self.response(encode_frame(answer))

    def read(self, timeout):
        data = bytes(self._received)
        self._received.clear()
        return data

    def _answer(self, content):
        size = header_bytes(REQUEST)
        fields, data = unpack_header(REQUEST, content), content[size:]
        if len(content) < size or len(data) != 4 * fields["payload"]:
            return b""
        ahead = (fields["sequence"] - self._sequence) % SEQUENCES
        known = [item for item in COMMANDS if item.code == fields["command"]]
        if not (known and known[0].space is Space.LINK) and not 0 < ahead < OLDEST:
            return b"" if ahead else self._stored
        self._sequence = fields["sequence"]
        status, result = Status.UNKNOWN, b""
        if known:
            self.done.append(known[0].name)
            status, result = self._carry_out(known[0], fields, data)
        header = {**fields, "status": status, "payload": len(result) // 4}
        self._stored = pack_header(RESPONSE, header) + result
        return self._stored

    def _carry_out(self, command, fields, data):
        address, count = fields["address"], fields["count"] + 1
        if command.space is Space.LINK:
            shape = self.version | self.port_bytes << 8 | MAX_PAYLOAD // 4 << 16
            words = (LINK_IDENTITY, shape, self.clock_hz)
            return Status.OK, b"".join(word.to_bytes(4, "little") for word in words)
        if command.space is Space.MEMORY:
            end = address + count * self.port_bytes
            if end > len(self.memory):
                return Status.REFUSED, b""
            if command.operation is Operation.READ:
                return Status.OK, bytes(self.memory[address:end])
            self.memory[address:end] = data
            return Status.OK, b""
        registers = self.core if command.space is Space.CORE else self.controller
        if command.operation is Operation.WRITE:
            words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
            for place, value in zip(words[::2], words[1::2], strict=True):
                if place in registers.refused:
                    return Status.REFUSED, b""
                registers.write(place, value)
            return Status.OK, b""
        if command.operation is Operation.WAIT:
            for _ in range(min(WAIT_READS * count, _PATIENCE)):
                if value := registers.read(address):
                    break
            return Status.OK, value.to_bytes(4, "little")
        values = [registers.read(address + 4 * i) for i in range(count)]
        return Status.OK, b"".join(value.to_bytes(4, "little") for value in values)


def break_line(seed: int, share: float) -> Callable[[bytes], bytes]:
    """Return a line that loses, cuts, repeats and spoils some frames, or puts noise before them."""
    rng = random.Random(seed)

    def line(data):
        if rng.random() >= share:
            return data
        kind = rng.choice(["lose", "cut", "repeat", "flip", "noise"])
        if kind == "lose":
            return b""
        if kind == "cut":
            return data[: rng.randrange(len(data))]
        if kind == "repeat":
            return 2 * data
        if kind == "noise":
            return rng.randbytes(rng.randrange(1, 40)) + data
        place = rng.randrange(len(data))
        flipped = data[place] ^ 1 << rng.randrange(8)
        return data[:place] + bytes([flipped]) + data[place + 1 :]

    return line
