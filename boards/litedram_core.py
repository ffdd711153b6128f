"""Memory controllers by LiteDRAM, for the memory of a board."""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from boards import Board, ExternalMemory
from boards.pll import CLOCK_TOLERANCE
from mla_hw.errors import ConfigError, ToolError
from mla_hw.host.controller import Control, Ddr3Phy, RegisterWrite
from rtl_gen.memory.litedram_core import LiteDramCore, Port

__all__ = ["PARTS", "board_controller", "generate_litedram"]

_ROOT = Path(__file__).resolve().parent.parent
_NAME = "litedram_core"
#: LiteDRAM's class by the part's name in a board's file; EM638325 is in `boards.litedram_driver`.
PARTS: Mapping[str, Mapping[str, str]] = {
    "sdr": {
        "MT48LC16M16": "MT48LC16M16",
        "M12L64322A": "M12L64322A",
        "EM638325": "EM638325",
    },
    "ddr3": {
        "MT41K64M16": "MT41K64M16",
        "MT41K128M16": "MT41K128M16",
        "MT41K256M16": "MT41K256M16",
        "MT41K512M16": "MT41K512M16",
    },
}
#: tRFC of JESD79-3 by the chip's size, in nanoseconds; LiteDRAM has that of DDR3-1600 in cycles,
#: which on a slower bus lasts up to 2 µs.
_REFRESH_NS = {"MT41K64M16": 110, "MT41K128M16": 160, "MT41K256M16": 260, "MT41K512M16": 350}
_FAMILIES = {"sdr": ("ecp5", "gowin"), "ddr3": ("ecp5",)}
#: Data sheets ask for 100 or 200 µs with a stable clock before the first command; DDR3 SDRAM has to
#: be held in reset so long.
_POWER_UP_US = 200
#: From the end of a DDR3 SDRAM's reset to its clock enable.
_DDR3_WAKE_US = 500
#: Of the bus, after a command to a DDR3 SDRAM: tDLLK and tZQinit, as long as which nothing else is.
_DDR3_SETTLE_CYCLES = 512
#: Clock of the delay cells' calibration in an ECP5, as LiteDRAM's examples have it.
_DDR3_INIT_CLOCK = 25e6
#: Terminations of a single chip close to the FPGA.
_DDR3_ELECTRICAL = {"rtt_nom": "60ohm", "rtt_wr": "60ohm", "ron": "34ohm"}
_PORT = re.compile(
    r"^    (input|output|inout) +(?:wire|reg) +(?:\[(\d+):0\] +)?(\w+)(,?)$", re.MULTILINE
)
#: The other half of a differential pair is the I/O cell's.
_BIDIRECTIONAL = re.compile(r"_(dq|dqs_p)$")
_BLOCK_COMMENT = re.compile(r"/\*.*?\*/\n*", re.DOTALL)
_PLL_DIVIDER = re.compile(r"\.(CLK\w+_DIV)\s*\(\d+'d(\d+)\)")
_PLL_PATH = re.compile(r'\.FEEDBK_PATH\s*\("INT_(O\w+)"\)')
#: LiteDRAM says some things once for every phase.
_REPEATED = re.compile(r"^(assign .*\n)\1+", re.MULTILINE)
#: A mode register has the burst length, its type and the latency below this bit, then only zeros.
_RESERVED_MODE_SHIFT = 7
_MODE_REGISTER = "Load Mode Register"


