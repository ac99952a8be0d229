//! Circuits of S-boxes 1 to 4.

use super::Bits;

/// Applies S-box 1 as a circuit of 63 gates.
#[inline(always)]
pub(in crate::des) fn s1<W: Bits>([a, b, c, d, e, f]: [W; 6]) -> [W; 4] {
    let g1 = !a;
    let g2 = e & d;
    let g3 = g2 ^ g1;
    let g4 = a & !e;
    let g5 = g4 | d;
    let g6 = g5 & !f;
    let g7 = g6 ^ g3;
    let g8 = g2 | f;
    let g9 = e & !a;
    let g10 = g9 | g8;
    let g11 = g10 & !c;
    let g12 = g11 ^ g7;
    let g13 = f & e;
    let g14 = g13 ^ d;
    let g15 = g7 ^ e;
    let g16 = g15 & !a;
    let g17 = g16 ^ g14;
    let g18 = g17 & g12;
    let g19 = g15 & !g18;
    let g20 = g19 & !c;
    let g21 = g20 ^ g17;
    let g22 = g21 & !b;
    let g23 = g22 ^ g12;
    let g24 = g15 & !g2;
    let g25 = g17 | e;
    let g26 = g25 & !f;
    let g27 = g26 ^ g24;
    let g28 = e ^ a;
    let g29 = g28 ^ g16;
    let g30 = g29 & !c;
    let g31 = g30 ^ g27;
    let g32 = g4 ^ d;
    let g33 = g32 | g19;
    let g34 = g7 ^ d;
    let g35 = g34 & !c;
    let g36 = g35 | g33;
    let g37 = g36 & b;
    let g38 = g37 ^ g31;
    let g39 = e | c;
    let g40 = g39 ^ g21;
    let g41 = g15 | g11;
    let g42 = g41 ^ g19;
    let g43 = g42 & f;
    let g44 = g43 ^ g40;
    let g45 = g29 ^ g11;
    let g46 = g36 & !g31;
    let g47 = g46 & !f;
    let g48 = g47 ^ g45;
    let g49 = g48 & b;
    let g50 = g49 ^ g44;
    let g51 = g46 | b;
    let g52 = g51 ^ g34;
    let g53 = g37 | g6;
    let g54 = g53 & !c;
    let g55 = g54 ^ g52;
    let g56 = g37 & f;
    let g57 = g56 ^ g28;
    let g58 = g42 | g23;
    let g59 = g58 ^ g8;
    let g60 = g59 & !c;
    let g61 = g60 ^ g57;
    let g62 = g61 & a;
    let g63 = g62 ^ g55;
    [g38, g50, g63, g23]
}

/// Applies S-box 2 as a circuit of 58 gates.
#[inline(always)]
pub(in crate::des) fn s2<W: Bits>([a, b, c, d, e, f]: [W; 6]) -> [W; 4] {
    let g1 = a & !f;
    let g2 = g1 ^ e;
    let g3 = b & !d;
    let g4 = g3 ^ g2;
    let g5 = !f;
    let g6 = g4 & d;
    let g7 = g6 ^ g5;
    let g8 = !e;
    let g9 = g8 & a;
    let g10 = g9 | g7;
    let g11 = g10 & !b;
    let g12 = g11 ^ g4;
    let g13 = f ^ a;
    let g14 = g13 | g9;
    let g15 = g5 & !b;
    let g16 = g15 | g14;
    let g17 = g16 & c;
    let g18 = g17 ^ g12;
    let g19 = g5 ^ c;
    let g20 = g18 | f;
    let g21 = g20 & !b;
    let g22 = g21 ^ g19;
    let g23 = g17 ^ d;
    let g24 = g23 ^ g11;
    let g25 = g24 & !e;
    let g26 = g25 ^ g22;
    let g27 = g23 & b;
    let g28 = g27 ^ g20;
    let g29 = g28 ^ g4;
    let g30 = g29 ^ d;
    let g31 = g30 & e;
    let g32 = g31 ^ g28;
    let g33 = g32 & a;
    let g34 = g33 ^ g26;
    let g35 = g22 & !g15;
    let g36 = g28 & !g35;
    let g37 = g27 | f;
    let g38 = g37 ^ g2;
    let g39 = g38 & d;
    let g40 = g39 ^ g36;
    let g41 = g31 ^ g12;
    let g42 = g41 & !g21;
    let g43 = g25 | g12;
    let g44 = g43 & !b;
    let g45 = g44 ^ g34;
    let g46 = g45 & !c;
    let g47 = g46 ^ g42;
    let g48 = g47 & !a;
    let g49 = g48 ^ g40;
    let g50 = g30 ^ c;
    let g51 = g50 ^ g13;
    let g52 = g29 | g1;
    let g53 = g52 ^ g38;
    let g54 = g30 & !g1;
    let g55 = g54 & !c;
    let g56 = g55 ^ g53;
    let g57 = g56 & e;
    let g58 = g57 ^ g51;
    [g18, g58, g49, g34]
}

