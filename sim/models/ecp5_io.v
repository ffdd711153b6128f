// Behaviour of the ECP5 cells at the pins that a board's memory instantiates, for simulation only.

// Output register at a pin; PD presets it.
module OFS1P3BX (
    input D,
    input SP,
    input SCLK,
    input PD,
    output reg Q
);
    always @(posedge SCLK or posedge PD)
        if (PD) Q <= 1;
        else if (SP) Q <= D;
endmodule

// Input register at a pin; PD presets it.
module IFS1P3BX (
    input D,
    input SP,
    input SCLK,
    input PD,
    output reg Q
);
    always @(posedge SCLK or posedge PD)
        if (PD) Q <= 1;
        else if (SP) Q <= D;
endmodule

// Flip-flop in the fabric with an asynchronous preset.
module FD1S3BX (
    input D,
    input CK,
    input PD,
    output reg Q
);
    initial Q = 1;
    always @(posedge CK or posedge PD)
        if (PD) Q <= 1;
        else Q <= D;
endmodule

// Bidirectional pin: driven with I unless T is high, always seen at O.
module TRELLIS_IO #(
    parameter DIR = "BIDIR"
) (
    inout B,
    input I,
    input T,
    output O
);
    generate
        if (DIR != "BIDIR") this_model_is_bidirectional unsupported ();
    endgenerate
    assign B = T ? 1'bz : I;
    assign O = B;
endmodule

// Double-data-rate output: D0 while the clock is high, D1 while it is low.
module ODDRX1F #(
    parameter GSR = "ENABLED"
) (
    input D0,
    input D1,
    input SCLK,
    input RST,
    output Q
);
    reg high, low_next, low;
    always @(posedge SCLK) begin
        high <= D0 && !RST;
        low_next <= D1 && !RST;
    end
    always @(negedge SCLK) low <= low_next;
    assign Q = SCLK ? high : low;
endmodule
