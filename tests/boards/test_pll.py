import pytest

from boards import list_boards, load_board
from boards.pll import PLLS, find_pll
from mla_hw.errors import ConfigError

# As icepll and gowin_pll choose them; of ECP5 and Nexus by hand.
KNOWN = [
    ("ecp5", 25, 50, {"CLKI_DIV": 1, "CLKOS2_DIV": 24, "CLKOP_DIV": 12}),
    ("ecp5", 25, 60, {"CLKI_DIV": 1, "CLKOS2_DIV": 24, "CLKOP_DIV": 10}),
    ("ecp5", 100, 60, {"CLKI_DIV": 1, "CLKOS2_DIV": 6, "CLKOP_DIV": 10}),
    ("ice40", 12, 48, {"DIVR": 0, "DIVF": 63, "DIVQ": 4, "FILTER_RANGE": 1}),
    ("ice40", 12, 24, {"DIVR": 0, "DIVF": 63, "DIVQ": 5, "FILTER_RANGE": 1}),
    ("gowin", 27, 48, {"FCLKIN": "27", "IDIV_SEL": 8, "FBDIV_SEL": 15, "ODIV_SEL": 16}),
    ("gowin", 27, 27, {"FCLKIN": "27", "IDIV_SEL": 0, "FBDIV_SEL": 0, "ODIV_SEL": 32}),
    ("nexus", 25, 60, {"REF_MMD_DIG": "1", "DIVF": "35", "DIVA": "14"}),
    ("nexus", 125, 60, {"REF_MMD_DIG": "1", "DIVF": "11", "DIVA": "24"}),
]


@pytest.mark.parametrize(("family", "given", "wanted", "parameters"), KNOWN)
def test_known_settings(family, given, wanted, parameters):
    pll = find_pll(family, given, wanted)
    assert made(family, pll.parameters, given) == pytest.approx(wanted)
    assert {name: pll.parameters[name] for name in parameters} == parameters
    assert pll.output_mhz == pytest.approx(wanted)


RANGES = {"ecp5": (400, 800), "ice40": (533, 1066), "gowin": (500, 1250), "nexus": (800, 1600)}


GIVEN = {"ecp5": 25, "ice40": 12, "gowin": 27, "nexus": 25}
#: Least that the phase detector takes, by the data sheets.
DETECTOR = {"ecp5": 10, "ice40": 10, "gowin": 3, "nexus": 18}


def detector(family, values, given):
    divider = {"ecp5": "CLKI_DIV", "nexus": "REF_MMD_DIG", "ice40": "DIVR", "gowin": "IDIV_SEL"}
    return given / (int(values[divider[family]]) + (family in ("ice40", "gowin")))


def made(family, values, given):
    if family == "ecp5":
        assert values["FEEDBK_PATH"] == "INT_OS2"
        vco = given / values["CLKI_DIV"] * values["CLKFB_DIV"] * values["CLKOS2_DIV"]
        return vco / values["CLKOP_DIV"]
    if family == "ice40":
        return given / (values["DIVR"] + 1) * (values["DIVF"] + 1) / 2 ** values["DIVQ"]
    if family == "nexus":
        vco = given / int(values["REF_MMD_DIG"]) * (int(values["DIVF"]) + 1)
        return vco / (int(values["DIVA"]) + 1)
    return given / (values["IDIV_SEL"] + 1) * (values["FBDIV_SEL"] + 1)


@pytest.mark.parametrize(
    ("family", "wanted"),
    [
        *(("ecp5", clock) for clock in (25, 37.5, 50, 62.5, 75, 100)),
        *(("ice40", clock) for clock in (24, 30, 48, 60)),
        *(("gowin", clock) for clock in (27, 33, 48, 54, 60, 81)),
        *(("nexus", clock) for clock in (25, 50, 60, 75, 100)),
    ],
)
def test_settings_are_legal_and_make_the_clock(family, wanted):
    pll = find_pll(family, GIVEN[family], wanted)
    low, high = RANGES[family]
    assert low <= pll.vco_mhz <= high
    found = made(family, pll.parameters, GIVEN[family])
    assert found == pytest.approx(wanted, rel=1e-3)
    assert pll.output_mhz == pytest.approx(found)
    assert detector(family, pll.parameters, GIVEN[family]) >= DETECTOR[family]


@pytest.mark.parametrize(
    ("family", "given", "wanted", "message"),
    [
        (
            "ecp5",
            25,
            1000,
            r"core_mhz: 1000 MHz cannot be made of clock_mhz 25 MHz on ecp5: the nearest is 400",
        ),
        ("ice40", 12, 5, r"cannot be made of clock_mhz 12 MHz on ice40: the nearest is 16"),
        ("gowin", 27, 1, r"cannot be made of clock_mhz 27 MHz on gowin: the nearest is "),
        ("ecp5", 1, 50, r"of clock_mhz 1 MHz on ecp5: one of them is out of range"),
        ("nexus", 25, 1000, r"of clock_mhz 25 MHz on nexus: one of them is out of range"),
        ("nexus", 12, 60, r"of clock_mhz 12 MHz on nexus: one of them is out of range"),
        # That takes a divided input.
        ("nexus", 50, 59, r"core_mhz: 59 MHz cannot be made of clock_mhz 50 MHz on nexus"),
        ("portable", 12, 60, r"no PLL is known of family portable"),
    ],
)
def test_a_clock_that_cannot_be_made(family, given, wanted, message):
    with pytest.raises(ConfigError, match=message):
        find_pll(family, given, wanted)


@pytest.mark.parametrize("name", list_boards())
def test_every_board_can_make_its_clock(name):
    board = load_board(name)
    if board.core_mhz != board.clock_mhz and board.device.family in PLLS:
        pll = find_pll(board.device.family, board.clock_mhz, board.core_mhz)
        assert pll.output_mhz == pytest.approx(board.core_mhz)
