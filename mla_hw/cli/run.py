"""``mla-hw run``: load an image into a board over its host link, and decode tokens."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mla_hw.cli.board_memory import design_board
from mla_hw.cli.hidden_rows import HiddenRows
from mla_hw.cli.output_folder import check_output, write_output
from mla_hw.cli.text import console, plain_table, print_paths
from mla_hw.design import Design
from mla_hw.errors import ConfigError, ToolError
from mla_hw.host.ddr3 import prepare_ddr3
from mla_hw.host.driver import Driver, Token
from mla_hw.host.layers import layer_design
from mla_hw.host.link import Link, LinkError
from mla_hw.host.operation import Transport, perform
from mla_hw.host.protocol import DEFAULT_BAUD
from mla_hw.host.serial_port import SerialTransport

if TYPE_CHECKING:
    from boards import Board

__all__ = ["RunReport", "print_run", "run"]

_SAID_EVERY_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """Result of :func:`run`.

    Parameters
    ----------
    tokens : int
        Tokens decoded, of each query row.
    tokens_per_second : dict of str to float
        ``core``: if it did nothing else; ``all``: as they came, with everything that goes over the
        link.
    seconds : dict of str to float
        What the tokens took: ``core`` and ``link``.
    load : dict
        ``bytes`` of the image that were sent, and ``seconds`` of it.
    counters : list of dict
        The core's counters after each token.
    relative_error_total : float or None
        Of the rows that have a reference, ‖y_core·scale − y‖₂ / ‖y‖₂.
    clock_hz, baud : int
    port : str
    layer : int or None
        As asked for.
    verified : bool
        The image was read back, and y of every token compared with the golden model.
    scheme, hash, weights_hash : str
        From the manifest.
    traffic : dict of str to int
        Of the link: ``requests``, how many of them ``repeated``, ``spoilt`` pieces received, bytes
        ``sent`` and ``received``.
    y_int : list
        Row of y of each token, of each query row where there are several; not in the JSON.
    files : tuple of Path
        What was written; not in the JSON.
    """

    tokens: int
    tokens_per_second: dict[str, float]
    seconds: dict[str, float]
    load: dict[str, float]
    counters: list[dict[str, int]]
    relative_error_total: float | None
    clock_hz: int
    baud: int
    port: str
    layer: int | None
    verified: bool
    scheme: str
    hash: str
    weights_hash: str
    traffic: dict[str, int]
    y_int: list[Any]
    files: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report in JSON's types."""
        hidden = ("y_int", "files")
        return {name: getattr(self, name) for name in self.__slots__ if name not in hidden}


def run(
    directory: Path | str,
    *,
    port: str,
    hidden: Path | str | None = None,
    baud: int = DEFAULT_BAUD,
    layer: int | None = None,
    verify: bool = False,
    json_path: Path | str | None = None,
    progress: Callable[[str], None] | None = None,
) -> RunReport:
    """Load the image of a generated folder into a board, and decode rows one after another.

    Parameters
    ----------
    directory : Path or str
        Folder that ``generate`` made, with its image.
    port : str
        Serial port of the board.
    hidden : Path or str, optional
        NPZ file with array ``x``, and ``y`` for the relative error, as for ``simulate``; without
        it, 4 seeded rows.
    baud : int
        As the bitstream was built for.
    layer : int, optional
        Of the image, by its number in the checkpoint; without it, the first one.
    verify : bool
        Read the image back, and compare y of every token with the golden model, bit by bit.
    json_path : Path or str, optional
        File for the report.
    progress : callable, optional
        Called with one line of text at each step.

    Raises
    ------
    ConfigError
        For a folder, file, port or board that does not fit; the hashes differ, for example.
    ToolError
        If the board does not answer, the core stops with an error, or what is verified differs.
    """
    design = Design.load(directory)
    if not design.image:
        raise ConfigError(f"{directory}: has no image.bin: generate it without --no-image")
    chosen = layer_design(design, layer)
    rows = HiddenRows.read(hidden, chosen, 0)
    if json_path is not None:
        check_output(json_path, "--json")
    board = design_board(design)
    if board.top is None:
        raise ConfigError(
            f"{board.name} has no host link: generate for a board whose file has the key top"
        )
    if baud <= 0:
        raise ConfigError(f"--baud: must be positive, not {baud}")
    with SerialTransport(port, baud) as transport:
        try:
            session = _Session(transport, design, board, baud, progress or (lambda _: None))
            report = session.run(chosen, rows, verify=verify)
        except LinkError as error:
            raise LinkError(
                str(error) if port in str(error) else f"--port {port}: {error}"
            ) from None
    result = RunReport(
        **report,
        baud=baud,
        port=port,
        layer=layer,
        verified=verify,
        scheme=design.scheme,
        hash=design.manifest["hash"],
        weights_hash=design.manifest["weights_hash"],
        files=() if json_path is None else (Path(json_path),),
    )
    if json_path is not None:
        write_output(json_path, json.dumps(result.to_dict(), indent=2) + "\n", "--json")
    return result


