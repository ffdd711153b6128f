"""What simulate, synth and place leave in a folder, without running them."""

import json
from pathlib import Path

from mla_hw.cli.simulate import SimulationReport
from mla_hw.cli.versions import tool_versions
from mla_hw.cycles.predict import predict
from mla_hw.design import Design
from mla_hw.registers import COUNTERS

__all__ = ["simulation_of", "write_json", "write_packed", "write_placed", "write_simulation"]


def simulation_of(design: Design, tokens: int = 3, **changes: object) -> dict[str, object]:
    """Return the report of a simulation that went as predicted, with some fields changed."""
    texts = [item.text(design.program.semaphores) for item in design.program.instructions]
    lines = [
        predict(design.program, design.core, design.memory, design.memory.positions(token))
        for token in range(tokens)
    ]
    totals = [line.total for line in lines]
    report = SimulationReport(
        bit_exact=True,
        difference=None,
        tokens=tokens,
        relative_error=(0.01, 0.03),
        cosine=(0.9999, 0.9995),
        relative_error_total=0.021,
        cycles={"simulated": totals, "predicted": totals},
        phases=[],
        instructions=[
            {
                "token": token,
                "index": item.index,
                "iteration": list(item.iteration),
                "text": texts[item.index],
                "engine": item.engine,
                "cause": item.cause,
                "stalls": {
                    "weights": item.stalls.weights,
                    "latents": item.stalls.latents,
                    "drain": item.stalls.drain,
                },
                "start": {"simulated": item.start, "predicted": item.start},
                "end": {"simulated": item.end, "predicted": item.end},
            }
            for token, line in enumerate(lines)
            for item in line.instructions
        ],
        saturated={},
        counters=[{name: total + place for place, name in enumerate(COUNTERS)} for total in totals],
        sim_cycles_per_second=1e5,
        memory="fixed:32",
        simulator="verilator",
        scheme=design.scheme,
        waves=None,
        hash=design.manifest["hash"],
        weights_hash=design.manifest["weights_hash"],
        tools=tool_versions("numpy"),
        files=(),
    )
    return json.loads(json.dumps(report.to_dict())) | changes


def write_json(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")


def write_simulation(folder: Path, simulator: str = "verilator", **changes: object) -> None:
    data = simulation_of(Design.load(folder), **changes)
    write_json(folder / "results" / f"simulate-{simulator}.json", data)


def write_packed(folder: Path, lut: int = 12345, ff: int = 6789, dsp: int = 14, bram: int = 9):
    """Leave what ``mla-hw synth`` does of nextpnr's packing."""
    cells = {"TRELLIS_COMB": lut, "TRELLIS_FF": ff, "MULT18X18D": dsp, "DP16KD": bram}
    used = {name: {"available": 10**6, "used": count} for name, count in cells.items()}
    write_json(folder / "build" / "synth" / "pack.json", {"fmax": {}, "utilization": used})


def write_placed(folder: Path, **clocks: float) -> None:
    """Leave what placement does, by seed: ``seed1=90.5``."""
    for seed, clock in clocks.items():
        fmax = {"$glbnet$clk": {"achieved": clock, "constraint": 80.0}}
        write_json(folder / "build" / "synth" / f"{seed}.json", {"fmax": fmax})
