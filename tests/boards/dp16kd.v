// DP16KD, the block RAM of ECP5, as far as the tests need it: both ports of the same width of up to 18 bits,
// port A written, port B read, WRITEMODE NORMAL, no reset.
module block_ram #(
    parameter DATA_WIDTH_A = 18,
    parameter DATA_WIDTH_B = 18,
    parameter REGMODE_A = "NOREG",
    parameter REGMODE_B = "NOREG"
) (
@PORTS@
);
    localparam LOW = DATA_WIDTH_B == 18 ? 4 : DATA_WIDTH_B == 9 ? 3 : DATA_WIDTH_B == 4 ? 2
        : DATA_WIDTH_B == 2 ? 1 : 0;
    wire [13:0] address_a = {@ADA@};
    wire [13:0] address_b = {@ADB@};
    wire [17:0] data_a = {@DIA@};
    reg [17:0] words [0:16383];
    reg [17:0] latched, registered;
    wire [17:0] data_b = REGMODE_B == "OUTREG" ? registered : latched;
    assign {@DOB@} = data_b;
    integer i;
    initial begin
        if (DATA_WIDTH_A != DATA_WIDTH_B || DATA_WIDTH_B > 18) $fatal;
        for (i = 0; i < 16384; i = i + 1) words[i] = 0;
        latched = 0;
        registered = 0;
    end
    always @(posedge CLKA)
        if (CEA && WEA) begin
            // Of two bytes, each has an enable of its own.
            if (DATA_WIDTH_A != 18 || ADA0) words[address_a >> LOW][8:0] <= data_a[8:0];
            if (DATA_WIDTH_A != 18 || ADA1) words[address_a >> LOW][17:9] <= data_a[17:9];
        end
    always @(posedge CLKB) begin
        if (CEB) latched <= words[address_b >> LOW];
        if (OCEB) registered <= latched;
    end
endmodule