/// Applies S-box 3 as a circuit of 56 gates.
#[inline(always)]
pub(in crate::des) fn s3<W: Bits>([a, b, c, d, e, f]: [W; 6]) -> [W; 4] {
    let g1 = f ^ a;
    let g2 = g1 ^ b;
    let g3 = b & !g1;
    let g4 = g3 & !f;
    let g5 = g4 | c;
    let g6 = g5 & !e;
    let g7 = g6 ^ g2;
    let g8 = f & !b;
    let g9 = b & !c;
    let g10 = g9 & !a;
    let g11 = g10 ^ g8;
    let g12 = g1 | c;
    let g13 = g12 & f;
    let g14 = g13 ^ e;
    let g15 = g14 & e;
    let g16 = g15 ^ g11;
    let g17 = g16 & d;
    let g18 = g17 ^ g7;
    let g19 = g2 ^ d;
    let g20 = d ^ c;
    let g21 = g20 & e;
    let g22 = g21 ^ g19;
    let g23 = g12 & !g8;
    let g24 = g23 & !d;
    let g25 = !g7;
    let g26 = g25 & !b;
    let g27 = g26 ^ g22;
    let g28 = g27 & !e;
    let g29 = g28 ^ g24;
    let g30 = g29 & a;
    let g31 = g30 ^ g22;
    let g32 = g23 ^ g14;
    let g33 = g26 & !f;
    let g34 = g33 ^ g32;
    let g35 = g16 ^ g7;
    let g36 = g35 | a;
    let g37 = g36 & c;
    let g38 = g37 ^ g34;
    let g39 = g19 ^ e;
    let g40 = g39 ^ g34;
    let g41 = g40 & !a;
    let g42 = g41 ^ g36;
    let g43 = g42 & d;
    let g44 = g43 ^ g38;
    let g45 = g19 & !g41;
    let g46 = g45 ^ g20;
    let g47 = g44 & !b;
    let g48 = g47 ^ g46;
    let g49 = g44 & g31;
    let g50 = g49 ^ g2;
    let g51 = g20 & !g41;
    let g52 = g51 ^ g10;
    let g53 = g52 & b;
    let g54 = g53 ^ g50;
    let g55 = g54 & !e;
    let g56 = g55 ^ g48;
    [g44, g18, g56, g31]
}

/// Applies S-box 4 as a circuit of 45 gates.
#[inline(always)]
pub(in crate::des) fn s4<W: Bits>([a, b, c, d, e, f]: [W; 6]) -> [W; 4] {
    let g1 = d | a;
    let g2 = g1 ^ e;
    let g3 = d & a;
    let g4 = g3 | e;
    let g5 = g4 & c;
    let g6 = g5 ^ g2;
    let g7 = g3 | c;
    let g8 = g6 & !a;
    let g9 = g8 & e;
    let g10 = g9 ^ g7;
    let g11 = g10 & b;
    let g12 = g11 ^ g6;
    let g13 = c & !g4;
    let g14 = !g8;
    let g15 = g14 & !b;
    let g16 = g15 ^ g13;
    let g17 = g12 & b;
    let g18 = g17 ^ e;
    let g19 = g18 & d;
    let g20 = g19 ^ g16;
    let g21 = g20 & f;
    let g22 = g21 ^ g12;
    let g23 = g6 | d;
    let g24 = g23 ^ g20;
    let g25 = g24 ^ g7;
    let g26 = g25 & !g5;
    let g27 = g26 & d;
    let g28 = g27 ^ g23;
    let g29 = g28 & !b;
    let g30 = g29 ^ g24;
    let g31 = g19 ^ c;
    let g32 = g2 | c;
    let g33 = g32 & b;
    let g34 = g33 ^ g31;
    let g35 = g33 | g20;
    let g36 = g35 & !g29;
    let g37 = g36 & !a;
    let g38 = g37 ^ g34;
    let g39 = g38 & f;
    let g40 = g39 ^ g30;
    let g41 = !g38;
    let g42 = g41 & !f;
    let g43 = g42 ^ g30;
    let g44 = g20 | f;
    let g45 = g44 ^ g12;
    [g22, g45, g40, g43]
}
