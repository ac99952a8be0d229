//! Circuits of S-boxes 5 to 8.

use super::Bits;

/// Applies S-box 5 as a circuit of 62 gates.
#[inline(always)]
pub(in crate::des) fn s5<W: Bits>([a, b, c, d, e, f]: [W; 6]) -> [W; 4] {
    let g1 = f | c;
    let g2 = g1 ^ a;
    let g3 = f & c;
    let g4 = g1 & a;
    let g5 = g4 ^ g3;
    let g6 = g5 & b;
    let g7 = g6 ^ g2;
    let g8 = g5 & f;
    let g9 = g8 ^ e;
    let g10 = g9 & e;
    let g11 = g10 ^ g7;
    let g12 = g3 ^ a;
    let g13 = g12 & e;
    let g14 = g13 | g4;
    let g15 = !g5;
    let g16 = g15 & !b;
    let g17 = g16 ^ g14;
    let g18 = g17 & d;
    let g19 = g18 ^ g11;
    let g20 = g19 & !g16;
    let g21 = g17 ^ g6;
    let g22 = g21 & c;
    let g23 = g22 ^ g20;
    let g24 = g2 | f;
    let g25 = g24 & e;
    let g26 = g25 ^ g23;
    let g27 = g26 ^ g21;
    let g28 = g11 | c;
    let g29 = g28 & f;
    let g30 = g29 ^ g27;
    let g31 = g8 & g7;
    let g32 = g31 ^ g15;
    let g33 = g32 & !e;
    let g34 = g33 ^ g30;
    let g35 = g34 & !d;
    let g36 = g35 ^ g26;
    let g37 = g10 & !g26;
    let g38 = g37 ^ g34;
    let g39 = g34 & g20;
    let g40 = g39 ^ g30;
    let g41 = g40 & c;
    let g42 = g41 ^ g38;
    let g43 = g42 | g37;
    let g44 = g43 ^ g21;
    let g45 = g25 | g7;
    let g46 = g45 & a;
    let g47 = g46 ^ g44;
    let g48 = g47 & !d;
    let g49 = g48 ^ g42;
    let g50 = g42 & g7;
    let g51 = g50 ^ g27;
    let g52 = !g17;
    let g53 = g52 & !d;
    let g54 = g53 ^ g51;
    let g55 = g10 ^ d;
    let g56 = g55 & !g18;
    let g57 = a & !g19;
    let g58 = g57 ^ g33;
    let g59 = g58 & !f;
    let g60 = g59 | g56;
    let g61 = g60 & !c;
    let g62 = g61 ^ g54;
    [g36, g19, g49, g62]
}

/// Applies S-box 6 as a circuit of 59 gates.
#[inline(always)]
pub(in crate::des) fn s6<W: Bits>([a, b, c, d, e, f]: [W; 6]) -> [W; 4] {
    let g1 = d ^ a;
    let g2 = g1 ^ f;
    let g3 = c | a;
    let g4 = g3 & b;
    let g5 = g4 ^ g2;
    let g6 = d | a;
    let g7 = g6 ^ c;
    let g8 = g5 & b;
    let g9 = g8 ^ g7;
    let g10 = g9 & e;
    let g11 = g10 ^ g5;
    let g12 = e & d;
    let g13 = g7 & a;
    let g14 = g13 ^ g12;
    let g15 = g6 & e;
    let g16 = g15 & !b;
    let g17 = g16 | g14;
    let g18 = g17 & !f;
    let g19 = g18 ^ g11;
    let g20 = f | e;
    let g21 = g20 & !g2;
    let g22 = g20 & a;
    let g23 = g22 | g19;
    let g24 = g23 & c;
    let g25 = g24 ^ g21;
    let g26 = !g24;
    let g27 = g25 & g3;
    let g28 = g27 ^ g22;
    let g29 = g28 & !e;
    let g30 = g29 ^ g26;
    let g31 = g30 & !b;
    let g32 = g31 ^ g25;
    let g33 = g1 ^ e;
    let g34 = g33 ^ g29;
    let g35 = g23 ^ d;
    let g36 = g35 ^ g2;
    let g37 = g36 & !b;
    let g38 = g37 ^ g34;
    let g39 = g37 | g27;
    let g40 = g39 ^ g9;
    let g41 = g7 | g5;
    let g42 = g41 & !d;
    let g43 = g42 & a;
    let g44 = g43 ^ g40;
    let g45 = g44 & !f;
    let g46 = g45 ^ g38;
    let g47 = g35 ^ g11;
    let g48 = g47 ^ g8;
    let g49 = g32 & !g22;
    let g50 = g49 & !c;
    let g51 = g50 ^ g48;
    let g52 = g11 & g9;
    let g53 = g52 ^ g33;
    let g54 = g31 | g2;
    let g55 = g54 & g35;
    let g56 = g55 & !c;
    let g57 = g56 ^ g53;
    let g58 = g57 & f;
    let g59 = g58 ^ g51;
    [g32, g59, g19, g46]
}

