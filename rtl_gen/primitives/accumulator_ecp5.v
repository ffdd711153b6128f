// sum <= (first ? 0 : sum) + p in one carry chain of an ECP5. Left to itself, synthesis puts a row
// of look-up tables for `first` in front of the chain.
module accumulator_ecp5 #(
    parameter WIDTH = 40,
    parameter P_WIDTH = 24
) (
    input clk,
    input first,
    input signed [P_WIDTH-1:0] p,
    output reg signed [WIDTH-1:0] sum
);
`ifdef SYNTHESIS
    // Two bits per cell: A is the sum, B the product, C is first, D is 1. The upper half of INIT is
    // what the carry is added to, first ? B : A ^ B; INIT[3:0] is the carry where that is 0: B.
    localparam PAIRS = (WIDTH + 1) / 2;
    wire signed [2*PAIRS-1:0] a = sum;
    wire signed [2*PAIRS-1:0] b = p;
    wire [2*PAIRS-1:0] next;
    wire [PAIRS:0] carry;
    assign carry[0] = 1'b0;

    genvar i;
    generate
        for (i = 0; i < PAIRS; i = i + 1) begin : pair
            CCU2C #(
                .INIT0(16'hC6CC),
                .INIT1(16'hC6CC),
                .INJECT1_0("NO"),
                .INJECT1_1("NO")
            ) chain (
                .A0(a[2*i]), .B0(b[2*i]), .C0(first), .D0(1'b1), .S0(next[2*i]),
                .A1(a[2*i+1]), .B1(b[2*i+1]), .C1(first), .D1(1'b1), .S1(next[2*i+1]),
                .CIN(carry[i]), .COUT(carry[i+1])
            );
        end
    endgenerate

    always @(posedge clk) sum <= next[WIDTH-1:0];
`else
    always @(posedge clk) sum <= first ? p : sum + p;
`endif
endmodule
