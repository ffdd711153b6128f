// DP16KD, the block RAM of ECP5, as far as the tests need it: both ports of the same width, port A
// written, port B read, one clock, WRITEMODE NORMAL, no reset.
module block_ram #(
    parameter DATA_WIDTH_A = 18,
    parameter DATA_WIDTH_B = 18,
    parameter REGMODE_A = "NOREG",
    parameter REGMODE_B = "NOREG"
) (
@PORTS@
);
    localparam WHOLE = DATA_WIDTH_B == 36;
    localparam LOW = WHOLE ? 5 : DATA_WIDTH_B == 18 ? 4 : DATA_WIDTH_B == 9 ? 3
        : DATA_WIDTH_B == 4 ? 2 : DATA_WIDTH_B == 2 ? 1 : 0;
    wire [13:0] address_a = {@ADA@};
    wire [13:0] address_b = {@ADB@};
    wire [35:0] data_a = {@DIB@, @DIA@};
    reg [35:0] words [0:16383];
    reg [35:0] latched;
    reg [17:0] registered_a, registered_b;
    // A whole block: the upper half of what port B reads leaves at port A.
    wire [17:0] data_b = REGMODE_B == "OUTREG" ? registered_b : latched[17:0];
    wire [17:0] upper = REGMODE_A == "OUTREG" ? registered_a : latched[35:18];
    assign {@DOB@} = WHOLE ? upper : data_b;
    assign {@DOA@} = WHOLE ? data_b : 18'bx;
    integer i;
    initial begin
        if (DATA_WIDTH_A != DATA_WIDTH_B) $fatal;
        for (i = 0; i < 16384; i = i + 1) words[i] = 0;
        latched = 0;
        registered_a = 0;
        registered_b = 0;
    end
    always @(posedge CLKA)
        if (CEA && WEA) begin
            // Of several bytes, each has an enable of its own.
            if (DATA_WIDTH_A < 18 || ADA0) words[address_a >> LOW][8:0] <= data_a[8:0];
            if (DATA_WIDTH_A < 18 || ADA1) words[address_a >> LOW][17:9] <= data_a[17:9];
            if (WHOLE && ADA2) words[address_a >> LOW][26:18] <= data_a[26:18];
            if (WHOLE && ADA3) words[address_a >> LOW][35:27] <= data_a[35:27];
        end
    always @(posedge CLKB) begin
        if (CEB) latched <= words[address_b >> LOW];
        if (OCEA) registered_a <= latched[35:18];
        if (OCEB) registered_b <= latched[17:0];
    end
endmodule