/// Applies S-box 7 as a circuit of 59 gates.
#[inline(always)]
pub(in crate::des) fn s7<W: Bits>([a, b, c, d, e, f]: [W; 6]) -> [W; 4] {
    let g1 = f ^ e;
    let g2 = d & b;
    let g3 = g2 ^ g1;
    let g4 = d & !e;
    let g5 = g4 | f;
    let g6 = !d;
    let g7 = g6 & !b;
    let g8 = g7 | g5;
    let g9 = g8 & c;
    let g10 = g9 ^ g3;
    let g11 = g7 ^ c;
    let g12 = !b;
    let g13 = g12 & e;
    let g14 = g13 | g11;
    let g15 = g10 ^ b;
    let g16 = g15 ^ g8;
    let g17 = g16 & !f;
    let g18 = g17 ^ g14;
    let g19 = g18 & a;
    let g20 = g19 ^ g10;
    let g21 = g6 | c;
    let g22 = g21 & !g12;
    let g23 = g22 & f;
    let g24 = g23 ^ g10;
    let g25 = g9 ^ g6;
    let g26 = !c;
    let g27 = g26 & b;
    let g28 = g27 ^ g25;
    let g29 = g16 | g6;
    let g30 = g29 | g3;
    let g31 = g30 & f;
    let g32 = g31 ^ g28;
    let g33 = g32 & !a;
    let g34 = g33 ^ g24;
    let g35 = g2 & e;
    let g36 = g35 ^ g11;
    let g37 = g14 ^ d;
    let g38 = g37 | g22;
    let g39 = g38 & !f;
    let g40 = g39 ^ g36;
    let g41 = g10 | e;
    let g42 = g4 ^ g3;
    let g43 = g18 & !g42;
    let g44 = g43 & c;
    let g45 = g44 ^ g41;
    let g46 = g45 & !a;
    let g47 = g46 ^ g40;
    let g48 = g28 ^ c;
    let g49 = g48 ^ a;
    let g50 = g17 & !d;
    let g51 = g50 ^ g49;
    let g52 = g46 | g16;
    let g53 = g52 ^ g22;
    let g54 = g20 & !e;
    let g55 = g54 ^ g27;
    let g56 = g55 & !d;
    let g57 = g56 ^ g53;
    let g58 = g57 & f;
    let g59 = g58 ^ g51;
    [g20, g34, g47, g59]
}

/// Applies S-box 8 as a circuit of 57 gates.
#[inline(always)]
pub(in crate::des) fn s8<W: Bits>([a, b, c, d, e, f]: [W; 6]) -> [W; 4] {
    let g1 = f ^ d;
    let g2 = g1 ^ c;
    let g3 = !e;
    let g4 = g3 & !c;
    let g5 = g4 ^ g2;
    let g6 = g3 & !d;
    let g7 = g6 ^ c;
    let g8 = g7 & b;
    let g9 = g8 ^ g5;
    let g10 = g5 | f;
    let g11 = g10 & !c;
    let g12 = g11 ^ g3;
    let g13 = g10 & g7;
    let g14 = g13 ^ b;
    let g15 = g14 & b;
    let g16 = g15 ^ g12;
    let g17 = g16 & a;
    let g18 = g17 ^ g9;
    let g19 = c ^ a;
    let g20 = b & !d;
    let g21 = g20 ^ g19;
    let g22 = g2 & !g17;
    let g23 = g22 ^ g15;
    let g24 = g23 & f;
    let g25 = g24 ^ g21;
    let g26 = g15 | g5;
    let g27 = g19 & f;
    let g28 = g27 | g26;
    let g29 = g18 & g2;
    let g30 = g29 | g13;
    let g31 = g30 & a;
    let g32 = g31 ^ g28;
    let g33 = g32 & !e;
    let g34 = g33 ^ g25;
    let g35 = a & !g10;
    let g36 = g35 ^ g19;
    let g37 = g26 & b;
    let g38 = g37 ^ g36;
    let g39 = g21 & !a;
    let g40 = g32 ^ e;
    let g41 = g40 ^ g22;
    let g42 = g41 & !f;
    let g43 = g42 ^ g1;
    let g44 = g43 & !b;
    let g45 = g44 ^ g39;
    let g46 = g45 & e;
    let g47 = g46 ^ g38;
    let g48 = g18 ^ g16;
    let g49 = g43 ^ g34;
    let g50 = g49 & !f;
    let g51 = g50 ^ g48;
    let g52 = g45 ^ g8;
    let g53 = g49 & !a;
    let g54 = g53 & f;
    let g55 = g54 ^ g52;
    let g56 = g55 & e;
    let g57 = g56 ^ g51;
    [g57, g18, g47, g34]
}
