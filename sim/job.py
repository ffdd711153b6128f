"""What a simulation is to do and what it has found: files between it and its caller."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from mla_hw.cycles.sdram import SdramTiming
from mla_hw.errors import ConfigError

__all__ = ["Job", "MemoryMode", "TokenJob"]

#: Seed of the random memory: 32 bits, 0 is the generator's fixed point.
_SEEDS = range(1, 1 << 32)


@dataclass(frozen=True, slots=True)
class MemoryMode:
    """Behaviour of the memory; models/axi_memory.v says what exactly.

    Parameters
    ----------
    kind : str
        ``fixed``, ``random`` or ``dram``.
    number : int
        Latency in cycles, or seed.
    sdram : SdramTiming, optional
        Of ``dram``.
    """

    kind: str
    number: int
    sdram: SdramTiming | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``fixed:LATENCY``, ``random:SEED`` or ``dram``.

        The timing of ``dram`` is the board's; the caller adds it.

        Raises
        ------
        ConfigError
            If it is none of them.
        """
        if text == "dram":
            return cls("dram", 0)
        kind, _, number = str(text).partition(":")
        if kind not in ("fixed", "random") or not re.fullmatch("[0-9]{1,1000}", number):
            raise ConfigError(f"--memory: must be fixed:LATENCY, random:SEED or dram, not {text!r}")
        value = int(number)
        if kind == "fixed" and not 1 <= value <= 1_000_000:
            raise ConfigError(f"--memory: LATENCY must be from 1 to 1000000 cycles, not {value}")
        if kind == "random" and value not in _SEEDS:
            raise ConfigError(f"--memory: SEED must be from 1 to {_SEEDS[-1]}, not {value}")
        return cls(kind, value)

    @property
    def plusargs(self) -> list[str]:
        """Arguments of the simulation."""
        if self.kind == "dram":
            assert self.sdram, "the caller adds the board's timing"
            return self.sdram.plusargs()
        option = "memory_latency" if self.kind == "fixed" else "memory_seed"
        return [f"+{option}={self.number}"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenJob:
    """One run of the core's program.

    Parameters
    ----------
    writes : sequence of (int, int)
        Registers and values, in order; the last one starts the core.
    limit : int
        Cycles within which the core must interrupt.
    patch : sequence of (int, bytes)
        Byte addresses and what is written into the memory before, in whole port words.
    flips : sequence of (int, int)
        Byte addresses and masks: bits of the memory that are inverted before.
    refused : (int, int), optional
        First and last byte address that the memory answers with an error.
    later : (int, sequence of (int, int)), optional
        Cycles after the last of ``writes``, and what is written to registers then.
    """

    writes: Sequence[tuple[int, int]]
    limit: int
    patch: Sequence[tuple[int, bytes]] = field(default=(), repr=False)
    flips: Sequence[tuple[int, int]] = ()
    refused: tuple[int, int] | None = None
    later: tuple[int, Sequence[tuple[int, int]]] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A whole simulation.

    Parameters
    ----------
    tokens : sequence of TokenJob
    setup : sequence of (int, int)
        Register writes at the beginning.
    latch : sequence of (int, int)
        Register writes after every token, before the reads.
    reads : mapping of str to sequence of int
        Names and register addresses that are read after every token; several addresses make one
        number, low word first.
    acknowledge : sequence of (int, int)
        Register writes that clear the interrupt.
    """

    tokens: Sequence[TokenJob]
    setup: Sequence[tuple[int, int]] = ()
    latch: Sequence[tuple[int, int]] = ()
    reads: Mapping[str, Sequence[int]] = field(default_factory=dict)
    acknowledge: Sequence[tuple[int, int]] = ()

    def write(self, folder: Path, port_bytes: int) -> None:
        """Write job.json and the memory patches."""
        data: dict[str, Any] = asdict(self)
        for index, (entry, token) in enumerate(zip(data["tokens"], self.tokens, strict=True)):
            entry["patch"] = bool(token.patch)
            entry["flips"] = [
                (address // port_bytes, mask << 8 * (address % port_bytes))
                for address, mask in token.flips
            ]
            if token.patch:
                with (folder / f"patch_{index}.hex").open("w", encoding="ascii") as file:
                    for address, content in token.patch:
                        file.write(f"@{address // port_bytes:x}\n")
                        file.write(hex_words(content, port_bytes))
        (folder / "job.json").write_text(json.dumps(data), encoding="utf-8")


def hex_words(content: bytes, port_bytes: int) -> str:
    """Return little-endian port words as lines that ``$readmemh`` reads.

    Raises
    ------
    ConfigError
        If the content is not whole words.
    """
    if len(content) % port_bytes:
        raise ConfigError(
            f"Memory is written in words of {port_bytes} bytes, not {len(content)} bytes"
        )
    # Most significant byte first: reverse everything, then the order of the words.
    digits = content[::-1].hex("\n", port_bytes).split("\n")
    return "".join(f"{word}\n" for word in reversed(digits)) if content else ""
