// Behaviour of Nexus' MULT18X18 for simulation only, with the registers at both inputs and the
// output, as the unit `multiplier` uses it; any other parameter or port is an error when the design
// is built.
module MULT18X18 #(
    parameter REGINPUTA = "BYPASS",
    parameter REGINPUTB = "BYPASS",
    parameter REGOUTPUT = "BYPASS"
) (
    input [17:0] A, B,
    input CLK, CEA, CEB, CEOUT, RSTA, RSTB, RSTOUT,
    input SIGNEDA, SIGNEDB,
    output [35:0] Z
);
    generate
        if (REGINPUTA != "REGISTER" || REGINPUTB != "REGISTER" || REGOUTPUT != "REGISTER")
            this_model_has_all_registers unsupported ();
    endgenerate

    // One more bit than the operand: sign or zero.
    reg signed [18:0] a, b;
    reg [35:0] p;
    wire signed [37:0] product = a * b;

    always @(posedge CLK) begin
        if (RSTA) a <= 0;
        else if (CEA) a <= {SIGNEDA & A[17], A};
        if (RSTB) b <= 0;
        else if (CEB) b <= {SIGNEDB & B[17], B};
        if (RSTOUT) p <= 0;
        else if (CEOUT) p <= product[35:0];
    end

    assign Z = p;
endmodule
