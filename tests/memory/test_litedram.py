# amaranth: UnusedElaboratable=no
import dataclasses
import re

import numpy as np
import pytest

import boards.litedram_core
from boards import ExternalMemory, load_board
from boards.litedram_core import board_controller, generate_litedram
from mla_hw.cli.fpga_tools import find_yosys, run_tool
from mla_hw.errors import ConfigError, ToolError
from mla_hw.host.controller import Ddr3Phy
from rtl_gen.memory.litedram import LiteDram
from rtl_gen.verilog import emit_verilog
from sim.memory_bench import CHIP_TIMES, MemorySimulation, Phase, chip_parameters
from tests.memory.traffic import apply_writes, random_reads, random_writes, words_at

CLOCK = 80
PORT = 8
#: Bytes that the tests use: two rows of every bank.
SIZE = 1 << 13
#: Less than the 200 µs of a board, to save time.
POWER_UP_US = 20
#: Chips, and the bits of a column's number.
MEMORIES = {
    "MT48LC16M16": (
        # The chip goes faster than the board that has it.
        dataclasses.replace(load_board("ulx3s-85f").memory, clock_mhz=100),
        9,
    ),
    "EM638325": (
        ExternalMemory(kind="sdr", part="EM638325", size_mib=8, width_bits=32, clock_mhz=143),
        8,
    ),
    "M12L64322A": (
        ExternalMemory(kind="sdr", part="M12L64322A", size_mib=8, width_bits=32, clock_mhz=166),
        8,
    ),
}
DDR3 = ExternalMemory(kind="ddr3", part="MT41K64M16", size_mib=128, width_bits=16, clock_mhz=400)


def core_of(part="MT48LC16M16", family="ecp5", **keywords):
    memory, column_bits = MEMORIES[part]
    core = generate_litedram(
        memory, family=family, clock_mhz=CLOCK, **{"power_up_us": POWER_UP_US, **keywords}
    )
    chip = chip_parameters(core, clock_mhz=CLOCK, column_bits=column_bits)
    return core, chip | {"WORDS": 1 << 17, "T_POWER_UP": POWER_UP_US * 10**6, **CHIP_TIMES[part]}


def simulation(folder, core, chip, *, port=PORT, simulator="icarus"):
    result = MemorySimulation(
        folder=folder, core=core, data_bits=8 * port, chip=chip, simulator=simulator
    )
    result.build()
    return result


def fill(content, port=PORT):
    block = 16 * port
    return [
        (
            address,
            [
                (int.from_bytes(content[start : start + port], "little"), (1 << port) - 1)
                for start in range(address, address + block, port)
            ],
        )
        for address in range(0, len(content), block)
    ]


def check_traffic(sim, *, bursts, seed=1, port=PORT):
    """Fill the memory, then read one half while the other is written, and read that."""
    rng = np.random.default_rng(seed)
    content = bytearray(rng.bytes(SIZE))
    half = SIZE // 2
    region = {"port_bytes": port}
    reads = random_reads(rng, bursts, first=0, last=half, **region)
    writes = random_writes(rng, bursts, first=half, last=SIZE, **region)
    again = random_reads(rng, bursts, first=half, last=SIZE, **region)
    result = sim.run(
        [
            Phase(writes=fill(content, port)),
            Phase(reads=reads, writes=writes, stall=0.2),
            Phase(reads=again),
        ],
        seed=seed,
    )
    assert not result["errors"], ", ".join(result["broken"])
    assert result["phases"][1]["data"] == words_at(content, reads, port)
    apply_writes(content, writes, port)
    assert result["phases"][2]["data"] == words_at(content, again, port)


@pytest.mark.icarus
@pytest.mark.parametrize(
    ("part", "family", "port"),
    [
        ("MT48LC16M16", "ecp5", 8),
        ("MT48LC16M16", "ecp5", 16),
        ("EM638325", "ecp5", 8),
        # No wider than the memory.
        ("M12L64322A", "gowin", 4),
    ],
)
def test_random_traffic(part, family, port, tmp_path):
    sim = simulation(tmp_path, *core_of(part, family), port=port)
    check_traffic(sim, bursts=40, port=port)


