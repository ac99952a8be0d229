#!/bin/bash -eu
# Builds every target into $OUT, each with its seeds and the dictionary. $SRC/ipsec, or $SRC itself, is the repository.
[ -d "$SRC/ipsec" ] && cd "$SRC/ipsec" || cd "$SRC"
mkdir -p "$OUT"
# The images of OSS-Fuzz choose the compiler themselves.
nightly=${RUSTUP_TOOLCHAIN:-nightly}
(cd fuzz && cargo "+$nightly" fuzz build -O)
seeds=$(mktemp -d)
cargo run --quiet -p fuzz-harness --bin fuzz-seeds -- "$seeds"
cargo run --quiet -p fuzz-harness --bin fuzz-corpus -- unpack "$seeds"
sed -n '/^\[\[bin\]\]$/{n;s/^name = "\(.*\)"$/\1/p}' fuzz/Cargo.toml | while read -r target; do
    cp "fuzz/target/$(rustc -vV | sed -n 's/host: //p')/release/$target" "$OUT/"
    cp fuzz/ipsec.dict "$OUT/$target.dict"
    rm -f "$OUT/${target}_seed_corpus.zip"
    (cd "$seeds/$target" && find . -type f | sort | zip -q "$OUT/${target}_seed_corpus.zip" -@)
done
rm -rf "$seeds"
