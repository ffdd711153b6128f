"""Weights and cached tokens on their way to the array, which the hardware counts itself.

The array waits for each word of weights and each block of the latent ring, the reader for room, so
no semaphore says when. What remains to be shown is that the counts fit: every product finds what
the reader has brought for it, and the reader never waits for a product that waits for the reader.
"""

from collections import deque
from dataclasses import dataclass, field

from mla_hw.cycles.matmul_sequencer import CONSTANT_WORDS
from mla_hw.errors import ProgramError
from mla_hw.golden.dispatcher import Resolved
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import FIELDS, Engine

__all__ = ["ArrayInputs"]


@dataclass(slots=True)
class _Tile:
    tokens: int
    blocks: int
    #: Numbers of the score products that read it.
    scores: list[int] = field(default_factory=list)


class ArrayInputs:
    """Weights and tiles that have been read and not used up, in program order.

    Program order is enough: reader and array each work in order, and the hardware makes either
    wait for the other. An instruction of the reader that fits in program order needs nothing from
    later products, so the first unfinished instruction can always go on.

    Parameters
    ----------
    core : CoreConfig
    """

    def __init__(self, core: CoreConfig) -> None:
        self.core = core
        self._weights = 0  # bytes
        self._tiles: deque[_Tile] = deque()

    def execute(self, number: int, command: Resolved) -> list[int]:
        """Execute the next command.

        Parameters
        ----------
        number : int
            Of the command.
        command : Resolved

        Returns
        -------
        list of int
            Numbers of the score products that must have ended before it starts, because it
            releases their tile: the score unit reads the tokens' scales out of the ring when a
            product drains, long after its last step, and a product starts before that. All other
            reads of the ring belong to steps, which are issued before the release.

        Raises
        ------
        ProgramError
            When a product does not find what it takes, or the reader has no room.
        """
        if command.engine is Engine.READER and self._weights:
            # It is behind a STREAM whose weights may still wait for room.
            raise _error(command, "comes before the products of the weights ahead of it")
        match command.name:
            case "STREAM":
                padding = command.fields["k"] * self.core.columns
                self._weights = command.fields["n"] * self.core.port_bytes - padding
            case "TILE":
                self._fill(command)
            case "MATMUL":
                return self._multiply(number, command)
        return []

    def finish(self) -> None:
        """Check that nothing is left at the end, where the next run would find it.

        Raises
        ------
        ProgramError
            When something is left.
        """
        if self._weights:
            raise ProgramError(f"{self._weights} bytes of weights are left in front of the array")
        if self._tiles:
            raise ProgramError(f"{len(self._tiles)} tiles of the latent ring are not released")

    def _fill(self, command: Resolved) -> None:
        core, tokens = self.core, command.fields["n"]
        tile = _Tile(tokens, -(-tokens // core.columns))
        taken = sum(other.blocks for other in self._tiles)
        if taken + tile.blocks > core.ring_blocks:
            raise _error(
                command,
                f"needs {tile.blocks} blocks of the latent ring, where {taken} of "
                f"{core.ring_blocks} have not been released",
            )
        self._tiles.append(tile)

    def _multiply(self, number: int, command: Resolved) -> list[int]:
        f, core = command.fields, self.core
        row_channels = core.token_words * core.columns
        mode = FIELDS["mode"].choices[f["mode"]]
        if f["release"] and mode not in ("context", "expand"):
            raise _error(command, "releases a tile, which only a context product does")
        if mode == "project":
            words = CONSTANT_WORDS + (0 if f["product"] else f["k"])
            size = -(-f["n"] // core.columns) * words * core.columns
            if size > self._weights:
                raise _error(command, f"takes {size} bytes of weights, {self._weights} are left")
            self._weights -= size
            return []
        if not self._tiles:
            raise _error(command, "finds no tile in the latent ring")
        # The oldest one that has not been released, as the array's products go in order.
        tile = self._tiles[0]
        by_row = mode == "context" or FIELDS["target"].choices[f["target"]] == "row"
        tokens = f["k"] if by_row else f["n"]
        if tokens != tile.tokens:
            raise _error(command, f"reads {tokens} tokens of a tile of {tile.tokens}")
        if mode == "score":
            tile.scores.append(number)
        elif mode == "context" and f["n"] > core.value_channels:
            raise _error(command, f"reads {f['n']} latent channels of {core.value_channels}")
        elif mode == "expand" and (last := f["b"] + f["n"] if by_row else f["k"]) > row_channels:
            raise _error(command, f"reads {last} latent channels of {row_channels}")
        if not f["release"]:
            return []
        self._tiles.popleft()
        return tile.scores


def _error(command: Resolved, problem: str) -> ProgramError:
    return ProgramError(f"instruction {command.index} ({command.name}) {problem}")
