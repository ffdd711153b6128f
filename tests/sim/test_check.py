import numpy as np
import pytest

from mla_hw.checkpoint import load_model
from mla_hw.compile_layer import compile_layer
from mla_hw.cycles.predict import predict
from mla_hw.hardware import PROGRAM_LOAD, HardwareConfig
from mla_hw.registers import ErrorCode
from sim.bench import ENGINES
from sim.check import MemoryMirror, core_contents, first_difference
from sim.results import Dump, Event, TokenLog, TokenResult, Write
from sim.trace import pair
from tests.reference_cases import case_dir

NO_SATURATION = {
    f"saturated_{unit}": 0 for unit in ("requantizer", "score", "rope", "normalize", "pack")
}
COUNTED = {"q_down": 2, "k_rope": 3, "q_rope": 4}


def as_dump(values):
    """Content of a memory with 64 bits per element."""
    values = np.asarray(values, np.int64)
    width = 64 * (values.shape[1] if values.ndim == 2 else 1)
    words = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    return Dump(width, words.copy(), np.array([], np.intp))


@pytest.fixture(scope="module")
def design():
    return compile_layer(
        load_model(case_dir("tiny-v3"), layer=0, seed=0), HardwareConfig(), context=4
    ).design


class Run:
    """One golden token, and a simulation that has found the same."""

    def __init__(self, design):
        self.machine = design.machine()
        self.mirror = MemoryMirror(self.machine.memory)
        self.machine.write_hidden(design.quantize_hidden(np.ones((1, 64)))[0][0])
        self.machine.run(0)
        self.registers = {"error_code": 0, **NO_SATURATION}
        self.registers |= {"saturated_requantizer": 2, "saturated_rope": 7}
        self.memories = {name: as_dump(v) for name, v in core_contents(self.machine).items()}
        self.log = TokenLog(begun=True, halt=100)
        self.timeline = predict(design.program, design.core, design.memory, 0)
        for item in self.timeline.instructions:
            engine = ENGINES.index(item.engine)
            self.log.events += [
                Event("start", engine, item.index, item.start),
                Event("end", engine, item.index, item.end),
            ]
        self.stopped = None
        for name in ("y", "cache"):
            start = design.regions[name].offset
            size = 128 if name == "y" else design.core.row_bytes
            for address in range(start, start + size, 8):
                data = self.machine.memory[address : address + 8].tobytes()
                self.log.writes.append(Write(address, data, 0xFF))

    def difference(self):
        result = TokenResult(
            index=0,
            stopped=self.stopped,
            registers=self.registers,
            seconds=1.0,
            limit=500,
            log=self.log,
            memories=self.memories,
        )
        return first_difference(
            self.machine,
            self.mirror,
            result,
            token=0,
            positions=(0,),
            counted=COUNTED,
            trace=pair(self.timeline.instructions, self.log.events),
        )


@pytest.fixture
def run(design):
    return Run(design)


def test_equal(run):
    assert run.difference() is None


@pytest.mark.parametrize(
    ("name", "place", "element"),
    [
        ("dispatcher.memory", 13, (13,)),
        ("output_buffer.words.memory", 5, (1, 1)),
        ("latent_ring.bank_1.memory", 3, (3,)),
        ("requantizer.constants", 6, (1, 2)),
        ("score_unit.running", 1, (1,)),
        ("context_accumulator.lane_0.table", 1, (1,)),
        ("activation_buffer.vector_2.memory", 7, (7,)),
    ],
)
def test_buffer(run, name, place, element):
    run.memories[name].words.reshape(-1, 8)[place, 0] ^= 1
    difference = run.difference()
    assert (difference.buffer, difference.element) == (name, element)
    assert int(difference.expected) ^ 1 == int(difference.got)


def test_cause_comes_before_effect(run):
    for name in ("output_buffer.words.memory", "scratch.memory", "latent_ring.scales.memory"):
        run.memories[name].words[1] ^= 1
    assert run.difference().buffer == "latent_ring.scales.memory"


@pytest.mark.parametrize(("region", "offset"), [("y", 17), ("cache", 9)])
def test_wrong_byte(run, design, region, offset):
    address = design.regions[region].offset + offset
    number = next(i for i, w in enumerate(run.log.writes) if 0 <= address - w.address < 8)
    write = run.log.writes[number]
    data = bytearray(write.data)
    data[address - write.address] ^= 0x10
    run.log.writes[number] = Write(write.address, bytes(data), 0xFF)
    difference = run.difference()
    assert (difference.buffer, difference.element) == (region, (offset,))


def test_missing_write(run, design):
    run.log.writes = [w for w in run.log.writes if w.address != design.regions["y"].offset + 8]
    difference = run.difference()
    assert difference.buffer == "y"
    assert 8 <= difference.element[0] < 16


def test_missing_strobe(run, design):
    start = design.regions["y"].offset
    byte = next(i for i in range(128) if run.machine.memory[start + i])
    number = next(i for i, w in enumerate(run.log.writes) if w.address == start + byte // 8 * 8)
    write = run.log.writes[number]
    run.log.writes[number] = Write(write.address, write.data, 0xFF & ~(1 << byte % 8))
    assert run.difference().element == (byte,)


def test_stray_write(run, design):
    run.log.writes.append(Write(design.regions["weights"].offset + 16, b"\xa5" * 8, 0x04))
    difference = run.difference()
    assert (difference.buffer, difference.element, difference.got) == ("weights", (18,), "165")


@pytest.mark.parametrize("name", NO_SATURATION)
def test_saturation_counter(run, name):
    run.registers[name] += 1
    difference = run.difference()
    assert difference.buffer == name
    assert int(difference.got) == int(difference.expected) + 1


def test_error(run):
    run.registers |= {
        "error_code": int(ErrorCode.READ),
        "error_program_counter": 7,
        "error_address": 0x1230,
    }
    assert str(run.difference()) == (
        "token 0: run: expected HALT, got read refused by the memory at address 0x1230 "
        "(program counter 7)"
    )


def test_hang(run):
    run.stopped, run.log.halt = "overtime", None
    run.log.events = [Event("start", 0, 3, 10), Event("start", 1, 4, 20), Event("start", 0, 5, 30)]
    assert "no HALT after 500 cycles (last started: reader 5, array 4)" in str(run.difference())


def test_broken_rule(run):
    run.stopped = "W changed before WREADY (cycle 9)"
    assert run.difference().got == run.stopped


@pytest.mark.parametrize("kind", ["start", "end"])
def test_instruction_that_the_program_does_not_have(run, kind):
    run.log.events.append(Event(kind, ENGINES.index("vector"), 9, 77))
    difference = run.difference()
    assert difference.buffer == "run"
    assert difference.got.startswith(f"{kind} of instruction 9 in vector at cycle 77")


@pytest.mark.parametrize("kind", ["start", "end"])
def test_instruction_that_is_left_out(run, kind):
    place = max(i for i, event in enumerate(run.log.events) if event.kind == kind)
    event = run.log.events.pop(place)
    assert f"no {kind} of instruction {event.tag}, iteration [" in run.difference().got


def test_load_of_the_program_is_no_instruction(run):
    run.log.events.insert(0, Event("start", ENGINES.index("reader"), PROGRAM_LOAD, 3))
    assert run.difference() is None
