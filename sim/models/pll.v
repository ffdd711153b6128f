// Behaviour of the PLLs of all families and of clock buffers, for simulation only: every clock is as
// fast as the input, and a PLL locks after a while.

// ECP5; the second output is half a cycle behind.
module EHXPLLL (
    input CLKI, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG,
    input PLLWAKESYNC, ENCLKOP,
    output CLKOP, CLKOS, CLKOS2,
    output LOCK
);
    parameter CLKI_DIV = 1, CLKFB_DIV = 1, CLKOP_DIV = 8, CLKOP_CPHASE = 0, CLKOP_FPHASE = 0;
    parameter CLKOS_DIV = 8, CLKOS_CPHASE = 0, CLKOS_FPHASE = 0;
    parameter CLKOS2_DIV = 8, CLKOS2_CPHASE = 0, CLKOS2_FPHASE = 0, CLKOS2_ENABLE = "DISABLED";
    parameter FEEDBK_PATH = "CLKOP", PLLRST_ENA = "DISABLED", INTFB_WAKE = "DISABLED";
    parameter STDBY_ENABLE = "DISABLED", DPHASE_SOURCE = "DISABLED";
    parameter CLKOP_ENABLE = "ENABLED", CLKOS_ENABLE = "DISABLED";
    parameter OUTDIVIDER_MUXA = "DIVA", OUTDIVIDER_MUXB = "DIVB";
    parameter OUTDIVIDER_MUXC = "DIVC", OUTDIVIDER_MUXD = "DIVD";

    assign CLKOP = CLKI;
    assign CLKOS = ~CLKI;
    assign CLKOS2 = CLKI;
    lock_after_a_while lock (.clk(CLKI), .locked(LOCK));
endmodule

// iCE40.
module SB_PLL40_PAD (
    input PACKAGEPIN, RESETB, BYPASS,
    output PLLOUTGLOBAL,
    output LOCK
);
    parameter FEEDBACK_PATH = "SIMPLE";
    parameter [3:0] DIVR = 0;
    parameter [6:0] DIVF = 0;
    parameter [2:0] DIVQ = 0, FILTER_RANGE = 0;

    assign PLLOUTGLOBAL = PACKAGEPIN;
    lock_after_a_while lock (.clk(PACKAGEPIN), .locked(LOCK));
endmodule

// Gowin.
module rPLL (
    input CLKIN, CLKFB, RESET, RESET_P,
    input [5:0] FBDSEL, IDSEL, ODSEL,
    input [3:0] PSDA, DUTYDA, FDLY,
    output CLKOUT,
    output LOCK
);
    parameter DEVICE = "", FCLKIN = "27", DYN_IDIV_SEL = "false", DYN_FBDIV_SEL = "false";
    parameter DYN_ODIV_SEL = "false", DYN_DA_EN = "false", PSDA_SEL = "0000", DUTYDA_SEL = "1000";
    parameter CLKFB_SEL = "internal", CLKOUT_BYPASS = "false", CLKOUTP_BYPASS = "false";
    parameter CLKOUTD_BYPASS = "false", CLKOUTD_SRC = "CLKOUT", CLKOUTD3_SRC = "CLKOUT";
    parameter IDIV_SEL = 0, FBDIV_SEL = 0, ODIV_SEL = 8, DYN_SDIV_SEL = 2;
    parameter CLKOUT_DLY_STEP = 0, CLKOUTP_DLY_STEP = 0;
    parameter [0:0] CLKOUT_FT_DIR = 1, CLKOUTP_FT_DIR = 1;

    assign CLKOUT = CLKIN;
    lock_after_a_while lock (.clk(CLKIN), .locked(LOCK));
endmodule

// Nexus.
module PLL (
    input REFCK, PLLRESET, FBKCK,
    output CLKOP, CLKOS5,
    output LOCK
);
    parameter V2I_PP_ICTRL = "", IPI_CMPN = "", V2I_1V_EN = "", V2I_KVCO_SEL = "", KP_VCO = "";
    parameter PLLPD_N = "", PLLRESET_ENA = "", REF_INTEGER_MODE = "", REF_MMD_DIG = "";
    parameter SEL_FBK = "", ENCLK_CLKOS5 = "", DIVF = "", DELF = "", CLKMUX_FB = "";
    parameter FBK_INTEGER_MODE = "", FBK_MASK = "", FBK_MMD_DIG = "", CSET = "", CRIPPLE = "";
    parameter V2I_PP_RES = "", IPP_SEL = "", IPP_CTRL = "", BW_CTL_BIAS = "", IPI_CMP = "";
    parameter ENCLK_CLKOP = "", DIVA = "", PHIA = "", DELA = "";

    assign CLKOP = REFCK;
    assign CLKOS5 = REFCK;
    lock_after_a_while lock (.clk(REFCK), .locked(LOCK));
endmodule

// Nexus' clock buffer.
module DCC (
    input CLKI, CE,
    output CLKO
);
    assign CLKO = CLKI;
endmodule

module lock_after_a_while (
    input clk,
    output reg locked
);
    reg [4:0] cycles;
    initial begin
        cycles = 0;
        locked = 0;
    end
    always @(posedge clk) begin
        if (&cycles) locked <= 1;
        else cycles <= cycles + 1;
    end
endmodule