def generate_litedram(
    memory: ExternalMemory,
    *,
    family: str,
    clock_mhz: float,
    input_mhz: float | None = None,
    data_bits: int | None = None,
    timings: Mapping[str, Any] | None = None,
    power_up_us: float = _POWER_UP_US,
) -> LiteDramCore:
    """Generate the controller of a memory chip; the same arguments give the same text.

    Parameters
    ----------
    memory : ExternalMemory
        Kind, part and width; its own clock is the highest that the board allows.
    family : str
        FPGA family, ``"ecp5"`` or ``"gowin"``.
    clock_mhz : float
        Clock of the controller and its user port. SDR SDRAM runs at it, DDR3 SDRAM at twice it.
    input_mhz : float, optional
        Clock that the DDR3 core makes its own from; as `clock_mhz` by default.
    data_bits : int, optional
        Width of the user port, of the memory's data in a cycle by default. LiteDRAM's converter to
        a wider port takes n + 1 cycles for n words, so leave it and convert behind the port.
    timings : mapping of str to object, optional
        Timings of the chip that replace those of its data sheet, in LiteDRAM's names and units.
    power_up_us : float
        Time before the first command of the initialisation.

    Raises
    ------
    ConfigError
        If the kind, part, width or family is not known, or the clock too high.
    ToolError
        If LiteDRAM is not installed, or its generator fails.
    """
    _check(memory, family, clock_mhz)
    if importlib.util.find_spec("litedram") is None:
        raise ToolError("LiteDRAM is not installed: pip install litedram litex migen")
    port = {"type": "axi", "id_width": 1}
    config = {
        "cpu": None,
        "memtype": memory.kind.upper(),
        "sdram_module": PARTS[memory.kind][memory.part],
        "sdram_module_nb": memory.width_bits // 8,
        "sdram_rank_nb": 1,
        "sdram_phy": "GENSDRPHY" if memory.kind == "sdr" else "ECP5DDRPHY",
        "sys_clk_freq": clock_mhz * 1e6,
        "input_clk_freq": (input_mhz or clock_mhz) * 1e6,
        "user_ports": {"0": port | ({"data_width": data_bits} if data_bits else {})},
    }
    if memory.kind == "ddr3":
        config |= {"init_clk_freq": _DDR3_INIT_CLOCK, **_DDR3_ELECTRICAL}
    refresh = {"tRFC": (None, _REFRESH_NS[memory.part])} if memory.kind == "ddr3" else {}
    settings = {"name": _NAME, "family": family, "config": config}
    result = _run({**settings, "timings": {**refresh, **(timings or {})}})
    verilog = _tidy(result["verilog"], memory)
    if memory.kind == "ddr3":
        _check_pll(verilog, input_mhz or clock_mhz, clock_mhz)
    return LiteDramCore(
        name=_NAME,
        kind=memory.kind,
        family=family,
        verilog=verilog,
        ports={
            name: Port(direction=direction, width=int(high or 0) + 1)
            for direction, high, name, _ in _PORT.findall(verilog)
        },
        registers=result["registers"],
        initialisation=_initialisation(memory, result, clock_mhz, power_up_us),
        phy=result["phy"] and Ddr3Phy(**result["phy"]),
    )


def board_controller(board: Board) -> LiteDramCore:
    """Generate the controller of a board's memory chip, at the core's clock.

    Raises
    ------
    ConfigError, ToolError
        As :func:`generate_litedram`.
    """
    return generate_litedram(
        board.memory,
        family=board.device.family,
        clock_mhz=board.core_mhz,
        input_mhz=board.clock_mhz,
    )


def _check(memory: ExternalMemory, family: str, clock_mhz: float) -> None:
    if memory.kind not in PARTS:
        raise ConfigError(f"kind of a memory must be {' or '.join(PARTS)}, not {memory.kind!r}")
    parts = PARTS[memory.kind]
    if memory.part not in parts:
        raise ConfigError(
            f"part of {memory.kind} memory must be one of {', '.join(parts)}, not {memory.part!r}"
        )
    if family not in _FAMILIES[memory.kind]:
        raise ConfigError(
            f"{memory.kind} memory needs a device of {' or '.join(_FAMILIES[memory.kind])}, "
            f"not {family!r}"
        )
    if memory.width_bits % 8:
        raise ConfigError(f"width_bits must be a multiple of 8, not {memory.width_bits!r}")
    bus_mhz = clock_mhz * (1 if memory.kind == "sdr" else 2)
    if bus_mhz > memory.clock_mhz:
        raise ConfigError(
            f"clock of the memory bus would be {bus_mhz:g} MHz, clock_mhz of the memory is "
            f"{memory.clock_mhz:g}"
        )


def _check_pll(verilog: str, input_mhz: float, clock_mhz: float) -> None:
    """Refuse a clock that is not the wanted one; LiteDRAM takes the first within one per cent."""
    found = dict(_PLL_DIVIDER.findall(verilog[verilog.index("EHXPLLL") :]))
    path = _PLL_PATH.search(verilog)
    assert path is not None
    divide_in, feedback, spare, output = (
        int(found[name]) for name in ("CLKI_DIV", "CLKFB_DIV", f"CLK{path[1]}_DIV", "CLKOP_DIV")
    )
    made = input_mhz * feedback * spare / divide_in / output / 2
    if abs(made - clock_mhz) > CLOCK_TOLERANCE * clock_mhz:
        raise ConfigError(
            f"core_mhz: {clock_mhz:g} MHz cannot be made of clock_mhz {input_mhz:g} MHz by "
            f"LiteDRAM's PLL: it takes {made:g} MHz"
        )


