"""Run clocked Verilog on Icarus, one line of inputs per cycle."""

import subprocess

__all__ = ["outputs"]


def outputs(folder, sources, top, inputs, output, lines):
    """Return what an output shows after each clock edge.

    Parameters
    ----------
    folder : Path
        Where ``sources`` are, and bench and inputs are written.
    sources : list of str
    top : str
        Module under test; its clock is ``clk``.
    inputs : dict of str to Shape
        In the order of each line.
    output : tuple of str and Shape
    lines : iterable of sequence of int
        Values of the inputs, one line per cycle.
    """

    def declare(kind, name, shape):
        sign = "signed" if shape.signed else ""
        return f"    {kind} {sign} [{shape.width - 1}:0] {name};"

    name, shape = output
    registers = "\n".join(declare("reg", *item) for item in inputs.items())
    ports = "".join(f", .{port}({port})" for port in (*inputs, name))
    formats, arguments = " ".join(["%d"] * len(inputs)), ", ".join(inputs)
    read = f'got = $fscanf(file, "{formats}", {arguments});'
    (folder / "bench.v").write_text(
        f"""
module bench;
    reg clk = 0;
    integer file, got;
{registers}
{declare("wire", name, shape)}
    {top} dut (.clk(clk){ports});
    initial begin
        file = $fopen("inputs.txt", "r");
        {read}
        while (got == {len(inputs)}) begin
            #1 clk = 1;
            #1 clk = 0;
            $display("%0d", {name});
            {read}
        end
    end
endmodule
""",
        encoding="utf-8",
    )
    text = "".join(" ".join(str(int(value)) for value in line) + "\n" for line in lines)
    (folder / "inputs.txt").write_text(text, encoding="utf-8")
    build = ["iverilog", "-g2005", "-s", "bench", "-o", "bench.vvp", "bench.v", *sources]
    subprocess.run(build, cwd=folder, check=True)
    run = subprocess.run(
        ["vvp", "bench.vvp"], cwd=folder, check=True, capture_output=True, text=True
    )
    return run.stdout.split()