@pytest.mark.slow
@pytest.mark.rtl
def test_traffic_and_bandwidth_on_verilator(tmp_path):
    sim = simulation(tmp_path, *core_of(), simulator="verilator")
    check_traffic(sim, bursts=400)
    size, block = 1 << 16, 16 * PORT
    content = np.random.default_rng(0).bytes(size)
    reads = [(address, 16) for address in range(0, size, block)]
    result = sim.run([Phase(writes=fill(content)), Phase(reads=reads)])
    assert result["errors"] == 0
    found = result["phases"][1]
    assert found["data"] == words_at(content, reads, PORT)
    # Refreshes take 2.4 % and new rows 1.2 %.
    cycles = found["beats"][-1][-1] - found["beats"][0][0] + 1
    assert 0.96 < size / cycles / 2 < 0.98


def faulty_core(fault):
    if fault == "tRCD":
        return core_of(timings={"tRCD": 5})
    if fault == "tRP":
        return core_of(timings={"tRP": 5})
    core, chip = core_of(power_up_us=10 if fault == "power-up" else POWER_UP_US)
    writes = core.initialisation
    if fault == "refreshes":
        writes = tuple(w for w in writes if w.value != 0b1101)
    if fault == "mode":
        writes = tuple(dataclasses.replace(w, value=0x30) if w.value == 0x20 else w for w in writes)
    return dataclasses.replace(core, initialisation=writes), chip


@pytest.mark.icarus
@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("tRCD", "tRCD: access too soon after activate"),
        ("tRP", "tRP: command too soon after precharge"),
        ("power-up", "command before the power-up time is over"),
        ("refreshes", "mode set before precharge and two refreshes"),
    ],
)
def test_the_chip_finds_a_wrong_controller(fault, text, tmp_path):
    with pytest.raises(AssertionError, match=text):
        check_traffic(simulation(tmp_path, *faulty_core(fault)), bursts=10)


@pytest.mark.icarus
def test_a_wrong_latency_reads_wrong_data(tmp_path):
    # CL 3 in the chip, CL 2 in the controller: what is read is not driven.
    with pytest.raises((AssertionError, ToolError)):
        check_traffic(simulation(tmp_path, *faulty_core("mode")), bursts=10)


def test_the_core_is_reproducible():
    first, second = (core_of()[0] for _ in range(2))
    assert first == second
    assert first.verilog.isascii()
    assert not {"Date", "sha1", "/tmp"} & set(first.verilog.replace(":", " ").split())
    assert first.ports["sdram_dq"].direction == "inout"
    assert first.registers["ddrctrl_init_done"] == 0


def test_initialisation_of_sdr():
    core, _ = core_of(power_up_us=200)
    names = {address: name for name, address in core.registers.items()}
    commands = [
        (names[write.address], write.value)
        for write in core.initialisation
        if names[write.address] not in ("sdram_dfii_pi0_command_issue", "sdram_dfii_pi0_baddress")
    ]
    precharge, refresh, mode = 0b1011, 0b1101, 0b1111
    sent = [value for name, value in commands if name == "sdram_dfii_pi0_command"]
    assert sent == [precharge, precharge, refresh, refresh, mode]
    assert commands[0] == ("sdram_dfii_control", 0b1110)
    assert commands[-2:] == [("sdram_dfii_control", 1), ("ddrctrl_init_done", 1)]
    assert max(write.wait for write in core.initialisation) == 200 * CLOCK


def test_ddr3_leaves_the_initialisation_to_the_host():
    core = generate_litedram(DDR3, family="ecp5", clock_mhz=50, input_mhz=25)
    assert core.data_bits == 128
    text = emit_verilog(LiteDram(core, data_bits=128), name="memory")["memory.v"]
    ports = ("controller__ar__valid", "user_clk", "user_rst", "locked")
    ports += ("input_clock", "input_reset")
    assert all(f" {port};" in text for port in ports)
    assert all(
        f"inout [{width}:0] ddram_{pad}" in text for pad, width in (("dq", 15), ("dqs_p", 1))
    )
    assert core.registers["ddrctrl_init_done"] not in {w.address for w in core.initialisation[-1:]}
    narrow = generate_litedram(DDR3, family="ecp5", clock_mhz=50, data_bits=64)
    assert narrow.data_bits == 64


