"""What has ended for certain when an instruction starts, whatever the timing."""

from collections import defaultdict, deque
from collections.abc import Mapping

from mla_hw.errors import ProgramError
from mla_hw.golden.dispatcher import Resolved
from mla_hw.program.instructions import Engine

__all__ = ["SERIAL", "Order"]

#: Engines that take an instruction only when the effects of the one before can be seen. The reader
#: reads ahead, and the array starts a product while the one ahead of it still drains.
SERIAL = (Engine.VECTOR, Engine.WRITER)


class Order:
    """Follow a program, command by command, and conclude what has ended.

    An engine starts its instructions in order and ends them in order, so the last one that is known
    to have ended stands for all before it. The k-th take of a semaphore comes after its k-th give,
    because one engine gives it, in order, and one takes it. With a give its engine passes on what
    was known when the giver started. Nothing that is known is lost: later instructions of an engine
    start later.
    """

    def __init__(self) -> None:
        self._engines: list[Engine] = []
        # Last command of each engine that had ended when a command started, and at the latest one.
        self._ended: list[dict[Engine, int]] = []
        self._known: dict[Engine, dict[Engine, int]] = {}
        self._latest: dict[Engine, int] = {}
        self._gives: defaultdict[int, deque[int]] = defaultdict(deque)

    def start(self, command: Resolved) -> Mapping[Engine, int]:
        """Start the next command.

        Returns
        -------
        mapping of Engine to int
            Number of the last command of each engine that has ended; commands count from 0.

        Raises
        ------
        ProgramError
            When the command takes a semaphore that has not been given.
        """
        number, engine = len(self._engines), command.engine
        ended = dict(self._known.get(engine, {}))
        if engine in SERIAL and engine in self._latest:
            ended[engine] = self._latest[engine]
        for semaphore in _bits(command.wait):
            if not self._gives[semaphore]:
                raise ProgramError(
                    f"instruction {command.index} ({command.name}) takes semaphore {semaphore} "
                    "before it is given"
                )
            giver = self._gives[semaphore].popleft()
            known = {**self._ended[giver], self._engines[giver]: giver}
            for other, last in known.items():
                ended[other] = max(ended.get(other, -1), last)
        self._engines.append(engine)
        self._ended.append(ended)
        self._known[engine] = ended
        self._latest[engine] = number
        for semaphore in _bits(command.post):
            self._gives[semaphore].append(number)
        return ended


def _bits(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]
