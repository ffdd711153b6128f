// Behaviour of iCE40's SB_MAC16 for simulation only, as the unit `multiplier` uses it: 16 x 16
// product with registers at both inputs and behind the product. Any other parameter is an error when
// the design is built. What belongs to the adder behind the product has no effect on it.
module SB_MAC16 #(
    parameter [0:0] A_REG = 0,
    parameter [0:0] B_REG = 0,
    parameter [0:0] PIPELINE_16x16_MULT_REG2 = 0,
    parameter [1:0] TOPOUTPUT_SELECT = 0,
    parameter [1:0] BOTOUTPUT_SELECT = 0,
    parameter [0:0] A_SIGNED = 0,
    parameter [0:0] B_SIGNED = 0
) (
    input CLK, CE,
    input [15:0] A, B, C, D,
    input AHOLD, BHOLD, CHOLD, DHOLD,
    input IRSTTOP, IRSTBOT, ORSTTOP, ORSTBOT,
    input OLOADTOP, OLOADBOT, OHOLDTOP, OHOLDBOT,
    input ADDSUBTOP, ADDSUBBOT, CI, ACCUMCI, SIGNEXTIN,
    output [31:0] O
);
    generate
        if (!A_REG || !B_REG || !PIPELINE_16x16_MULT_REG2)
            this_model_has_all_registers unsupported ();
        if (TOPOUTPUT_SELECT != 3 || BOTOUTPUT_SELECT != 3)
            this_model_shows_the_product_only unsupported ();
    endgenerate

    // One more bit than the operand: sign or zero.
    reg signed [16:0] a, b;
    reg [31:0] p;
    wire signed [33:0] product = a * b;

    always @(posedge CLK or posedge IRSTTOP) begin
        if (IRSTTOP) a <= 0;
        else if (CE && !AHOLD) a <= {A_SIGNED & A[15], A};
    end
    always @(posedge CLK or posedge IRSTBOT) begin
        if (IRSTBOT) begin
            b <= 0;
            p <= 0;
        end else if (CE) begin
            if (!BHOLD) b <= {B_SIGNED & B[15], B};
            p <= product[31:0];
        end
    end

    assign O = p;
endmodule
