# What the composer fills in (`src/image/site.rs`) stands as HOLE8 or HOLE32 in the code, with a
# record in `.sites`: where, what, how wide, and what is added to it.
    .set HOLE8, 0x40
    .set HOLE32, 0x40404040

# Behind an instruction: its last bytes, or those `before` the last, are filled in.
    .macro site what, width, more=0, before=0
.Lsite\@:
    .pushsection .sites, "", @progbits
    .long .Lsite\@ - \width - \before
    .byte \what, \width, \more, 0
    .popsection
    .endm

# The order of `Values`. The first are distances from the next instruction.
    .set CLOCK_DATA, 0
    .set RAW_DATA, 1
    .set COARSE_DATA, 2
    .set TIME_DATA, 3
    .set SEQ, 4
    .set MODE, 5
    .set CYCLE_LAST, 6
    .set MULT, 7
    .set SHIFT, 8
    .set BASETIME, 9
    .set TIMENS_MODE, 10
    .set TIMENS_PAGE, 11
    .set HIGH_RES, 12
    .set COARSE_SEQ, 13
    .set COARSE_OFFSET, 14
    .set COARSE_ID, 15
