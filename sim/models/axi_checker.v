// Rules of AXI4 that a manager can break. The first violation is written to the log and stays.
`define RULE(condition, text) \
    if (!(condition) && !violated) begin \
        violated <= 1; \
        $fdisplay(log, "violation %0d %s", cycle, text); \
    end

module axi_checker #(
    parameter ADDRESS_BITS = 32,
    parameter DATA_BITS = 64,
    parameter BURSTS = 256  // that may be under way in each direction
) (
    input clk,
    input rst,
    input [31:0] log,    // file for the violation: "violation CYCLE TEXT"
    input [63:0] cycle,
    input halt,          // nothing may be under way any more
    output reg violated,

    input ar_valid,
    input ar_ready,
    input [ADDRESS_BITS-1:0] ar_addr,
    input [7:0] ar_len,
    input [2:0] ar_size,
    input [1:0] ar_burst,
    input r_valid,
    input r_ready,
    input r_last,

    input aw_valid,
    input aw_ready,
    input [ADDRESS_BITS-1:0] aw_addr,
    input [7:0] aw_len,
    input [2:0] aw_size,
    input [1:0] aw_burst,
    input w_valid,
    input w_ready,
    input [DATA_BITS-1:0] w_data,
    input [DATA_BITS/8-1:0] w_strb,
    input w_last,
    input b_valid,
    input b_ready
);
    localparam BYTES = DATA_BITS / 8;
    localparam SHIFT = $clog2(BYTES);
    localparam INDEX = $clog2(BURSTS);
    localparam [1:0] INCREMENTING = 2'b01;
    localparam PAGE = 4096;

    wire [ADDRESS_BITS+12:0] ar = {ar_addr, ar_len, ar_size, ar_burst};
    wire [ADDRESS_BITS+12:0] aw = {aw_addr, aw_len, aw_size, aw_burst};
    wire [DATA_BITS+BYTES:0] w = {w_data, w_strb, w_last};
    reg [ADDRESS_BITS+12:0] ar_before, aw_before;
    reg [DATA_BITS+BYTES:0] w_before;
    reg ar_waits, aw_waits, w_waits;

    // Lengths of write bursts by address and by last beat; either may come first.
    reg [7:0] aw_lens[0:BURSTS-1];
    reg [8:0] w_lens[0:BURSTS-1];
    reg [INDEX-1:0] aw_in, w_in, joined;
    reg [8:0] w_beats;
    reg [31:0] reads, writes;  // under way

    function crosses_page(input [ADDRESS_BITS-1:0] address, input [7:0] len);
        crosses_page = address % PAGE + ((len + 1) << SHIFT) > PAGE;
    endfunction

    always @(posedge clk) begin
        ar_waits <= !rst && ar_valid && !ar_ready;
        aw_waits <= !rst && aw_valid && !aw_ready;
        w_waits <= !rst && w_valid && !w_ready;
        ar_before <= ar;
        aw_before <= aw;
        w_before <= w;
        if (rst) begin
            violated <= 0;
            aw_in = 0;
            w_in = 0;
            joined = 0;
            w_beats = 0;
            reads = 0;
            writes = 0;
        end else begin
            `RULE((ar_valid ^ aw_valid ^ w_valid ^ r_ready ^ b_ready) !== 1'bx, "a handshake signal is unknown")
            `RULE(!ar_waits || ar_valid, "ARVALID fell before ARREADY")
            `RULE(!ar_waits || ar == ar_before, "AR changed before ARREADY")
            `RULE(!aw_waits || aw_valid, "AWVALID fell before AWREADY")
            `RULE(!aw_waits || aw == aw_before, "AW changed before AWREADY")
            `RULE(!w_waits || w_valid, "WVALID fell before WREADY")
            `RULE(!w_waits || w == w_before, "W changed before WREADY")
            if (ar_valid) begin
                `RULE(ar_burst == INCREMENTING && ar_size == SHIFT, "a read burst is not of whole, incrementing beats")
                `RULE(ar_addr % BYTES == 0, "a read burst is not aligned to beats")
                `RULE(!crosses_page(ar_addr, ar_len), "a read burst crosses a multiple of 4 KB")
            end
            if (aw_valid) begin
                `RULE(aw_burst == INCREMENTING && aw_size == SHIFT, "a write burst is not of whole, incrementing beats")
                `RULE(aw_addr % BYTES == 0, "a write burst is not aligned to beats")
                `RULE(!crosses_page(aw_addr, aw_len), "a write burst crosses a multiple of 4 KB")
            end

            if (ar_valid && ar_ready) reads = reads + 1;
            if (r_valid && r_ready && r_last) reads = reads - 1;
            if (b_valid && b_ready) writes = writes - 1;
            if (aw_valid && aw_ready) begin
                aw_lens[aw_in] = aw_len;
                aw_in = aw_in + 1'b1;
                writes = writes + 1;
            end
            if (w_valid && w_ready) begin
                w_beats = w_beats + 1'b1;
                `RULE(w_last || w_beats < 256, "a write burst has more than 256 beats")
                if (w_last) begin
                    w_lens[w_in] = w_beats;
                    w_in = w_in + 1'b1;
                    w_beats = 0;
                end
            end
            if (joined != aw_in && joined != w_in) begin
                `RULE(w_lens[joined] == aw_lens[joined] + 1, "WLAST is not at the beat that AWLEN tells")
                joined = joined + 1'b1;
            end else if (joined != aw_in) begin
                `RULE(w_beats <= aw_lens[joined], "WLAST is missing at the beat that AWLEN tells")
            end
            if (halt) begin
                `RULE(reads == 0, "halted before the last beat of a read burst had come")
                `RULE(writes == 0 && joined == aw_in && joined == w_in && w_beats == 0, "halted before the last write was acknowledged")
            end
        end
    end
endmodule

`undef RULE
