#!/usr/bin/env bash
# The library as it is installed: a program that knows only lorica.h and pkg-config trains, merges and writes text; the header
# is C++ too.      run.sh BUILD PROJECT CC...
set -euo pipefail
build=$1
project=$2
shift 2
cc=("$@") # a compiler may be two words
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/usr" >/dev/null
"$work/usr/bin/lorica" --version
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$work/usr" -name lorica.pc)")
# shellcheck disable=SC2046
"${cc[@]}" -std=c11 -Wall -Wextra -Wpedantic -Werror "$project/tests/library/program.c" -o "$work/program" \
    $(pkg-config --cflags --libs --static lorica)
"${cc[@]}" -x c++ -std=c++11 -Wall -Wextra -Werror -fsyntax-only "$work/usr/include/lorica.h"
cd "$project"
"$work/program" datasets/demo-base configs/demo_qlora.yaml "$work"
