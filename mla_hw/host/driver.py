"""The driver of a core behind a host link: what a user runs, and what is simulated."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mla_hw.design import Design
from mla_hw.errors import ConfigError, ToolError
from mla_hw.host.link import CYCLES_PER_READ, Link
from mla_hw.host.messages import Identity
from mla_hw.host.operation import Operation
from mla_hw.host.protocol import Space
from mla_hw.host.steps import (
    Writes,
    abort_writes,
    acknowledge_writes,
    bit,
    hidden_bytes,
    latch_writes,
    setup_writes,
    start_writes,
)
from mla_hw.registers import COUNTERS, ERRORS, IDENTITY, MAP_VERSION, ErrorCode, register

__all__ = ["Driver", "Progress", "Token"]

#: Called with bytes done and bytes in all.
Progress = Callable[[int, int], None]

# A wait of the link lasts for some milliseconds of the core.
_READS_PER_WAIT = 1 << 16
_ABORTS = 10
#: Bytes between two reports of progress; whole beats of any port.
_READ_BACK = 1 << 16
_COUNTERS_AT = register(next(iter(COUNTERS))).address
_STATE = ("status", "interrupt_enable", "interrupt_status", "error_code", "error_program_counter")
_STATE_AT = register("status").address
_SIGNATURE = ("identity", "version", "hash", "shape")


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Token:
    """A run of the core.

    Parameters
    ----------
    y : [hidden_size] int64, [query_rows, hidden_size] with several query rows
        As the core has written it.
    counters : dict of str to int
    """

    y: NDArray[np.int64]
    counters: dict[str, int]


class Driver:
    """Operations of a core; :func:`~mla_hw.host.operation.perform` runs them over a transport.

    Parameters
    ----------
    link : Link
    patience : int
        Cycles of the core after which a run is given up, about.

    Attributes
    ----------
    clock_hz : int
        Of the core, after :meth:`connect`.
    """

    def __init__(self, link: Link, *, patience: int = 1 << 32) -> None:
        self.link, self.patience = link, patience
        #: Hash of what this driver has written into a region, by first byte and size.
        self._loaded: dict[tuple[int, int], bytes] = {}
        self._selected: Writes = []

    @property
    def clock_hz(self) -> int:
        """Clock of the core."""
        return self.link.identity.clock_hz

    def connect(self) -> Operation[Identity]:
        """Begin a conversation with the link; what was written before may have gone."""
        self._loaded, self._selected = {}, []
        return (yield from self.link.identify())

    def check_identity(self, design: Design) -> Operation[None]:
        """Compare the core with the one that a folder was generated for; end a run under way.

        Raises
        ------
        ConfigError
            If it is another one; names both configuration hashes.
        """
        wanted, port_bytes = design.manifest["hash"], self.link.identity.port_bytes
        first = register(_SIGNATURE[0]).address
        words = yield from self.link.read_registers(Space.CORE, first, 5)
        identity, version, low, high, _ = words
        if identity != IDENTITY:
            raise ConfigError(f"behind the link is no core: its identity reads {identity:#010x}")
        if version >> 16 != MAP_VERSION >> 16:
            raise ConfigError(
                f"the core's registers have version {_dotted(version)}, this program knows "
                f"{_dotted(MAP_VERSION)}: build the bitstream with this version of mla-hw"
            )
        found = f"{high << 32 | low:016x}"
        if found != wanted:
            raise ConfigError(
                f"the core has the configuration hash {found}, manifest.json {wanted}: build the "
                "bitstream from this folder, or generate the folder of the bitstream"
            )
        if port_bytes != design.core.port_bytes:
            raise ConfigError(
                f"the link's memory port has {port_bytes} bytes, that of manifest.json "
                f"{design.core.port_bytes}: build the bitstream from this folder"
            )
        yield from self.stop()

    def stop(self) -> Operation[None]:
        """End a run that somebody has left under way.

        Raises
        ------
        ToolError
            If it does not end.
        """
        for _ in range(_ABORTS):
            (status,) = yield from self.link.read_registers(Space.CORE, _STATE_AT, 1)
            if not status & bit("status", "running"):
                return
            # It may have ended before it was aborted, and then gives no event.
            yield from self._write([*acknowledge_writes(), *abort_writes()])
            address = register("interrupt_status").address
            yield from self.link.wait_register(Space.CORE, address, _READS_PER_WAIT)
        raise ToolError("the core does not end a run that is under way")

    def load(
        self,
        design: Design,
        *,
        regions: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Operation[int]:
        """Write the image, but for what this driver has written already; return the bytes written.

        Parameters
        ----------
        design : Design
            With its image.
        regions : sequence of str, optional
            Which ones; without it, all that the image holds but for x and y, which a run writes.
        progress : callable, optional
        """
        if not design.image:
            raise ConfigError("The folder has no image.bin: generate it without --no-image")
        pieces = [
            (start, end)
            for start, end in _pieces(design, regions)
            if self._loaded.get((start, end)) != _digest(design.image[start:end])
        ]
        total, done = sum(end - start for start, end in pieces), 0

        def report(size: int) -> None:
            nonlocal done
            done += size
            if progress:
                progress(min(done, total), total)

        for start, end in pieces:
            data = design.image[start:end]
            padded = data + bytes(-len(data) % design.core.port_bytes)
            # Until all of it is there, nothing is.
            self._loaded.pop((start, end), None)
            yield from self.link.write_memory(start, padded, report)
            self._loaded[start, end] = _digest(data)
        return total

    def verify(self, design: Design, *, progress: Progress | None = None) -> Operation[None]:
        """Read back what :meth:`load` writes, and compare it.

        Parameters
        ----------
        design : Design
            With its image.
        progress : callable, optional

        Raises
        ------
        ToolError
            If the memory holds something else; names the first address and how many bytes differ.
        """
        pieces, beat = _pieces(design, None), design.core.port_bytes
        total, done = sum(end - start for start, end in pieces), 0
        wrong, first_wrong = 0, 0
        for first, last in pieces:
            for start in range(first, last, _READ_BACK):
                end = min(start + _READ_BACK, last)
                size = -(-(end - start) // beat) * beat
                data = yield from self.link.read_memory(start, size)
                found = np.frombuffer(data, np.uint8)[: end - start]
                differs = found != np.frombuffer(design.image[start:end], np.uint8)
                if not wrong and differs.any():
                    first_wrong = start + int(differs.argmax())
                wrong += int(np.count_nonzero(differs))
                done += end - start
                if progress:
                    progress(done, total)
        if wrong:
            raise ToolError(
                f"the memory does not hold what was written: {wrong} of {total} bytes differ, the "
                f"first at {first_wrong:#x}"
            )

    def select(self, design: Design) -> Operation[None]:
        """Point the core to a layer: write its base registers, if they are not yet so.

        Parameters
        ----------
        design : Design
            The layer, see :func:`mla_hw.host.layers.layer_design`.
        """
        writes = setup_writes(design.core, design.memory)
        if writes != self._selected:
            yield from self._write(writes)
            self._selected = writes

    def run_token(
        self,
        design: Design,
        x: NDArray[np.int64],
        positions: Sequence[int],
    ) -> Operation[Token]:
        """Decode one token of every query row.

        Parameters
        ----------
        design : Design
            The layer; its image must have been loaded.
        x : [hidden_size] or [query_rows, hidden_size]
            Quantised hidden states.
        positions : sequence of int
            Of each query row.

        Raises
        ------
        ToolError
            If the run ends with an error or does not end; names it.
        """
        core, place = design.core, design.memory
        yield from self.select(design)
        rows = np.asarray(x, np.int64).reshape(core.query_rows, -1)
        start, y = place.regions["x"].offset, place.regions["y"]
        yield from self.link.write_memory(start, hidden_bytes(core, rows))
        yield from self._write([*acknowledge_writes(), *start_writes(tuple(positions))])
        yield from self._wait(self.patience)
        yield from self._write(latch_writes())
        size = -(-y.size // core.port_bytes) * core.port_bytes
        state, counters, *found = yield from self.link.exchange([
            self.link.register_read(Space.CORE, _STATE_AT, len(_STATE)),
            self.link.register_read(Space.CORE, _COUNTERS_AT, 2 * len(COUNTERS)),
            *self.link.memory_reads(y.offset, size),
        ])
        _check_state(dict(zip(_STATE, state.words, strict=True)))
        data = np.frombuffer(b"".join(response.data for response in found), np.uint8)
        result = place.y_rows(data, y.offset)
        words = counters.words
        return Token(
            y=result if core.query_rows > 1 else result[0],
            counters={
                name: words[2 * i] | words[2 * i + 1] << 32 for i, name in enumerate(COUNTERS)
            },
        )

    def _write(self, writes: Writes) -> Operation[None]:
        yield from self.link.write_registers(Space.CORE, writes)

    def _wait(self, cycles: int) -> Operation[None]:
        """Wait for the interrupt."""
        address = register("interrupt_status").address
        for _ in range(0, cycles, _READS_PER_WAIT * CYCLES_PER_READ):
            if (yield from self.link.wait_register(Space.CORE, address, _READS_PER_WAIT)):
                return
        raise ToolError(f"the core has not ended its run within {cycles} cycles")


def _check_state(state: dict[str, int]) -> None:
    """Refuse a run that has ended with an error."""
    if state["status"] & bit("status", "done") and not state["error_code"]:
        return
    known = [code for code in ErrorCode if code == state["error_code"]]
    meaning = ERRORS[known[0]] if known else f"error {state['error_code']}"
    raise ToolError(
        f"the core has stopped: {meaning} (instruction {state['error_program_counter']})"
    )


def _pieces(design: Design, regions: Sequence[str] | None) -> list[tuple[int, int]]:
    """Return first byte and end of what is loaded by itself, within the image."""
    size, places = len(design.image), design.regions
    if unknown := sorted(set(regions or ()) - set(places)):
        raise ConfigError(f"The image has no region {unknown[0]!r}, only {', '.join(places)}")
    beat = design.core.port_bytes
    runs_write = [places["x"], places["y"]]
    # Up to the next one: what lies between regions, and behind them other layers.
    starts = {0, size, *(region.offset for region in places.values())}
    starts |= {-(-region.end // beat) * beat for region in runs_write}
    wanted = {places[name].offset for name in regions or ()}
    left_out = {region.offset for region in runs_write}
    return [
        (start, end)
        for start, end in pairwise(sorted(starts))
        if end <= size and (start in wanted if regions is not None else start not in left_out)
    ]


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _dotted(version: int) -> str:
    return ".".join(str(version >> shift & 0xFF) for shift in (16, 8, 0))