@pytest.mark.synth
@pytest.mark.parametrize("board", ["ecpix5-85f", "orangecrab-85f"])
def test_ddr3_elaborates(board, tmp_path):
    """Every cell is one of the ECP5, every wire has one driver, every pad is driven."""
    core = board_controller(load_board(board))
    texts = emit_verilog(LiteDram(core, data_bits=256), name="memory")
    for name, text in (texts | {"core.v": core.verilog}).items():
        (tmp_path / name).write_text(text)
    sources = " ".join(["core.v", *texts])
    (tmp_path / "check.ys").write_text(
        "read_verilog -lib +/ecp5/cells_sim.v +/ecp5/cells_bb.v\n"
        f"read_verilog {sources}\nhierarchy -check -top memory\nproc\ncheck -assert\n"
    )
    command, _ = find_yosys("check.ys")
    run_tool(command, log=tmp_path / "check.log", name="yosys")


def test_registers_of_ddr3():
    core = board_controller(load_board("ecpix5-85f"))
    assert core.phy == Ddr3Phy(
        data_bits=16, phases=2, read_phase=0, write_phase=1, delays=8, bitslips=4
    )
    assert core.phy.lanes == 2
    assert core_of()[0].phy is None
    # Of two words the one at the lower address is the upper one.
    first = core.registers["sdram_dfii_pi0_wrdata"] // 4 % 512
    for word, part in ((first, "63:32"), (first + 1, "31:0")):
        decoded = rf"_adr\[8:0\] == \d+'d{word}\)+ begin\s+(\w+_pi0_wrdata\d)_re <="
        (name,) = re.findall(decoded, core.verilog)
        assert f"_wrdata_storage[{part}] <= {name}_r;" in core.verilog


def test_rejects_a_bus_that_is_narrower_than_the_core():
    core = generate_litedram(DDR3, family="ecp5", clock_mhz=50)
    with pytest.raises(ConfigError, match="data_bits must be at least 128"):
        LiteDram(core, data_bits=64)


@pytest.mark.parametrize(
    ("changes", "keywords", "message"),
    [
        ({"kind": "flash"}, {}, "kind of a memory must be sdr or ddr3"),
        ({"part": "MT41K64M16"}, {}, "part of sdr memory must be one of MT48LC16M16"),
        ({"width_bits": 12}, {}, "width_bits must be a multiple of 8"),
        ({}, {"family": "ice40"}, "sdr memory needs a device of ecp5 or gowin"),
        ({}, {"clock_mhz": 120}, "clock of the memory bus would be 120 MHz"),
    ],
)
def test_rejects(changes, keywords, message):
    memory = dataclasses.replace(MEMORIES["MT48LC16M16"][0], **changes)
    with pytest.raises(ConfigError, match=message):
        generate_litedram(memory, **{"family": "ecp5", "clock_mhz": 80, **keywords})


def test_says_what_to_install(monkeypatch):
    monkeypatch.setattr(boards.litedram_core.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"pip install litedram litex migen"):
        generate_litedram(MEMORIES["MT48LC16M16"][0], family="ecp5", clock_mhz=80)


def test_a_clock_that_litedram_makes_another_of():
    wanted = r"^core_mhz: 50 MHz cannot be made of clock_mhz 48 MHz by .*: it takes 50\.4 MHz$"
    with pytest.raises(ConfigError, match=wanted):
        generate_litedram(DDR3, family="ecp5", clock_mhz=50, input_mhz=48)


def test_says_why_the_generator_fails():
    with pytest.raises(
        ToolError, match=r"LiteDRAM's generator failed for .*, clock_mhz .*: .*tXYZ"
    ):
        generate_litedram(
            MEMORIES["MT48LC16M16"][0], family="ecp5", clock_mhz=80, timings={"tXYZ": 1}
        )
