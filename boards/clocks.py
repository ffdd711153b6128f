"""PLLs and clock buffers as cells of each family."""

from collections.abc import Callable, Sequence
from typing import Any

from amaranth import *

from boards.pll import PllSettings

__all__ = ["add_clock_buffers", "add_pll"]

#: Fractions of a cycle of the oscillator that an ECP5's PLL shifts an output by.
_ECP5_FINE = 8


def add_pll(
    m: Module,
    pll: PllSettings,
    source: Value,
    chip: str | None = None,
    phase: float = 0,
    site: str | None = None,
) -> Value:
    """Add the PLL that makes the clock of the domain ``sync``.

    Parameters
    ----------
    m : Module
    pll : PllSettings
    source : Value
        The board's clock.
    chip : str, optional
        Domain whose clock is behind that of ``sync``; ECP5 only.
    phase : float
        By how many degrees, 0 to 360.
    site : str, optional
        nextpnr's name of the PLL that is to be it.

    Returns
    -------
    Value
        Whether the PLL has locked.
    """
    lock = Signal(name="pll_lock")
    if pll.primitive == "EHXPLLL":
        connections = _ehxplll(pll, source, chip, phase)
    else:
        assert chip is None
        connections = _CONNECTIONS[pll.primitive](pll, source)
    if site:
        connections["a_BEL"] = site
    m.submodules.pll = Instance(pll.primitive, o_LOCK=lock, **connections)
    return lock


def add_clock_buffers(m: Module, source: Value, sites: Sequence[str]) -> None:
    """Add clock buffers of a Nexus, the first of which makes the clock of the domain ``sync``.

    Parameters
    ----------
    m : Module
    source : Value
        The board's clock.
    sites : sequence of str
        nextpnr's names of the buffers.
    """
    for number, site in enumerate(sites):
        output = Signal() if number else ClockSignal()
        m.submodules[f"clock_buffer_{number}"] = Instance(
            "DCC", a_keep=1, a_BEL=site, i_CLKI=source, i_CE=C(1, 1), o_CLKO=output
        )


def _zeros(*ports: tuple[str, int]) -> dict[str, Value]:
    return {f"i_{name}": C(0, width) for name, width in ports}


def _ehxplll(pll: PllSettings, source: Value, chip: str | None, phase: float) -> dict[str, Any]:
    divider, first = int(pll.parameters["CLKOP_DIV"]), int(pll.parameters["CLKOP_CPHASE"])
    settings: dict[str, Any] = {f"p_{key}": value for key, value in pll.parameters.items()}
    settings |= {
        "p_PLLRST_ENA": "DISABLED",
        "p_INTFB_WAKE": "DISABLED",
        "p_STDBY_ENABLE": "DISABLED",
        "p_DPHASE_SOURCE": "DISABLED",
        "p_CLKOP_ENABLE": "ENABLED",
        "p_OUTDIVIDER_MUXA": "DIVA",
        "p_OUTDIVIDER_MUXB": "DIVB",
        "p_OUTDIVIDER_MUXC": "DIVC",
        "p_OUTDIVIDER_MUXD": "DIVD",
        "p_CLKOP_FPHASE": 0,
        "p_CLKOS2_ENABLE": "ENABLED",
        "p_CLKOS2_CPHASE": 0,
        "p_CLKOS2_FPHASE": 0,
        "a_FREQUENCY_PIN_CLKI": f"{pll.input_mhz:g}",
        "a_FREQUENCY_PIN_CLKOP": f"{pll.output_mhz:g}",
        "a_ICP_CURRENT": "12",
        "a_LPF_RESISTOR": "8",
        "a_MFG_ENABLE_FILTEROPAMP": "1",
        "a_MFG_GMCREF_SEL": "2",
    }
    if chip:
        late = round(_ECP5_FINE * divider * phase / 360)
        settings |= {
            "p_CLKOS_ENABLE": "ENABLED",
            "p_CLKOS_DIV": divider,
            "p_CLKOS_CPHASE": first + late // _ECP5_FINE,
            "p_CLKOS_FPHASE": late % _ECP5_FINE,
            "a_FREQUENCY_PIN_CLKOS": f"{pll.output_mhz:g}",
            "o_CLKOS": ClockSignal(chip),
        }
    unused = (
        *("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR", "PHASESTEP"),
        *("PHASELOADREG", "PLLWAKESYNC", "ENCLKOP"),
    )
    return {
        "i_CLKI": source,
        "o_CLKOP": ClockSignal(),
        "o_CLKOS2": Signal(name="pll_feedback"),
        **settings,
        **_zeros(*((name, 1) for name in unused)),
    }


def _sb_pll40(pll: PllSettings, source: Value) -> dict[str, Any]:
    return {
        "i_PACKAGEPIN": source,
        "o_PLLOUTGLOBAL": ClockSignal(),
        "i_RESETB": C(1, 1),
        "i_BYPASS": C(0, 1),
        **{f"p_{key}": _ice40_bits(key, value) for key, value in pll.parameters.items()},
    }


def _ice40_bits(name: str, value: int | str) -> Any:
    width = {"DIVR": 4, "DIVF": 7, "DIVQ": 3, "FILTER_RANGE": 3}.get(name)
    return C(int(value), width) if width else value


def _rpll(pll: PllSettings, source: Value) -> dict[str, Any]:
    unused = (
        *(("RESET", 1), ("RESET_P", 1), ("CLKFB", 1), ("FBDSEL", 6), ("IDSEL", 6), ("ODSEL", 6)),
        *(("PSDA", 4), ("DUTYDA", 4), ("FDLY", 4)),
    )
    return {
        "p_DEVICE": "GW2A-18C",
        "p_DYN_IDIV_SEL": "false",
        "p_DYN_FBDIV_SEL": "false",
        "p_DYN_ODIV_SEL": "false",
        "p_DYN_DA_EN": "false",
        "p_DYN_SDIV_SEL": 2,
        "p_PSDA_SEL": "0000",
        "p_DUTYDA_SEL": "1000",
        "p_CLKOUT_FT_DIR": C(1, 1),
        "p_CLKOUTP_FT_DIR": C(1, 1),
        "p_CLKOUT_DLY_STEP": 0,
        "p_CLKOUTP_DLY_STEP": 0,
        "p_CLKFB_SEL": "internal",
        "p_CLKOUT_BYPASS": "false",
        "p_CLKOUTP_BYPASS": "false",
        "p_CLKOUTD_BYPASS": "false",
        "p_CLKOUTD_SRC": "CLKOUT",
        "p_CLKOUTD3_SRC": "CLKOUT",
        "i_CLKIN": source,
        "o_CLKOUT": ClockSignal(),
        **{f"p_{key}": value for key, value in pll.parameters.items()},
        **_zeros(*unused),
    }


def _nexus(pll: PllSettings, source: Value) -> dict[str, Any]:
    feedback = Signal(name="pll_feedback")
    return {
        "i_REFCK": source,
        "i_PLLRESET": C(0, 1),
        "i_FBKCK": feedback,
        "o_CLKOS5": feedback,
        "o_CLKOP": ClockSignal(),
        **{f"p_{key}": value for key, value in pll.parameters.items()},
    }


_CONNECTIONS: dict[str, Callable[[PllSettings, Value], dict[str, Any]]] = {
    "SB_PLL40_PAD": _sb_pll40,
    "rPLL": _rpll,
    "PLL": _nexus,
}
