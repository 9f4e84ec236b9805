#!/usr/bin/env bash
# Runs the program over tests/cli/<case>/: `cmd` is a shell line that uses $LORICA (and $SOURCE, the source tree), run in a
# copy of the case's folder. `stdout` and `stderr`, where present, are compared exactly; `exit` is the exit code, 0 without it.
#
#   tests/cli/run.sh build/lorica [CASE ...]
set -u
LORICA=$(realpath "$1") || exit 2
here=$(cd "$(dirname "$0")" && pwd)
SOURCE=$(cd "$here/../.." && pwd)
export LORICA SOURCE NO_COLOR=1 LC_ALL=C
shift
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

passed=0
failed=0

check() { # case
    local name=$1 dir=$here/$1 want=0 got ok=1
    mkdir "$work/$name"
    cp -r "$dir/." "$work/$name"
    [ -f "$dir/exit" ] && want=$(cat "$dir/exit")
    (cd "$work/$name" && bash ./cmd) >"$work/$name.stdout" 2>"$work/$name.stderr" </dev/null
    got=$?
    if [ "$got" -ne "$want" ]; then
        echo "$name: want exit code $want, got $got"
        head -n 20 "$work/$name.stderr"
        ok=0
    fi
    for stream in stdout stderr; do
        [ -f "$dir/$stream" ] || continue
        diff -u --label "want $stream" --label "got $stream" "$dir/$stream" "$work/$name.$stream" >"$work/$name.diff" && continue
        echo "$name: $stream differs"
        head -n 60 "$work/$name.diff"
        ok=0
    done
    if [ $ok -eq 1 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

if [ $# -eq 0 ]; then
    for cmd in "$here"/*/cmd; do
        check "$(basename "$(dirname "$cmd")")"
    done
else
    for name in "$@"; do check "$name"; done
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