def _run(settings: Mapping[str, Any]) -> Any:
    """Run the generator in a folder and a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.run(
            [sys.executable, "-m", "boards.litedram_driver", "settings.json", "result.json"],
            cwd=folder,
            # Names and their order come from sets as well.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        if process.returncode:
            last = (process.stdout.strip().splitlines() or ["no output"])[-1]
            config = settings["config"]
            raise ToolError(
                f"LiteDRAM's generator failed for {config['sdram_module']} at core_mhz "
                f"{config['sys_clk_freq'] / 1e6:g}, clock_mhz {config['input_clk_freq'] / 1e6:g}: "
                f"{last}"
            )
        return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def _tidy(text: str, memory: ExternalMemory) -> str:
    """Drop what depends on the day or is said twice, and give the data pins their direction."""
    start, end = text.index(f"module {_NAME} ("), text.rindex("endmodule")

    def port(match: re.Match[str]) -> str:
        line = match[0]
        return line.replace("input ", "inout ", 1) if _BIDIRECTIONAL.search(match[3]) else line

    body = _REPEATED.sub(r"\1", _BLOCK_COMMENT.sub("", text[start:end]))
    body = _PORT.sub(port, body)
    return (
        f"// LiteDRAM {version('litedram')} for {memory.part}, {memory.width_bits} bits: text by\n"
        "// LiteDRAM's generator, https://github.com/enjoy-digital/litedram (BSD-2-Clause).\n"
        f"`timescale 1ns / 1ps\n\n{body}endmodule\n"
    )


def _initialisation(
    memory: ExternalMemory, result: Mapping[str, Any], clock_mhz: float, power_up_us: float
) -> tuple[RegisterWrite, ...]:
    """Turn LiteDRAM's steps into writes to registers; its waits count on a slow processor."""
    power_up = math.ceil(power_up_us * clock_mhz)
    if memory.kind == "sdr":
        writes = _sdr_writes(result, power_up)
    else:
        writes = _ddr3_writes(result, power_up, math.ceil(_DDR3_WAKE_US * clock_mhz))
    registers = result["registers"]
    return tuple(
        RegisterWrite(address=registers[name], value=int(value), wait=wait)
        for name, value, wait in writes
    )


#: Register, value, and least cycles until the next one.
_Writes = Iterator[tuple[str, int, int]]


def _sdr_writes(result: Mapping[str, Any], power_up: int) -> _Writes:
    for step in result["steps"]:
        reserved = step["text"].startswith(_MODE_REGISTER) and (
            step["address"] >> _RESERVED_MODE_SHIFT
        )
        if reserved:
            # LiteDRAM resets a DLL, which is not there; the bit must be 0.
            continue
        if step["control"]:
            yield "sdram_dfii_control", step["value"], power_up
        else:
            yield from _command_writes(step, max(step["wait"], result["settle"]))
    yield "sdram_dfii_control", Control.SEL, 0
    yield "ddrctrl_init_done", 1, 0


def _ddr3_writes(result: Mapping[str, Any], power_up: int, wake: int) -> _Writes:
    settle = _DDR3_SETTLE_CYCLES // 2
    # Before that the controller has left the pins as in operation.
    yield "sdram_dfii_control", 0, power_up
    for step in result["steps"]:
        if step["control"]:
            # The pin of the termination has to stay low until the last command is done.
            value = step["value"] & ~Control.ODT
            yield "sdram_dfii_control", value, settle if value & Control.CKE else wake
        else:
            yield from _command_writes(step, settle)
    yield "sdram_dfii_control", Control.CKE | Control.ODT | Control.RESET_N, 0


def _command_writes(step: Mapping[str, Any], wait: int) -> _Writes:
    yield "sdram_dfii_pi0_address", step["address"], 0
    yield "sdram_dfii_pi0_baddress", step["bank"], 0
    yield "sdram_dfii_pi0_command", step["value"], 0
    yield "sdram_dfii_pi0_command_issue", 1, wait
