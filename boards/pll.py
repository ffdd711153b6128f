"""Clocks that the boards' PLLs can make, and the dividers that do."""

import contextlib
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mla_hw.errors import ConfigError

__all__ = ["CLOCK_TOLERANCE", "PLLS", "PllSettings", "find_pll"]

CLOCK_TOLERANCE = 0.001
"""How far a clock may be from the one that is wanted, relative to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PllSettings:
    """A PLL that makes a clock.

    Parameters
    ----------
    primitive : str
        ``EHXPLLL``, ``SB_PLL40_PAD``, ``rPLL`` or ``PLL``.
    parameters : mapping of str to int or str
        Parameters of the primitive that set the clock.
    input_mhz, output_mhz, vco_mhz : float
    """

    primitive: str
    parameters: Mapping[str, int | str]
    input_mhz: float
    output_mhz: float
    vco_mhz: float


def find_pll(family: str, input_mhz: float, output_mhz: float) -> PllSettings:
    """Return the settings that come closest to a clock, with the fastest detector.

    Parameters
    ----------
    family : str
        One of :data:`PLLS`.
    input_mhz, output_mhz : float
        Clock of the board, and the wanted one.

    Raises
    ------
    ConfigError
        If the family has no PLL that is known, or none of its settings comes within 0.1 % of the
        clock; says which one is nearest.
    """
    if family not in PLLS:
        raise ConfigError(
            f"no PLL is known of family {family} (known are {', '.join(PLLS)}): core_mhz has to be "
            "the clock of the board"
        )
    candidates = PLLS[family](input_mhz, output_mhz)
    if not candidates:
        raise ConfigError(
            f"core_mhz: {output_mhz:g} MHz cannot be made of clock_mhz {input_mhz:g} MHz on "
            f"{family}: one of them is out of range"
        )
    best = min(candidates, key=lambda pll: abs(pll.output_mhz - output_mhz))
    if abs(best.output_mhz - output_mhz) > CLOCK_TOLERANCE * output_mhz:
        raise ConfigError(
            f"core_mhz: {output_mhz:g} MHz cannot be made of clock_mhz {input_mhz:g} MHz on "
            f"{family}: the nearest is {best.output_mhz:g} MHz"
        )
    return best


def _ehxplll(input_mhz: float, output_mhz: float) -> list[PllSettings]:
    """ECP5 (Lattice FPGA-DS-02012, FPGA-TN-02200): a spare output is the feedback.

    So the output need not be a multiple of what the phase detector gets, 10 MHz at least.
    """
    found = list[PllSettings]()
    if not 8 <= input_mhz <= 400:
        return found
    for divide_in in range(1, 129):
        detector = input_mhz / divide_in
        if not 10 <= detector <= 400:
            continue
        # From the middle of the oscillator's range, 400 to 800 MHz.
        for divide_feedback in sorted(range(1, 129), key=lambda n: abs(detector * n - 600)):
            vco = detector * divide_feedback
            divide_out = _near(vco / output_mhz, 1, 128)
            output = vco / divide_out
            if not (400 <= vco <= 800 and 3.125 <= output <= 400):
                continue
            parameters: dict[str, int | str] = {
                "CLKI_DIV": divide_in,
                "CLKFB_DIV": 1,
                "CLKOP_DIV": divide_out,
                "CLKOP_CPHASE": divide_out // 2,
                "CLKOS2_DIV": divide_feedback,
                "FEEDBK_PATH": "INT_OS2",
            }
            found.append(_settings("EHXPLLL", parameters, input_mhz, output, vco))
    return found


def _sb_pll40(input_mhz: float, output_mhz: float) -> list[PllSettings]:
    """iCE40 (Lattice FPGA-TN-02052), simple feedback: the divided oscillator is the output."""
    found = list[PllSettings]()
    if not 10 <= input_mhz <= 133:
        return found
    for divide_in in range(16):
        detector = input_mhz / (divide_in + 1)
        if not 10 <= detector <= 133:
            continue
        for divide_feedback in range(128):
            vco = detector * (divide_feedback + 1)
            if not 533 <= vco <= 1066:
                continue
            for divide_out in range(1, 7):
                output = vco / 2**divide_out
                if not 16 <= output <= 275:
                    continue
                parameters: dict[str, int | str] = {
                    "FEEDBACK_PATH": "SIMPLE",
                    "DIVR": divide_in,
                    "DIVF": divide_feedback,
                    "DIVQ": divide_out,
                    "FILTER_RANGE": _filter_range(detector),
                }
                found.append(_settings("SB_PLL40_PAD", parameters, input_mhz, output, vco))
    return found


def _filter_range(detector: float) -> int:
    limits = (17, 26, 44, 66, 101)
    return 1 + sum(detector >= limit for limit in limits)


def _rpll(input_mhz: float, output_mhz: float) -> list[PllSettings]:
    """GW2A (Gowin UG286 and DS226): the oscillator is the output times ODIV."""
    found = list[PllSettings]()
    if not 3 <= input_mhz <= 500:
        return found
    for divide_in in range(64):
        detector = input_mhz / (divide_in + 1)
        if not 3 <= detector <= 500:
            continue
        for divide_feedback in range(64):
            output = detector * (divide_feedback + 1)
            if not 3.90625 <= output <= 625:
                continue
            for divide_vco in (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128):
                vco = output * divide_vco
                if not 500 <= vco <= 1250:
                    continue
                parameters: dict[str, int | str] = {
                    "FCLKIN": f"{input_mhz:g}",
                    "IDIV_SEL": divide_in,
                    "FBDIV_SEL": divide_feedback,
                    "ODIV_SEL": divide_vco,
                }
                found.append(_settings("rPLL", parameters, input_mhz, output, vco))
    return found


def _nexus(input_mhz: float, output_mhz: float) -> list[PllSettings]:
    """CrossLink-NX (Lattice FPGA-DS-02049, FPGA-TN-02095): LiteX chooses the analog part."""
    from litex.soc.cores.clock.lattice_nx import NXPLL
    from migen import ClockDomain, Signal

    # The program prints what it tries.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            pll = NXPLL()
            # Of the data sheet; LiteX asks for 10 MHz.
            pll.clki_freq_range = (18e6, 500e6)
            # LiteX emits no other.
            pll.clki_div_range = (1, 2)
            # LiteX gives hertz where it compares megahertz.
            optimal = pll.calc_optimal_params
            pll.calc_optimal_params = lambda hertz, *rest: optimal(hertz / 1e6, *rest)
            pll.register_clkin(Signal(), input_mhz * 1e6)
            pll.create_clkout(ClockDomain("core"), output_mhz * 1e6, margin=CLOCK_TOLERANCE)
            config = pll.compute_config()
            pll.do_finalize()
        except (AssertionError, ValueError):
            return []
    parameters = {
        name.removeprefix("p_"): value
        for name, value in pll.params.items()
        if name.startswith("p_")
    }
    return [
        _settings("PLL", parameters, input_mhz, config["clko0_freq"] / 1e6, config["vco"] / 1e6)
    ]


def _settings(
    primitive: str,
    parameters: dict[str, int | str],
    input_mhz: float,
    output_mhz: float,
    vco_mhz: float,
) -> PllSettings:
    return PllSettings(
        primitive=primitive,
        parameters=parameters,
        input_mhz=input_mhz,
        output_mhz=output_mhz,
        vco_mhz=vco_mhz,
    )


def _near(value: float, low: int, high: int) -> int:
    return min(max(math.ceil(value - 0.5), low), high)


PLLS: Mapping[str, Callable[[float, float], list[PllSettings]]] = {
    "ecp5": _ehxplll,
    "ice40": _sb_pll40,
    "gowin": _rpll,
    "nexus": _nexus,
}
"""All settings of each family's PLL, the fastest detectors first."""
