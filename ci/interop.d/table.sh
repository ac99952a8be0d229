# Sourced by the parts of ci/interop. `record` adds a line to the file RESULTS, if it is set: part, what was tried, step, and `ok` or
# `failed`. `print_table` reads such lines.
record() { [ -z "${RESULTS:-}" ] || printf '%s\t%s\t%s\t%s\n' "${part:-${0##*/}}" "$1" "$2" "$3" >>"$RESULTS"; } # WHAT STEP RESULT

# The columns of the table: the side of this repository has manual keys, begins, or answers; then what happens to a tunnel that exists.
steps='manual initiator responder renewal deletion dead-peer restart refusal'
# print_table FILE: a line for each part and what was tried, with the cases of each step; `3!1` are three of which one failed.
print_table() {
    awk -F '\t' -v steps="$steps" '
        { line = sprintf("%-16s %-46s", $1, $2); if (!(line in seen)) { seen[line] = 1; lines[++count] = line }
          cases[line, $3]++; if ($4 != "ok") failures[line, $3]++ }
        END {
            columns = split(steps, step, " ")
            printf "%-16s %-46s", "peer", "scenario"
            for (i = 1; i <= columns; i++) printf " %9s", step[i]
            print ""
            for (n = 1; n <= count; n++) {
                printf "%s", lines[n]
                for (i = 1; i <= columns; i++) {
                    key = lines[n] SUBSEP step[i]; cell = "-"
                    if (key in cases) { cell = cases[key]; if (key in failures) cell = cell "!" failures[key] }
                    printf " %9s", cell
                }
                print ""
            }
        }' "$1"
}
