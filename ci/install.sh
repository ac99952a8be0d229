# Sourced by the checks that need a tool, a target or a package. A check installs them only with `CI=true` in the environment (`.ci/run`
# sets it) or with `--install` as its first argument. Otherwise it prints what is missing and exits with 77. The current directory is the
# root of the repository.
if [ "${1:-}" = --install ]; then
    export CI=true
    shift
fi
# Programs that a check has built with cargo; they are not installed elsewhere.
export PATH="$PWD/target/tools/bin:$PATH"

may_install() { [ "${CI:-}" = true ]; }
skip() { echo "skipped: $*"; exit 77; }

# provide CHECK INSTALL..: whether CHECK succeeds, at once or after INSTALL.
provide() {
    local check=$1; shift
    if ! eval "$check" >/dev/null 2>&1; then
        if may_install && [ $# -gt 0 ]; then "$@" >/dev/null 2>&1 </dev/null || true; fi
        eval "$check" >/dev/null 2>&1
    fi
}
# skip_without NAME: ends the check because NAME is missing.
skip_without() {
    may_install && skip "$1 is missing and cannot be installed"
    skip "$1 is missing; CI=true or --install installs it"
}
# need NAME CHECK INSTALL..: provides it, or ends the check.
need() {
    local name=$1; shift
    provide "$@" || skip_without "$name"
}

# Debian packages, as root or with a sudo without a password. The lists of a fresh machine are empty. Nothing that is installed is
# removed for another package.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
install_packages() {
    # Another check may install packages at the same time.
    local install=(as_root env DEBIAN_FRONTEND=noninteractive apt-get install -o DPkg::Lock::Timeout=600 -y -q --no-install-recommends
        --no-remove "$@")
    "${install[@]}" || { as_root apt-get update -o DPkg::Lock::Timeout=600 -q && "${install[@]}"; }
}
# need_command COMMAND PACKAGE..
need_command() {
    local command=$1; shift
    need "$command" "command -v $command" install_packages "$@"
}
has_target() { [ -d "$(rustc --print target-libdir --target "$1")" ]; }
# need_targets TARGET..
need_targets() {
    local target
    for target; do
        need "the Rust target $target" "has_target $target" rustup target add "$target"
    done
}
# The binary tools of the compiler: `llvm_tools` is their directory.
need_llvm_tools() {
    llvm_tools=$(rustc --print target-libdir)/../bin
    need "the Rust component llvm-tools" "[ -x '$llvm_tools/llvm-size' ]" rustup component add llvm-tools
}
# need_cargo SUBCOMMAND [OPTION ..]: the cargo subcommand, built with these options. Dependencies that the tests have built are not built again.
need_cargo() {
    local subcommand=$1; shift
    need "cargo-$subcommand" "cargo $subcommand --version" \
        cargo install --quiet --locked --root target/tools --target-dir target "$@" "cargo-$subcommand"
}
# Options of need_cargo for tools that only start other programs or run for seconds: without optimisation, which takes half the time.
unoptimised=(--debug --config profile.dev.debug=false)
need_nightly() {
    provide "rustup toolchain list | grep nightly" || skip "a nightly compiler is missing"
}
# Names of the fuzz targets.
fuzz_targets() { sed -n '/^\[\[bin\]\]$/{n;s/^name = "\(.*\)"$/\1/p}' fuzz/Cargo.toml | sort; }
