# For checks that use the tools and do not measure them: built sooner, and a little slower.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
