"""Timing of :class:`rtl_gen.units.dispatcher.Dispatcher`.

An instruction whose first word is addressed in cycle ``t`` is offered to its engine's queue, or
executed by the dispatcher, in cycle ``t + issue_step(kind)``; the next one follows ``NEXT_FETCH``
cycles after the cycle in which the queue takes it.
"""

from functools import cache

from mla_hw.cycles.engine_queue import GIVE_LATENCY
from mla_hw.cycles.semaphores import OVERFLOW_TIMING
from mla_hw.program.instructions import FIELDS, INSTRUCTION_WORDS, LOOP_DEPTH, InstructionKind

__all__ = [
    "FAULT_LATENCY",
    "FIRST_ISSUE",
    "HALT_LATENCY",
    "LOAD_TO_FETCH",
    "NEXT_FETCH",
    "RESTART_CYCLES",
    "RESTART_SKEW",
    "START_TO_CLEAR",
    "START_TO_LOAD",
    "issue_step",
    "product_steps",
    "word_step",
]

#: From the start pulse to the cycle in which it takes effect, from which runs are counted.
START_TO_CLEAR = 1
#: From the start pulse to the offer of the command that loads the program.
START_TO_LOAD = 2
#: From the end of that command to the first word of instruction 0.
LOAD_TO_FETCH = 1
#: From the cycle in which an instruction leaves the dispatcher to the first word of the next.
NEXT_FETCH = 2
#: From an abort, an overflow or a refused access to the error.
FAULT_LATENCY = 1
#: Units that a reset may go through, one per cycle.
RESTART_SKEW = 32
#: Cycles from the end of the bus traffic after an error until all other units have been reset.
RESTART_CYCLES = 3 * RESTART_SKEW
#: From HALT's execution, or the end of the last instruction of any engine, to the halted pulse: a
#: give that overflows a semaphore stops the run, however late it is.
HALT_LATENCY = GIVE_LATENCY + OVERFLOW_TIMING.latency + FAULT_LATENCY + 1

#: Program memory, output register, instruction register: word 0, addressed in step 0, is readable
#: in step 3.
_FETCH_LATENCY = 3
_DECODE_LATENCY = 1
#: The instruction is checked before it is issued.
_CHECK_LATENCY = 1
#: Earliest issue of any instruction, and that of an opcode which does not exist.
FIRST_ISSUE = _FETCH_LATENCY + _DECODE_LATENCY + _CHECK_LATENCY
#: Choice of the factors in three steps, product register, sum.
_PRODUCT_LATENCY = 5
#: Base register plus sum.
_ADDRESS_LATENCY = 1


def word_step(field: str) -> int:
    """Step in which a field is complete in the instruction register."""
    last_bit = FIELDS[field].lsb + FIELDS[field].width - 1
    return last_bit // 32 + _FETCH_LATENCY


@cache
def product_steps() -> dict[str, int]:
    """Step in which each stride is multiplied: as soon as it is there, one per step."""
    steps: dict[str, int] = {}
    step = 0
    for operand in ("a", "b", "c"):
        for level in range(LOOP_DEPTH):
            name = f"{operand}_stride{level}"
            step = max(step + 1, word_step(name))
            steps[name] = step
    return steps


@cache
def issue_step(kind: InstructionKind) -> int:
    """Cycles from the first word of an instruction to its offer or execution."""
    steps = [FIRST_ISSUE, *(word_step(field) + _CHECK_LATENCY for field in kind.fields)]
    for field in kind.fields:
        if field in product_steps():
            in_memory = "base" in kind.fields and field.startswith("a_")
            sum_step = product_steps()[field] + _PRODUCT_LATENCY
            steps.append(sum_step + _ADDRESS_LATENCY * in_memory)
    return max(steps)


assert word_step("opcode") == _FETCH_LATENCY
# The position of a query row has a register behind its field, as has the base address.
assert word_step("query_row") + 1 <= product_steps()["a_stride2"] + 1
assert max(word_step("query_row"), word_step("base")) + 2 <= product_steps()["a_stride2"]
assert max(map(word_step, FIELDS)) == INSTRUCTION_WORDS - 1 + _FETCH_LATENCY