class _Session:
    """One board, from the first byte to the last."""

    def __init__(
        self,
        transport: Transport,
        image: Design,
        board: "Board",
        baud: int,
        say: Callable[[str], None],
    ) -> None:
        self.transport, self.image, self.board, self.say = transport, image, board, say
        self.driver = Driver(Link(baud=baud))
        self._said = 0.0

    def run(self, design: Design, rows: HiddenRows, *, verify: bool) -> dict[str, Any]:
        """Do everything, for one layer of the image; return what the report has of it."""
        driver, transport = self.driver, self.transport
        perform(driver.connect(), transport)
        perform(driver.check_identity(design), transport)
        self._check_clock()
        self._prepare_memory()
        self.say(f"load {len(self.image.image)} bytes")
        began = time.perf_counter()
        size = perform(driver.load(self.image, progress=self._progress), transport)
        load_seconds = time.perf_counter() - began
        if verify:
            self.say("read the image back")
            perform(driver.verify(self.image, progress=self._progress), transport)
        x, _ = design.quantize_hidden(rows.x)
        tokens: list[Token] = []
        began = time.perf_counter()
        for step in range(rows.steps):
            positions = rows.positions(step, design.memory)
            token = perform(driver.run_token(design, x[step], positions), transport)
            tokens.append(token)
            self.say(f"token {step + 1} of {rows.steps}: {token.counters['cycles']} cycles")
        seconds = time.perf_counter() - began
        if verify:
            self._compare(design, rows, x, tokens)
        core = sum(token.counters["cycles"] for token in tokens) / driver.clock_hz
        return {
            "tokens": len(tokens),
            "tokens_per_second": {"core": len(tokens) / core, "all": len(tokens) / seconds},
            "seconds": {"core": core, "link": max(0.0, seconds - core)},
            "load": {"bytes": size, "seconds": load_seconds},
            "counters": [token.counters for token in tokens],
            "relative_error_total": _relative_error(design, rows, tokens),
            "clock_hz": driver.clock_hz,
            "traffic": asdict(driver.link.traffic),
            "y_int": [token.y.tolist() for token in tokens],
        }

    def _check_clock(self) -> None:
        """Refuse the bitstream of another board: its memory controller is another one.

        Raises
        ------
        ConfigError
            If the core's clock is not that of the board.
        """
        wanted, found = round(self.board.core_mhz * 1e6), self.driver.clock_hz
        if found != wanted:
            raise ConfigError(
                f"the core runs at {found / 1e6:g} MHz, core_mhz of {self.board.name} is "
                f"{self.board.core_mhz:g}: generate the folder for the board of the bitstream"
            )

    def _compare(
        self, design: Design, rows: HiddenRows, x: NDArray[np.int64], tokens: list[Token]
    ) -> None:
        """Compare y of every token with the golden model.

        Raises
        ------
        ToolError
            At the first token that differs.
        """
        machine = design.machine()
        for step, token in enumerate(tokens):
            self.say(f"golden model: token {step + 1} of {len(tokens)}")
            machine.write_hidden(x[step])
            machine.run(rows.positions(step, design.memory))
            wrong = int(np.count_nonzero(token.y != machine.y()))
            if wrong:
                raise ToolError(
                    f"token {step + 1}: y is not that of the golden model in {wrong} of "
                    f"{token.y.size} elements"
                )

    def _prepare_memory(self) -> None:
        """Initialise DDR3 SDRAM; other memory is ready before the link is."""
        # The outer packages are not loaded before they are needed.
        from boards.litedram_core import board_controller

        if self.board.memory.kind == "ddr3":
            self.say("initialise the DDR3 SDRAM")
            controller = board_controller(self.board)
            for lane in perform(prepare_ddr3(self.driver.link, controller), self.transport):
                self.say(str(lane))

    def _progress(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._said >= _SAID_EVERY_SECONDS:
            self._said = now
            self.say(f"{done} of {total} bytes")


def _relative_error(design: Design, rows: HiddenRows, tokens: list[Token]) -> float | None:
    count = len(rows.y)
    if not count:
        return None
    shape = (-1, design.core.query_rows, design.model.hidden_size)
    got = np.array([token.y for token in tokens[-count:]]).reshape(shape) * design.scales["y"]
    return float(np.linalg.norm(got - rows.y) / np.linalg.norm(rows.y))


def print_run(report: RunReport) -> None:
    """Say how fast core and link were, and what the counters have counted."""
    output = console()
    per_second, load = report.tokens_per_second, report.load
    output.print(
        f"{report.tokens} tokens: {per_second['core']:.2f} tokens/s of the core alone at "
        f"{report.clock_hz / 1e6:g} MHz, {per_second['all']:.2f} tokens/s over the link",
        highlight=False,
    )
    output.print(
        f"core {report.seconds['core']:.3f} s, link {report.seconds['link']:.3f} s; image "
        f"{load['bytes']} bytes in {load['seconds']:.1f} s",
        highlight=False,
    )
    if report.verified:
        output.print("verified: the image in memory, and y of every token")
    if report.relative_error_total is not None:
        output.print(f"relative error: {report.relative_error_total:.3e}", highlight=False)
    traffic = report.traffic
    if traffic["repeated"] or traffic["spoilt"]:
        output.print(
            f"{traffic['repeated']} of {traffic['requests']} requests repeated, "
            f"{traffic['spoilt']} responses spoilt",
            highlight=False,
        )
    table = plain_table("counter", "last token", "all tokens")
    for name, last in report.counters[-1].items():
        table.add_row(name, str(last), str(sum(counters[name] for counters in report.counters)))
    output.print(table)
    print_paths(output, *report.files)
