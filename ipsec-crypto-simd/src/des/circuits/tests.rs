//! The circuits agree with the tables of FIPS 46-3.

use super::*;
use crate::des::sboxes::substitute;

/// All 64 inputs at once: bit n of a word belongs to input n.
#[test]
fn each_circuit_has_the_results_of_its_table_for_all_inputs() {
    let inputs = [5, 4, 3, 2, 1, 0].map(|bit| (0..64u64).map(|input| (input >> bit & 1) << input).sum::<u64>());
    let circuits = [s1, s2, s3, s4, s5, s6, s7, s8];
    for (number, circuit) in circuits.iter().enumerate() {
        let results = circuit(inputs);
        for input in 0..64 {
            let result = results.iter().fold(0, |result, bits| result << 1 | (bits >> input & 1));
            assert_eq!(result, u64::from(substitute(number, input)), "S-box {}, input {input}", number + 1);
        }
    }
}
