//! Lists the targets with what each shows.

fn main() {
    for (name, _, what) in fuzz_harness::TARGETS {
        println!("{name:<14} {what}");
    }
}
