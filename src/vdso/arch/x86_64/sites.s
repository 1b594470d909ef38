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
    .set SEQ, 3
    .set MODE, 4
    .set CYCLE_LAST, 5
    .set MULT, 6
    .set SHIFT, 7
    .set BASETIME, 8
    .set TIMENS_MODE, 9
    .set TIMENS_PAGE, 10
    .set HIGH_RES, 11
    .set COARSE_SEQ, 12
    .set COARSE_OFFSET, 13
