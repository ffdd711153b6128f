// SDR SDRAM chip with checks of what a controller must keep to, by the data sheet of the 256 Mb
// MT48LC16M16A2 in speed grade -75; other chips by other parameters.
//
// Commands are those of the data sheet: ACTIVE, READ and WRITE with or without auto-precharge, BURST
// TERMINATE, PRECHARGE of one or all banks, AUTO REFRESH, LOAD MODE REGISTER. Bursts of 1, 2, 4 or 8
// in sequence; no full page, no interleaving, no self refresh, no power-down.
//
// Times are in picoseconds; the clock's period is PERIOD, whatever the simulator's time is. A broken
// rule is printed, once each, and counted in `errors`.
//
// A word has the address {row, bank, column}. An entry of `data` has PACK words, the lowest address
// in its lowest bits, so that files of a wider bus can be read into it. +sdram_image=FILE is read at
// the start ($readmemh); what has never been written is unknown.
module sdram #(
    parameter PERIOD = 12500,
    parameter WIDTH = 16,
    parameter BANK_BITS = 2,
    parameter ROW_BITS = 13,
    parameter COLUMN_BITS = 9,
    parameter WORDS = 1 << (BANK_BITS + ROW_BITS + COLUMN_BITS),  // that there is room for
    parameter PACK = 1,  // divides WORDS
    parameter T_POWER_UP = 100_000_000,
    parameter T_RCD = 20_000,
    parameter T_RP = 20_000,
    parameter T_RAS = 44_000,
    parameter T_RC = 66_000,
    parameter T_RFC = 66_000,
    parameter T_RRD = 15_000,
    parameter T_WR = 15_000,
    parameter T_REFI = 7_812_500,
    parameter POSTPONED = 8,  // refreshes that may be late
    parameter MRD = 2         // clock cycles after LOAD MODE REGISTER
) (
    input clk,
    input cke,
    input cs_n,
    input ras_n,
    input cas_n,
    input we_n,
    input [BANK_BITS-1:0] ba,
    input [ROW_BITS-1:0] a,
    input [WIDTH/8-1:0] dqm,
    inout [WIDTH-1:0] dq,
    output reg [31:0] errors
);
    localparam BANKS = 1 << BANK_BITS;
    localparam BYTES = WIDTH / 8;
    localparam ALL = 10;  // address bit: all banks, or auto-precharge
    localparam [2:0] MODE = 3'b000, REFRESH = 3'b001, PRECHARGE = 3'b010, ACTIVE = 3'b011,
        WRITE = 3'b100, READ = 3'b101, TERMINATE = 3'b110;
    localparam RULES = 24;

    reg [PACK*WIDTH-1:0] data[0:WORDS/PACK-1];
    reg [8*256-1:0] image;

    reg [63:0] now;  // in clock cycles
    reg cke_before;
    reg [RULES-1:0] broken;

    // Banks: cycle of the last command that a time counts from, and what closes them by itself.
    reg [BANKS-1:0] open, closing;
    reg [ROW_BITS-1:0] rows[0:BANKS-1];
    reg [63:0] activated[0:BANKS-1], written[0:BANKS-1], closed[0:BANKS-1], auto_due[0:BANKS-1];
    reg [63:0] last_activate, refreshed, mode_set;
    reg [63:0] refresh_debt;  // picoseconds since a refresh was due

    // Initialisation.
    reg precharged, ready;
    reg [1:0] refreshes;

    // Mode.
    reg [2:0] cas;
    reg [3:0] beats;
    reg single_write;

    // The burst under way, and data on their way to the pins.
    reg [3:0] left;
    reg writes;
    reg [BANK_BITS-1:0] bank;
    reg [COLUMN_BITS-1:0] column, wrap;
    reg [3:0] out_valid;
    reg [WIDTH-1:0] out_data[0:3];
    reg drives;
    reg [WIDTH-1:0] driven;
    reg [BYTES-1:0] masked, masked_before;

    integer i, word;

    genvar lane;
    generate
        for (lane = 0; lane < BYTES; lane = lane + 1) begin : pins
            // A mask takes two cycles to a byte that is read.
            assign dq[8*lane+:8] = drives && !masked_before[lane] ? driven[8*lane+:8] : 8'bz;
        end
    endgenerate

    task rule(input integer number, input condition, input [8*48-1:0] text);
        if (condition !== 1'b1) begin
            errors = errors + 1;
            if (!broken[number]) $display("sdram error: cycle %0d: %0s", now, text);
            broken[number] = 1;
        end
    endtask

    function since(input [63:0] cycle, input integer time_ps);
        since = (now - cycle) * PERIOD >= time_ps;
    endfunction

    task close(input integer which);
        if (open[which]) begin
            rule(0, since(activated[which], T_RAS), "tRAS: precharge too soon after activate");
            rule(1, since(written[which], T_WR), "tWR: precharge too soon after write");
            open[which] = 0;
            closing[which] = 0;
            closed[which] = now;
        end
    endtask

    task all_precharged;
        begin
            rule(2, open == 0, "a bank is open");
            for (i = 0; i < BANKS; i = i + 1)
                rule(3, since(closed[i], T_RP), "tRP: command too soon after precharge");
            rule(4, since(refreshed, T_RFC), "tRFC: command too soon after refresh");
        end
    endtask

    task start(input write);
        begin
            rule(5, ready, "not initialised");
            rule(6, open[ba] && !closing[ba], "access to a closed row");
            rule(7, since(activated[ba], T_RCD), "tRCD: access too soon after activate");
            bank = ba;
            column = a[COLUMN_BITS-1:0];
            left = write && single_write ? 1 : beats;
            wrap = beats - 1;
            writes = write;
            if (a[ALL]) begin
                closing[ba] = 1;
                auto_due[ba] = now + left;
            end
        end
    endtask

    initial begin
        errors = 0;
        broken = 0;
        now = 0;
        cke_before = 0;
        open = 0;
        closing = 0;
        last_activate = 0;
        refreshed = 0;
        mode_set = 0;
        refresh_debt = 0;
        precharged = 0;
        ready = 0;
        refreshes = 0;
        cas = 2;
        beats = 1;
        single_write = 0;
        left = 0;
        writes = 0;
        bank = 0;
        column = 0;
        wrap = 0;
        out_valid = 0;
        drives = 0;
        masked = 0;
        masked_before = 0;
        for (i = 0; i < BANKS; i = i + 1) begin
            activated[i] = 0;
            written[i] = 0;
            closed[i] = 0;
            auto_due[i] = 0;
        end
        if ($value$plusargs("sdram_image=%s", image)) $readmemh(image, data);
    end

    always @(posedge clk) begin
        now = now + 1;
        masked_before <= masked;
        masked <= dqm;
        out_valid = out_valid >> 1;
        for (i = 0; i < 3; i = i + 1) out_data[i] = out_data[i+1];

        // An auto-precharge begins with the last data and waits for tRAS, and for tWR after a write.
        for (i = 0; i < BANKS; i = i + 1)
            if (closing[i] && now >= auto_due[i] && since(activated[i], T_RAS) && since(written[i], T_WR))
                close(i);

        if (ready) begin
            refresh_debt = refresh_debt + PERIOD;
            rule(8, refresh_debt <= (1 + POSTPONED) * T_REFI, "refresh is overdue");
        end

        if (cke && cke_before && cs_n === 1'b0) begin
            case ({ras_n, cas_n, we_n})
                MODE: begin
                    all_precharged;
                    rule(9, precharged && refreshes >= 2, "mode set before precharge and two refreshes");
                    rule(10, a[2:0] <= 3 && !a[3], "burst mode that this model does not have");
                    rule(11, a[6:4] == 2 || a[6:4] == 3, "latency that there is not");
                    rule(12, a[8:7] == 0 && a[ROW_BITS-1:10] == 0 && ba == 0, "reserved mode bits");
                    beats = 1 << a[1:0];
                    cas = a[6:4];
                    single_write = a[9];
                    mode_set = now;
                    ready = 1;
                end
                REFRESH: begin
                    all_precharged;
                    rule(13, precharged, "refresh before the first precharge");
                    refreshed = now;
                    if (refreshes != 3) refreshes = refreshes + 1;
                    refresh_debt = refresh_debt > T_REFI ? refresh_debt - T_REFI : 0;
                end
                PRECHARGE: begin
                    rule(14, now * PERIOD >= T_POWER_UP, "command before the power-up time is over");
                    rule(4, since(refreshed, T_RFC), "tRFC: command too soon after refresh");
                    if (a[ALL]) begin
                        for (i = 0; i < BANKS; i = i + 1) begin
                            close(i);
                            // After power-up the banks are in no known state.
                            if (!ready) closed[i] = now;
                        end
                        precharged = 1;
                    end else close(ba);
                    if (a[ALL] || ba == bank) left = 0;
                end
                ACTIVE: begin
                    rule(5, ready, "not initialised");
                    rule(15, now - mode_set >= MRD, "tMRD: activate too soon after the mode");
                    rule(16, !open[ba], "activate of an open bank");
                    rule(3, since(closed[ba], T_RP), "tRP: command too soon after precharge");
                    rule(4, since(refreshed, T_RFC), "tRFC: command too soon after refresh");
                    rule(17, since(activated[ba], T_RC), "tRC: activate too soon in the same bank");
                    rule(18, since(last_activate, T_RRD), "tRRD: activate too soon in another bank");
                    open[ba] = 1;
                    rows[ba] = a;
                    activated[ba] = now;
                    last_activate = now;
                end
                READ: start(0);
                WRITE: start(1);
                TERMINATE: left = 0;
                default: ;
            endcase
        end

        if (left != 0) begin
            word = {rows[bank], bank, column};
            rule(19, word < WORDS, "address that the model has no memory for");
            if (writes) begin
                rule(20, !drives, "chip and controller drive the data pins");
                rule(21, ^dqm !== 1'bx, "unknown mask");
                for (i = 0; i < BYTES; i = i + 1)
                    if (dqm[i] === 1'b0) data[word/PACK][word%PACK*WIDTH+8*i+:8] = dq[8*i+:8];
                written[bank] = now;
            end else begin
                out_valid[cas-1] = 1;
                out_data[cas-1] = data[word/PACK][word%PACK*WIDTH+:WIDTH];
            end
            column = (column & ~wrap) | ((column + 1'b1) & wrap);
            left = left - 1;
        end
        drives <= out_valid[0];
        driven <= out_data[0];
        rule(22, !cke_before || cke === 1'b1, "clock enable fell");
        cke_before = cke === 1'b1;
    end
endmodule
