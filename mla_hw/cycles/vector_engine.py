"""Timing of :class:`rtl_gen.units.vector_engine.VectorEngine`."""

from mla_hw.cycles.norm import norm_cycles
from mla_hw.cycles.normalize import normalize_cycles
from mla_hw.cycles.pack import pack_cycles
from mla_hw.cycles.rope import rope_cycles
from mla_hw.cycles.softmax import softmax_cycles
from mla_hw.errors import ProgramError

__all__ = ["NEXT_COMMAND", "vector_cycles"]

#: From ``done`` to the first cycle in which the next command can be accepted.
NEXT_COMMAND = 1
#: Register at the output to the activation buffer.
_OUTPUT_LATENCY = 1


def vector_cycles(name: str, *, k: int = 0, n: int = 0, rows: int = 0) -> int:
    """Count cycles from the accepted command to ``done``.

    Parameters
    ----------
    name : str
        Mnemonic of an instruction of the vector engine.
    k, n, rows : int
        Fields of the resolved instruction; those that it does not have do not matter.

    Raises
    ------
    ProgramError
        If the vector engine has no such instruction.
    """
    match name:
        case "NORM":
            cycles = norm_cycles(k)
        case "ROPE":
            cycles = rope_cycles(k, n)
        case "SOFTMAX":
            cycles = softmax_cycles(n, rows)
        case "NORMALIZE":
            cycles = normalize_cycles(k)
        case "PACK":
            cycles = pack_cycles(k, n)
        case _:
            raise ProgramError(f"The vector engine has no instruction {name!r}")
    return cycles + _OUTPUT_LATENCY
