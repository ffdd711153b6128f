// AXI4 subordinate: the memory of a simulated core. Bursts are answered in order.
//
// Timing with +memory_latency=L (fixed):
//   AR, AW and W are taken in the cycle in which they are offered.
//   The first beat of a read burst that is taken in cycle t comes in cycle t + L, or in the cycle
//   after the last beat of the burst before it, whichever is later; then one beat per cycle.
//   The response to a write burst whose last beat is taken in cycle t comes in cycle t + L, or in
//   the cycle after the response before it. (The address counts as the last beat if it is later.)
//   A beat or a response that is not taken stays, and all later ones move with it.
// With +memory_seed=S (other than 0) everything has gaps: three of four cycles are ready for AR, AW
// and W, three of four offer a beat or a response, and latencies are 1 to 64 cycles. One draw per
// cycle, whatever happens: the sequence depends on nothing but S.
// With +dram_core=… and the other +dram_… (SDR SDRAM) beats and responses are due as
// mla_hw/cycles/sdram.py says, in ticks: a core cycle has dram_core of them. Bursts are served in the
// order in which they are complete (a read with its address, a write with its last beat); a row stays
// open until another one of its bank is needed or until the refresh, for which all banks are closed.
//
// Beats from refuse_first to refuse_last (byte addresses) are answered with SLVERR while `refuse` is
// high, those beyond the memory with DECERR; neither is written.
module axi_memory #(
    parameter ADDRESS_BITS = 32,
    parameter DATA_BITS = 64,
    parameter WORDS = 1024,  // size, in words of DATA_BITS
    parameter BURSTS = 256   // that may be under way in each direction
) (
    input clk,
    input rst,
    input [31:0] log,  // file for write beats: "write ADDRESS DATA STROBES"
    input refuse,      // addresses from first to last are answered with SLVERR
    input [ADDRESS_BITS-1:0] refuse_first,
    input [ADDRESS_BITS-1:0] refuse_last,

    input ar_valid,
    output reg ar_ready,
    input [ADDRESS_BITS-1:0] ar_addr,
    input [7:0] ar_len,
    output reg r_valid,
    input r_ready,
    output reg [DATA_BITS-1:0] r_data,
    output reg [1:0] r_resp,
    output reg r_last,

    input aw_valid,
    output reg aw_ready,
    input [ADDRESS_BITS-1:0] aw_addr,
    input [7:0] aw_len,
    input w_valid,
    output reg w_ready,
    input [DATA_BITS-1:0] w_data,
    input [DATA_BITS/8-1:0] w_strb,
    input w_last,
    output reg b_valid,
    input b_ready,
    output reg [1:0] b_resp
);
    localparam BYTES = DATA_BITS / 8;
    localparam SHIFT = $clog2(BYTES);
    localparam INDEX = $clog2(BURSTS);
    localparam [1:0] OKAY = 2'b00, SLVERR = 2'b10, DECERR = 2'b11;

    reg [DATA_BITS-1:0] data[0:WORDS-1];

    integer latency;
    reg [31:0] seed;
    integer dram_core, dram_beat, dram_command, dram_bank, dram_rp, dram_open, dram_cl;
    integer dram_pause, dram_turn, dram_refi, dram_page, dram_banks;
    initial begin
        if (!$value$plusargs("memory_latency=%d", latency)) latency = 32;
        if (!$value$plusargs("memory_seed=%d", seed)) seed = 0;
        if (!$value$plusargs("dram_core=%d", dram_core)) dram_core = 0;
        if (!$value$plusargs("dram_beat=%d", dram_beat)) dram_beat = 0;
        if (!$value$plusargs("dram_command=%d", dram_command)) dram_command = 0;
        if (!$value$plusargs("dram_bank=%d", dram_bank)) dram_bank = 0;
        if (!$value$plusargs("dram_rp=%d", dram_rp)) dram_rp = 0;
        if (!$value$plusargs("dram_open=%d", dram_open)) dram_open = 0;
        if (!$value$plusargs("dram_cl=%d", dram_cl)) dram_cl = 0;
        if (!$value$plusargs("dram_pause=%d", dram_pause)) dram_pause = 0;
        if (!$value$plusargs("dram_turn=%d", dram_turn)) dram_turn = 0;
        if (!$value$plusargs("dram_refi=%d", dram_refi)) dram_refi = 0;
        if (!$value$plusargs("dram_page=%d", dram_page)) dram_page = 1;
        if (!$value$plusargs("dram_banks=%d", dram_banks)) dram_banks = 1;
        for (i = 0; i < WORDS; i = i + 1) data[i] = 0;
        $readmemh("image.hex", data);
    end

    // Bursts under way: rings with one writing and one reading index.
    reg [ADDRESS_BITS-1:0] ar_addrs[0:BURSTS-1];
    reg [7:0] ar_lens[0:BURSTS-1];
    reg [63:0] ar_due[0:BURSTS-1];
    reg [63:0] ar_pins[0:BURSTS-1];  // tick in which the SDRAM begins to move data
    reg [INDEX-1:0] ar_in, ar_out;

    reg [ADDRESS_BITS-1:0] aw_addrs[0:BURSTS-1];
    reg [7:0] aw_lens[0:BURSTS-1];
    reg [INDEX-1:0] aw_in, aw_out;

    reg [DATA_BITS-1:0] w_datas[0:BURSTS-1];
    reg [BYTES-1:0] w_strbs[0:BURSTS-1];
    reg [INDEX-1:0] w_in, w_out;

    reg [1:0] b_resps[0:BURSTS-1];
    reg [63:0] b_due[0:BURSTS-1];
    reg [INDEX-1:0] b_in, b_out;

    reg [63:0] now;
    reg [31:0] draw;
    reg [7:0] r_beat, w_beat;
    reg r_busy, b_busy;
    reg [1:0] w_resp, resp;
    reg [ADDRESS_BITS-1:0] address;
    integer i;

    wire random = seed != 0;
    wire dram = dram_core != 0;

    // SDRAM: what is earliest, the open row of each bank, and the bank of the last burst.
    localparam BANKS = 16;
    reg [63:0] dram_next, dram_free, dram_refresh, command, pins;
    reg [63:0] row, rows[0:BANKS-1];
    reg [BANKS-1:0] open;
    integer bank;

    // Serves a burst that is complete in this cycle: `pins` is the tick in which its data begin.
    task serve(input [ADDRESS_BITS-1:0] where, input [8:0] beats, input write);
        begin
            row = where / dram_page / dram_banks;
            if (where / dram_page % dram_banks != bank) begin
                bank = where / dram_page % dram_banks;
                dram_next = dram_next + dram_bank;
            end
            command = now * dram_core + dram_command;
            if (dram_next > command) command = dram_next;
            if (command >= dram_refresh) begin
                // Those before have found the memory idle.
                dram_refresh = dram_refresh + (command - dram_refresh) / dram_refi * dram_refi;
                pins = (dram_refresh > dram_next ? dram_refresh : dram_next) + dram_pause;
                if (pins > command) command = pins;
                dram_refresh = dram_refresh + dram_refi;
                open = 0;
            end
            if (!open[bank] || rows[bank] != row) begin
                command = command + dram_open + (open[bank] ? dram_rp : 0);
                open[bank] = 1;
                rows[bank] = row;
            end
            pins = command + (write ? 0 : dram_cl);
            if (dram_free > pins) pins = dram_free;
            dram_free = pins + beats * dram_beat;
            dram_next = write ? dram_free + dram_turn : dram_free - dram_cl;
        end
    endtask

    function [63:0] due(input [63:0] tick);
        due = (tick + dram_core - 1) / dram_core;
    endfunction

    function [1:0] answer(input [ADDRESS_BITS-1:0] where);
        if ({1'b0, where} >> SHIFT >= WORDS) answer = DECERR;
        else if (refuse && where >= refuse_first && where <= refuse_last) answer = SLVERR;
        else answer = OKAY;
    endfunction

    // Everything but the outputs is assigned at once, because a later step of the same cycle needs it.
    always @(posedge clk) begin
        if (rst) begin
            now = 0;
            draw = random ? seed : 1;
            dram_next = 0;
            dram_free = 0;
            dram_refresh = dram_refi;
            open = 0;
            bank = 0;
            ar_in = 0;
            ar_out = 0;
            aw_in = 0;
            aw_out = 0;
            w_in = 0;
            w_out = 0;
            b_in = 0;
            b_out = 0;
            r_beat = 0;
            w_beat = 0;
            r_busy = 0;
            b_busy = 0;
            w_resp = OKAY;
            ar_ready <= 0;
            aw_ready <= 0;
            w_ready <= 0;
            r_valid <= 0;
            b_valid <= 0;
        end else begin
            // What was transferred in this cycle.
            if (ar_valid && ar_ready) begin
                ar_addrs[ar_in] = ar_addr;
                ar_lens[ar_in] = ar_len;
                ar_due[ar_in] = now + (random ? 1 + {58'd0, draw[5:0]} : latency);
                if (dram) begin
                    serve(ar_addr, ar_len + 1, 0);
                    ar_pins[ar_in] = pins;
                end
                ar_in = ar_in + 1'b1;
            end
            if (aw_valid && aw_ready) begin
                aw_addrs[aw_in] = aw_addr;
                aw_lens[aw_in] = aw_len;
                aw_in = aw_in + 1'b1;
            end
            if (w_valid && w_ready) begin
                w_datas[w_in] = w_data;
                w_strbs[w_in] = w_strb;
                w_in = w_in + 1'b1;
            end
            if (r_ready) r_busy = 0;
            if (b_ready) b_busy = 0;

            // A beat whose address is known is written: one per cycle.
            if (aw_in != aw_out && w_in != w_out) begin
                address = aw_addrs[aw_out] + (w_beat << SHIFT);
                resp = answer(address);
                if (resp == OKAY) begin
                    for (i = 0; i < BYTES; i = i + 1)
                        if (w_strbs[w_out][i]) data[address>>SHIFT][8*i+:8] = w_datas[w_out][8*i+:8];
                    $fdisplay(log, "write %h %h %h", address, w_datas[w_out], w_strbs[w_out]);
                end
                if (resp > w_resp) w_resp = resp;
                w_out = w_out + 1'b1;
                if (w_beat == aw_lens[aw_out]) begin
                    b_resps[b_in] = w_resp;
                    b_due[b_in] = now + (random ? 1 + {58'd0, draw[11:6]} : latency);
                    if (dram) begin
                        serve(aw_addrs[aw_out], aw_lens[aw_out] + 1, 1);
                        b_due[b_in] = due(dram_free) + 1;
                    end
                    b_in = b_in + 1'b1;
                    aw_out = aw_out + 1'b1;
                    w_beat = 0;
                    w_resp = OKAY;
                end else w_beat = w_beat + 1'b1;
            end

            // What is offered in the next cycle.
            if (!r_busy && ar_in != ar_out
                    && (dram ? due(ar_pins[ar_out] + (r_beat + 1) * dram_beat) <= now + 1
                             : r_beat != 0 || ar_due[ar_out] <= now + 1)
                    && (!random || draw[13:12] != 0)) begin
                address = ar_addrs[ar_out] + (r_beat << SHIFT);
                resp = answer(address);
                r_busy = 1;
                r_resp <= resp;
                r_data <= resp == DECERR ? {DATA_BITS{1'b0}} : data[address>>SHIFT];
                r_last <= r_beat == ar_lens[ar_out];
                if (r_beat == ar_lens[ar_out]) begin
                    r_beat = 0;
                    ar_out = ar_out + 1'b1;
                end else r_beat = r_beat + 1'b1;
            end
            r_valid <= r_busy;
            if (!b_busy && b_in != b_out && b_due[b_out] <= now + 1
                    && (!random || draw[15:14] != 0)) begin
                b_busy = 1;
                b_resp <= b_resps[b_out];
                b_out = b_out + 1'b1;
            end
            b_valid <= b_busy;
            // No ring ever becomes full: that would look like an empty one.
            ar_ready <= ar_in + 1'b1 != ar_out && (!random || draw[17:16] != 0);
            aw_ready <= aw_in + 1'b1 != aw_out && b_in + 1'b1 != b_out && (!random || draw[19:18] != 0);
            w_ready <= w_in + 1'b1 != w_out && (!random || draw[21:20] != 0);

            draw = draw ^ draw << 13;
            draw = draw ^ draw >> 17;
            draw = draw ^ draw << 5;
            now = now + 1;
        end
    end
endmodule
