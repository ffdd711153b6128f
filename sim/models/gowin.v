// Behaviour of Gowin's MULT18X18 for simulation only, with the registers at both inputs and the
// output, as the unit `multiplier` uses it; any other parameter or port is an error when the design
// is built. After Gowin's UG287, "Arora Digital Signal Processing".
module MULT18X18 #(
    parameter AREG = 1'b0,
    parameter BREG = 1'b0,
    parameter OUT_REG = 1'b0
) (
    input [17:0] A, SIA,
    input [17:0] B, SIB,
    input ASIGN, BSIGN, ASEL, BSEL,
    input CE, CLK, RESET,
    output [35:0] DOUT
);
    generate
        if (!AREG || !BREG || !OUT_REG)
            this_model_has_all_registers unsupported ();
    endgenerate

    // One more bit than the operand: sign or zero.
    reg signed [18:0] a, b;
    reg [35:0] p;
    wire signed [37:0] product = a * b;
    wire [17:0] a_in = ASEL ? SIA : A;
    wire [17:0] b_in = BSEL ? SIB : B;

    always @(posedge CLK) begin
        if (RESET) begin
            a <= 0;
            b <= 0;
            p <= 0;
        end else if (CE) begin
            a <= {ASIGN & a_in[17], a_in};
            b <= {BSIGN & b_in[17], b_in};
            p <= product[35:0];
        end
    end

    assign DOUT = p;
endmodule
