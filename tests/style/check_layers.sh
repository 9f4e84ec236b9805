#!/usr/bin/env bash
# An #include points down, or sideways; never up:
#   base < tensor < kernels < {config, tokenizer, template, quant, formats} < {data, model, adapter, optim}
#   < {train, infer, merge, convert, checkpoint} < cli
# lorica.h, what other programs see, declares types of its own and may be included by all.
set -euo pipefail
cd "${1:?project folder}"

find src kernels -name '*.[ch]' -o -name '*.cu' | sort | xargs awk '
BEGIN {
    split("base", l0); split("tensor", l1); split("config tokenizer template quant formats", l3)
    split("data model adapter optim", l4); split("train infer merge convert checkpoint", l5); split("cli", l6)
    for (i in l0) level[l0[i]] = 0; for (i in l1) level[l1[i]] = 1; for (i in l3) level[l3[i]] = 3
    for (i in l4) level[l4[i]] = 4; for (i in l5) level[l5[i]] = 5; for (i in l6) level[l6[i]] = 6
}
function level_of(folder) { return folder in level ? level[folder] : 2 } # what is not in src/ is kernels/
FNR == 1 {
    split(FILENAME, parts, "/")
    mine = parts[1] == "kernels" ? 2 : FILENAME == "src/lorica.c" ? 5 : level_of(parts[2])
    if (parts[1] == "src" && parts[3] != "" && !(parts[2] in level)) { print FILENAME ": folder " parts[2] " has no layer"; bad++ }
}
/^#include "/ {
    n_includes++
    split($2, path, "\"")
    split(path[2], folder, "/")
    theirs = path[2] == "lorica.h" ? 0 : level_of(folder[1])
    if (theirs > mine) { print FILENAME ":" FNR ": layer " mine " includes " path[2] " of layer " theirs; bad++ }
}
/[^a-z_](v?printf|puts|exit|abort) *\(/ {
    if (mine < 6 && FILENAME != "src/base/status.c") { print FILENAME ":" FNR ": only cli/ prints or exits"; bad++ }
}
END {
    if (n_includes < 100) { print "only " n_includes " includes seen: is this the project folder?"; bad++ }
    if (bad) exit 1
    print n_includes " includes point down or sideways"
}'
