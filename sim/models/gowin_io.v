// Behaviour of the Gowin cells that a board's memory instantiates, for simulation only.

// Flip-flop with an asynchronous preset.
module DFFP #(
    parameter INIT = 1'b1
) (
    input D,
    input CLK,
    input PRESET,
    output reg Q
);
    initial Q = INIT;
    always @(posedge CLK or posedge PRESET)
        if (PRESET) Q <= 1;
        else Q <= D;
endmodule

// Double-data-rate output: D0 while the clock is high, D1 while it is low. Q1 is the output enable.
module ODDR #(
    parameter TXCLK_POL = 1'b0,
    parameter INIT = 1'b0
) (
    input D0,
    input D1,
    input TX,
    input CLK,
    output Q0,
    output Q1
);
    reg high, low_next, low, enable;
    always @(posedge CLK) begin
        high <= D0;
        low_next <= D1;
        enable <= TX;
    end
    always @(negedge CLK) low <= low_next;
    assign Q0 = CLK ? high : low;
    assign Q1 = enable;
endmodule
