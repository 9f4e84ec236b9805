#!/usr/bin/env python3
"""Gates on size: file <= 1000 lines, function <= 120 lines, line <= 110 characters (the figures to aim at are half of that).

    check_sizes.py PROJECT [--table]     --table: the largest ones, for a look
"""
import pathlib, re, sys

root = pathlib.Path(sys.argv[1])
FILE_MAX, FUNCTION_MAX, LINE_MAX = 1000, 120, 110
bad, functions, files = [], [], []
for folder in ("src", "kernels", "tests"):
    for path in sorted(root.joinpath(folder).rglob("*")):
        if path.suffix not in (".c", ".h", ".cu", ".cuh", ".cc"):
            continue
        lines = path.read_text().split("\n")
        files.append((len(lines), path))
        if len(lines) > FILE_MAX:
            bad.append(f"{path}: {len(lines)} lines, want at most {FILE_MAX}")
        start = None
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_MAX:
                bad.append(f"{path}:{number}: {len(line)} characters, want at most {LINE_MAX}")
            if line == "{":
                start = number
            elif line == "}" and start is not None:
                length = number - start + 1
                functions.append((length, path, start))
                if length > FUNCTION_MAX:
                    bad.append(f"{path}:{start}: function of {length} lines, want at most {FUNCTION_MAX}")
                start = None
if len(functions) < 500:
    bad.append(f"only {len(functions)} functions seen: is this the project folder?")
if "--table" in sys.argv:
    for length, path in sorted(files, reverse=True)[:10]:
        print(f"{length:5} lines  {path}")
    for length, path, start in sorted(functions, reverse=True)[:10]:
        print(f"{length:5} lines  {path}:{start}")
    lengths = sorted(length for length, _, _ in functions)
    print(f"{len(functions)} functions: median {lengths[len(lengths) // 2]}, 90 % {lengths[len(lengths) * 9 // 10]}, largest {lengths[-1]}")
print("\n".join(bad) if bad else f"{len(files)} files, {len(functions)} functions within the limits")
sys.exit(1 if bad else 0)
