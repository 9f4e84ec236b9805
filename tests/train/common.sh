# What the scripts of this folder share: a folder that is left behind with the script, checks that are counted, rows of tokens.
# Sourced by them.
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
passed=0
failed=0
export OMP_NUM_THREADS=2

ok() { # ok WHAT COMMAND...
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $what"
    fi
}
exits() { # exits CODE COMMAND...: its messages stay in last.err
    local want=$1 got
    shift
    "$@" >last.out 2>last.err
    got=$?
    [ "$got" = "$want" ] || { echo "exit code $got, want $want: $*"; tail -5 last.err; return 1; }
}
says() { grep -q -- "$1" last.err || { echo "no '$1' in:"; cat last.err; return 1; }; }
same() { cmp -s "$1/adapter_model.safetensors" "$2/adapter_model.safetensors"; }
number() { # number KEY: of JSON on stdin, the first of that key
    grep -o "\"$1\": [0-9]*" | head -1 | grep -o '[0-9]*$'
}
token_rows() { # token_rows N: of 4 to 23 ids from 3 to 62
    awk -v n_rows="$1" 'BEGIN { srand(3); for (r = 0; r < n_rows; r++) { n = 4 + int(rand() * 20); s = ""
        for (i = 0; i < n; i++) s = s (i ? "," : "") (3 + int(rand() * 60)); print "{\"input_ids\": [" s "]}" } }'
}
finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
    exit
}
