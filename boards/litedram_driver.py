"""Run LiteDRAM's generator: ``python -m boards.litedram_driver SETTINGS.json RESULT.json``.

In a process of its own, as the generator prints, takes its options from the command line and writes
into the working directory. It does what the program ``litedram_gen`` does, with two more parts:
platforms of other families than Lattice's, and memory chips that LiteDRAM does not know.
"""

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import litedram.gen
import litedram.init
import litedram.modules
import litedram.phy
from litex.build.gowin.platform import GowinPlatform
from litex.build.lattice import LatticePlatform
from litex.soc.integration.builder import Builder

from mla_hw.host.controller import Command, Control

__all__ = ["main"]

#: Bits of the registers by their name in LiteDRAM's sequences.
_BITS = {
    f"DFII_{bits.__name__.upper()}_{bit.name}": bit.value
    for bits in (Control, Command)
    for bit in bits
}


#: Chips that LiteDRAM does not have.
_MODULES = {
    # Etron EM638325, 2M × 32 in four banks, in speed grade 7, which is the slowest.
    "EM638325": type(
        "EM638325",
        (litedram.modules.SDRModule,),
        {
            "nbanks": 4,
            "nrows": 2048,
            "ncols": 256,
            "technology_timings": litedram.modules._TechnologyTimings(
                tREFI=64e6 / 4096, tWTR=(2, None), tCCD=(1, None), tRRD=(None, 14)
            ),
            "speedgrade_timings": {
                "default": litedram.modules._SpeedgradeTimings(
                    tRP=21, tRCD=21, tWR=(2, None), tRFC=(None, 70), tFAW=None, tRAS=49
                )
            },
        },
    )
}
#: The device decides which I/O cells are used, and nothing else.
_PLATFORMS = {
    "ecp5": lambda: LatticePlatform("LFE5U-25F-6BG381C", io=[], toolchain="trellis"),
    "gowin": lambda: GowinPlatform("GW2AR-LV18QN88C8/I7", io=[], devicename="GW2AR-18C"),
}


def _module(name: str, changes: Mapping[str, Any], clock: float) -> Any:
    """Return the chip's class for a clock in Hz, with other speed timings if asked for."""
    names = litedram.modules._speedgrade_timings
    if unknown := set(changes) - set(names):
        raise ValueError(f"timings must be of {', '.join(names)}, not {', '.join(sorted(unknown))}")
    cls: Any = _MODULES.get(name) or getattr(litedram.modules, name)
    speed = {key: getattr(cls.speedgrade_timings["default"], key) for key in names} | dict(changes)
    # JSON has no tuples.
    speed = {key: tuple(item) if isinstance(item, list) else item for key, item in speed.items()}
    technology = {
        key: getattr(cls.technology_timings, key) for key in litedram.modules._technology_timings
    }
    # LiteDRAM rounds up to whole cycles, and would be late.
    cycles = math.floor(technology["tREFI"] * clock / 1e9 + 1e-6)
    technology["tREFI"] = (cycles - 0.5) / clock * 1e9
    timings = {
        "technology_timings": litedram.modules._TechnologyTimings(**technology),
        "speedgrade_timings": {"default": litedram.modules._SpeedgradeTimings(**speed)},
    }
    return type(name, (cls,), timings)


def _steps(core: Any) -> list[dict[str, Any]]:
    """Return LiteDRAM's initialisation as commands with their bits, and waits."""
    settings = core.sdram.controller.settings
    sequence, _ = litedram.init.get_sdram_phy_init_sequence(settings.phy, settings.timing)
    return [
        {
            "text": text,
            "address": address,
            "bank": bank,
            "control": "DFII_CONTROL_" in command,
            "value": sum(_BITS[name] for name in command.split("|")),
            "wait": wait,
        }
        for text, address, bank, command, wait in sequence
    ]


def _phy(core: Any) -> dict[str, int] | None:
    """Return what :class:`mla_hw.host.controller.Ddr3Phy` has of a PHY that is leveled."""
    settings = core.sdram.controller.settings.phy
    if not settings.read_leveling:
        return None
    return {
        "data_bits": settings.databits,
        "phases": settings.nphases,
        "read_phase": settings.rdphase,
        "write_phase": settings.wrphase,
        "delays": settings.delays,
        "bitslips": settings.bitslips,
    }


def main() -> int:
    """Generate the core that the settings describe."""
    settings_path, result_path = (Path(name) for name in sys.argv[1:])
    settings = json.loads(settings_path.read_text(encoding="utf-8"))
    config = settings["config"]
    config["sdram_module"] = _module(
        config["sdram_module"], settings["timings"], config["sys_clk_freq"]
    )
    config["sdram_phy"] = getattr(litedram.phy, config["sdram_phy"])
    platform = _PLATFORMS[settings["family"]]()
    core = litedram.gen.LiteDRAMCore(platform, config)
    builder = Builder(core, output_dir="build", compile_software=False, compile_gateware=False)
    builder.build(build_name=settings["name"], regular_comb=False)
    timing = core.sdram.controller.settings.timing
    result = {
        "verilog": Path("build", "gateware", f"{settings['name']}.v").read_text(encoding="utf-8"),
        "registers": {
            name: register["addr"]
            for name, register in json.loads(Path("build", "csr.json").read_text(encoding="utf-8"))[
                "csr_registers"
            ].items()
        },
        "steps": _steps(core),
        "phy": _phy(core),
        "settle": max(timing.tRP, timing.tRFC),
    }
    result_path.write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
