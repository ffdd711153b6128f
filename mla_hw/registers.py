"""The register map as one table of data.

The gateware (:class:`rtl_gen.units.registers.Registers`), the documentation page and the C header
(:mod:`mla_hw.register_text`) all come from :data:`REGISTERS`.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum

from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import FIELDS, Engine

__all__ = [
    "CACHES",
    "COUNTERS",
    "ERRORS",
    "IDENTITY",
    "MAP_VERSION",
    "POSITIONS",
    "POSITION_BITS",
    "REGISTERS",
    "REGISTER_ADDRESS_BITS",
    "Access",
    "ErrorCode",
    "Register",
    "RegisterField",
    "cache_register",
    "core_constants",
    "position_register",
    "register",
    "registers",
]

#: "MLAH"
IDENTITY = 0x4D4C4148
#: Major, minor and patch number of this map, a byte each.
MAP_VERSION = 0x00_01_01_00
#: Byte addresses of the whole map.
REGISTER_ADDRESS_BITS = 10
#: Width of a position, and of a loop index: the wide side of an 18×18 multiplier.
POSITION_BITS = 18


class Access(Enum):
    """What reading and writing do."""

    #: Read only.
    RO = "ro"
    #: Read and write.
    RW = "rw"
    #: Read and write; a write while the core runs is refused.
    RW_IDLE = "rw, only while not running"
    #: Writing ones starts actions; reads as 0.
    W1 = "w1"
    #: Writing ones clears.
    W1C = "w1c"
    #: 64 bits, low word first, as of the last latch.
    COUNTER = "counter"


class ErrorCode(IntEnum):
    """Why the core has stopped."""

    NONE = 0
    OPCODE = 1
    NESTING = 2
    TILE = 3
    COUNT = 4
    END = 5
    POSITION = 6
    OVERFLOW = 7
    READ = 8
    WRITE = 9
    ABORT = 10
    PROGRAM = 11


#: What each error code means.
ERRORS = {
    ErrorCode.NONE: "no error",
    ErrorCode.OPCODE: "unknown opcode",
    ErrorCode.NESTING: "loops nested too deep, NEXT without LOOP, or HALT within a loop",
    ErrorCode.TILE: "tile token count outside a loop over tiles, or such a loop within another",
    ErrorCode.COUNT: f"loop of no iteration, or of 2^{POSITION_BITS} and more",
    ErrorCode.END: "program memory ends without HALT",
    ErrorCode.POSITION: "start with a position, of any query row, that is not below the capacity",
    ErrorCode.OVERFLOW: "semaphore given beyond its largest count",
    ErrorCode.READ: "read refused by the memory",
    ErrorCode.WRITE: "write refused by the memory",
    ErrorCode.ABORT: "stopped by the abort bit",
    ErrorCode.PROGRAM: "start with a program of 0 beats, or of more than the program memory holds",
}

#: Counters in their order, and what each counts.
COUNTERS = {
    "cycles": "cycles from start to halt",
    **{
        f"busy_{engine.value}": f"cycles in which the {engine.value} has an instruction under way"
        for engine in Engine
        if engine is not Engine.DISPATCHER
    },
    **{
        f"waiting_{engine.value}": f"cycles in which the {engine.value} is idle and its next "
        "instruction waits for a semaphore"
        for engine in Engine
        if engine is not Engine.DISPATCHER
    },
    "stall_weights": "cycles in which the array waits for weights from memory",
    "stall_latents": "cycles in which the array waits for cached rows from memory",
    "stall_drain": "cycles in which the array waits until the sums before are drained",
    "array_steps": "steps that the array has taken",
    "read_beats": "beats read from memory",
    "write_beats": "beats written to memory",
    "saturated_requantizer": "projection results clamped",
    "saturated_score": "scores clamped",
    "saturated_rope": "rotated elements clamped",
    "saturated_normalize": "elements of the attention context clamped",
    "saturated_pack": "elements of cache rows clamped",
}


@dataclass(frozen=True, slots=True)
class RegisterField:
    """Some bits of a register.

    Parameters
    ----------
    name : str
    lsb, width : int
    doc : str
    """

    name: str
    lsb: int
    width: int
    doc: str


@dataclass(frozen=True, slots=True)
class Register:
    """One register.

    Parameters
    ----------
    name : str
    address : int
        In bytes.
    access : Access
    doc : str
    fields : tuple of RegisterField
        Bits that are there; all others read as 0. Empty: one number of 32 bits per word.
    words : int
        Words of 32 bits, the least significant one first.
    reset : int or None
        Value after reset; None where the core says it (:func:`core_constants`).
    """

    name: str
    address: int
    access: Access
    doc: str
    fields: tuple[RegisterField, ...] = ()
    words: int = 1
    reset: int | None = 0

    @property
    def mask(self) -> int:
        """Bits that are there."""
        if not self.fields:
            return (1 << 32 * self.words) - 1
        return sum(((1 << field.width) - 1) << field.lsb for field in self.fields)


def _number(width: int) -> tuple[RegisterField, ...]:
    return (RegisterField("value", 0, width, ""),)


def _flags(**docs: str) -> tuple[RegisterField, ...]:
    return tuple(RegisterField(name, lsb, 1, doc) for lsb, (name, doc) in enumerate(docs.items()))


def _bytes(**docs: str) -> tuple[RegisterField, ...]:
    return tuple(
        RegisterField(name, 8 * lsb, 8, doc) for lsb, (name, doc) in enumerate(docs.items())
    )


_EVENTS = _flags(
    done="the program has reached HALT",
    error="the run has ended with an error, or its start was refused",
)
_BASES = 0x080
_COUNTERS = 0x100
#: Addresses that row 0 would have: its registers are ``position`` and ``base_cache``.
POSITIONS, CACHES = 0x200, 0x300
_MOST_QUERY_ROWS = 64

REGISTERS = (
    Register("identity", 0x000, Access.RO, 'the letters "MLAH"', reset=IDENTITY),
    Register(
        "version",
        0x004,
        Access.RO,
        "version of this map, a byte each",
        reset=MAP_VERSION,
        fields=_bytes(patch="", minor="", major=""),
    ),
    Register("hash", 0x008, Access.RO, "configuration hash of the manifest", words=2, reset=None),
    Register(
        "shape",
        0x010,
        Access.RO,
        "size of the core",
        reset=None,
        fields=_bytes(
            rows="rows of the array",
            columns="columns of the array",
            lanes="lanes of the context accumulator",
            port_bytes="width of the memory port",
        ),
    ),
    Register(
        "limits",
        0x014,
        Access.RO,
        "what programs may use",
        reset=None,
        fields=(
            RegisterField("tile_tokens", 0, 9, "cached tokens per tile"),
            RegisterField("query_rows", 9, 7, "query rows: tokens per run"),
            RegisterField("program_depth", 16, 16, "instructions that the program memory holds"),
        ),
    ),
    Register(
        "control",
        0x020,
        Access.W1,
        "actions",
        fields=_flags(
            start="load the program and run it",
            abort="end the run, with an error code of its own",
            latch="sample all counters at once",
        ),
    ),
    Register(
        "status",
        0x024,
        Access.RO,
        "done and error stay until the next start",
        fields=(
            RegisterField("running", 0, 1, "from start to halt"),
            RegisterField("done", 1, 1, "the last run has reached HALT"),
            RegisterField("error", 2, 1, "the last run has stopped with an error"),
        ),
    ),
    Register(
        "interrupt_enable", 0x028, Access.RW, "events that raise the interrupt", fields=_EVENTS
    ),
    Register(
        "interrupt_status", 0x02C, Access.W1C, "events since they were last cleared", fields=_EVENTS
    ),
    Register("error_code", 0x030, Access.RO, "why the last run has stopped", fields=_number(8)),
    Register(
        "error_program_counter",
        0x034,
        Access.RO,
        "index of the instruction that was being dispatched",
        fields=_number(16),
    ),
    Register(
        "error_address", 0x038, Access.RO, "byte address of the burst that the memory refused"
    ),
    Register(
        "program_beats",
        0x040,
        Access.RW_IDLE,
        "size of the program in memory, in beats",
        fields=_number(16),
    ),
    Register(
        "position",
        0x044,
        Access.RW_IDLE,
        "tokens that are cached already; the new token becomes this row",
        fields=_number(POSITION_BITS),
    ),
    Register(
        "capacity",
        0x048,
        Access.RW_IDLE,
        "rows that the cache region holds",
        fields=_number(POSITION_BITS + 1),
    ),
    *(
        Register(
            f"base_{name}",
            _BASES + 4 * i,
            Access.RW_IDLE,
            f"byte address of {name}; its bits within a beat are ignored",
        )
        for i, name in enumerate(FIELDS["base"].choices)
    ),
    *(
        Register(name, _COUNTERS + 8 * i, Access.COUNTER, doc, words=2)
        for i, (name, doc) in enumerate(COUNTERS.items())
    ),
)


def core_constants(core: CoreConfig, configuration_hash: int) -> dict[str, int]:
    """Return what the constant registers of a core read as, by name.

    Parameters
    ----------
    core : CoreConfig
    configuration_hash : int
        64 bits, from the manifest.
    """
    fields = {
        "shape": {
            "rows": core.rows,
            "columns": core.columns,
            "lanes": core.accumulator_lanes,
            "port_bytes": core.port_bytes,
        },
        "limits": {
            "tile_tokens": core.tile_tokens,
            "query_rows": core.query_rows,
            "program_depth": core.program_depth,
        },
    }
    constants = {"hash": configuration_hash}
    for name, values in fields.items():
        places = {field.name: field.lsb for field in register(name).fields}
        constants[name] = sum(value << places[key] for key, value in values.items())
    return constants


def registers(query_rows: int = 1) -> tuple[Register, ...]:
    """Return the registers of a core: :data:`REGISTERS`, and those of query rows behind row 0.

    Parameters
    ----------
    query_rows : int
        Of the core, at most 64.
    """
    return (
        *REGISTERS,
        *(
            Register(
                position_register(row),
                POSITIONS + 4 * row,
                Access.RW_IDLE,
                f"position of query row {row}",
                fields=_number(POSITION_BITS),
            )
            for row in range(1, query_rows)
        ),
        *(
            Register(
                cache_register(row),
                CACHES + 4 * row,
                Access.RW_IDLE,
                f"byte address of the cache of query row {row}; its bits within a beat are ignored",
            )
            for row in range(1, query_rows)
        ),
    )


def position_register(row: int) -> str:
    """Return the name of the register with the position of a query row."""
    return f"position_{row}" if row else "position"


def cache_register(row: int) -> str:
    """Return the name of the register with the cache base of a query row."""
    return f"base_cache_{row}" if row else "base_cache"


def register(name: str) -> Register:
    """Return a register of any core by its name."""
    return next(item for item in registers(_MOST_QUERY_ROWS) if item.name == name)
