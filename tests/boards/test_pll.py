import pytest

from boards import list_boards, load_board
from boards.pll import PLLS, find_pll
from mla_hw.errors import ConfigError

# As ecppll, icepll and gowin_pll choose them, or what a published design for the board has.
KNOWN = [
    ("ecp5", 25, 50, {"CLKI_DIV": 1, "CLKFB_DIV": 2, "CLKOP_DIV": 12}),
    ("ecp5", 25, 80, {"CLKI_DIV": 5, "CLKFB_DIV": 16, "CLKOP_DIV": 7}),
    ("ice40", 12, 48, {"DIVR": 0, "DIVF": 63, "DIVQ": 4, "FILTER_RANGE": 1}),
    ("ice40", 12, 24, {"DIVR": 0, "DIVF": 63, "DIVQ": 5, "FILTER_RANGE": 1}),
    ("gowin", 27, 48, {"FCLKIN": "27", "IDIV_SEL": 8, "FBDIV_SEL": 15, "ODIV_SEL": 16}),
    ("gowin", 27, 27, {"FCLKIN": "27", "IDIV_SEL": 0, "FBDIV_SEL": 0, "ODIV_SEL": 32}),
    ("nexus", 12, 60, {"REF_MMD_DIG": "1", "DIVF": "69", "DIVA": "13"}),
]


@pytest.mark.parametrize(("family", "given", "wanted", "parameters"), KNOWN)
def test_known_settings(family, given, wanted, parameters):
    pll = find_pll(family, given, wanted)
    assert {name: pll.parameters[name] for name in parameters} == parameters
    assert pll.output_mhz == pytest.approx(wanted)


RANGES = {"ecp5": (400, 800), "ice40": (533, 1066), "gowin": (500, 1250), "nexus": (800, 1600)}


GIVEN = {"ecp5": 25, "ice40": 12, "gowin": 27, "nexus": 12}


def made(family, values):
    given = GIVEN[family]
    if family == "ecp5":
        return given / values["CLKI_DIV"] * values["CLKFB_DIV"]
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
        *(("nexus", clock) for clock in (24, 60, 75, 100)),
    ],
)
def test_settings_are_legal_and_make_the_clock(family, wanted):
    pll = find_pll(family, GIVEN[family], wanted)
    low, high = RANGES[family]
    assert low <= pll.vco_mhz <= high
    assert made(family, pll.parameters) == pytest.approx(wanted, rel=1e-3)
    assert pll.output_mhz == pytest.approx(made(family, pll.parameters))


@pytest.mark.parametrize(
    ("family", "given", "wanted", "message"),
    [
        (
            "ecp5",
            25,
            1000,
            r"core_mhz: 1000 MHz cannot be made of clock_mhz 25 MHz on ecp5: the nearest is 800",
        ),
        ("ice40", 12, 5, r"cannot be made of clock_mhz 12 MHz on ice40: the nearest is 16"),
        ("gowin", 27, 1, r"cannot be made of clock_mhz 27 MHz on gowin: the nearest is "),
        ("ecp5", 1, 50, r"of clock_mhz 1 MHz on ecp5: one of them is out of range"),
        ("nexus", 12, 1000, r"of clock_mhz 12 MHz on nexus: one of them is out of range"),
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
