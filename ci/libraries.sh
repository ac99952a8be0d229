# The libraries of the workspace (the members that may be published) and the features of one.
libraries() {
    local manifest
    for manifest in */Cargo.toml; do
        grep -q '^publish = false' "$manifest" || dirname "$manifest"
    done
}
features() {
    sed -n '/^\[features\]/,/^\[/p' "$1/Cargo.toml" | sed -n 's/^\([a-z0-9-]*\) = .*/\1/p'
}
