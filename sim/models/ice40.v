// Behaviour of the iCE40 primitives that a board's memory instantiates, for simulation only.

// Single-port RAM of 16384 words: a write enable per four bits; the word that is read stays at the
// output until the next access, and a write leaves anything there. Contents are lost in any mode but
// the normal one; using another is an error.
module SB_SPRAM256KA (
    input [13:0] ADDRESS,
    input [15:0] DATAIN,
    input [3:0] MASKWREN,
    input WREN,
    input CHIPSELECT,
    input CLOCK,
    input STANDBY,
    input SLEEP,
    input POWEROFF,  // active low
    output reg [15:0] DATAOUT
);
    reg [15:0] words[0:16383];
    integer group;

    always @(posedge CLOCK) begin
        if (STANDBY || SLEEP || !POWEROFF) $display("error: SB_SPRAM256KA is not in its normal mode");
        if (CHIPSELECT && WREN) begin
            for (group = 0; group < 4; group = group + 1)
                if (MASKWREN[group]) words[ADDRESS][4*group+:4] <= DATAIN[4*group+:4];
            DATAOUT <= 16'bx;
        end else if (CHIPSELECT) DATAOUT <= words[ADDRESS];
    end
endmodule
