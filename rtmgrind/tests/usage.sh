#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Bad use gets a clear line and a non-zero exit; good use keeps the program's own.
set -u

. tests/tap.sh
rtmgrind=${RTMGRIND:-out/bin/rtmgrind}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# refused NAME STATUS PART COMMAND...: exits so, says so, and never runs the program.
refused() {
    local name=$1 wanted=$2 part=$3 output status
    shift 3
    output=$("$@" 2>&1 </dev/null)
    status=$?
    tap_is "$name: exit status" "$status" "$wanted"
    tap_has "$name: says so" "$output" "$part"
    tap_ok "$name: nothing ran" test "${output#*ran}" = "$output"
}

run() { "$rtmgrind" --quiet "$@" /bin/echo ran; }

refused "unknown option" 1 "Unknown option: --nonsense" run --nonsense
refused "misspelt option" 1 "Unknown option: --abort-ratee=3" run --abort-ratee=3
refused "no program" 2 "usage: rtmgrind" "$rtmgrind"
refused "no program behind --" 2 "usage: rtmgrind" "$rtmgrind" --
refused "no such program" 127 "/nonexistent: No such file" "$rtmgrind" /nonexistent
refused "a folder" 126 "is a directory" "$rtmgrind" "$dir"
refused "another tool" 2 "--tool is fixed" run --tool=none
refused "unwritable JSON file" 1 "Cannot write /nonexistent/x.json" run --json=/nonexistent/x.json
refused "a folder as JSON file" 1 "Cannot write $dir" run "--json=$dir"
refused "too few cores" 1 "must be between 1 and 64" run --cores=0
refused "no number" 1 "Invalid integer value 'many'" run --cores=many
refused "unknown preset" 1 "Use haswell, icelake or sapphirerapids" run --preset=pentium
refused "unknown mode" 1 "Use yes, no or always-abort" run --rtm=maybe
refused "sets not a power of two" 1 "Use a power of two" run --write-sets=48
for options in "--smt=8 --write-ways=4" "--write-ways=4 --smt=8" "--smt=8 --write-ways=7"; do
    # shellcheck disable=SC2086
    refused "more threads than ways: $options" 1 "Bad option: --smt=8" run $options
done
# shellcheck disable=SC2016
refused "... says so before all else" 1 "valgrind: Bad option" \
    sh -c '"$1" --smt=8 --write-ways=4 /bin/echo ran 2>&1 | head -n 1; exit 1' - "$rtmgrind"
tap_is "the last of an option is meant" \
    "$(run --smt=8 --write-ways=4 --write-ways=8)" ran

# The first bytes of an i386 program: the emulator is for x86-64.
printf '\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\3\0\1\0\0\0\0\200\4\10\64\0\0\0' >"$dir/i386"
head -c 200 /dev/zero >>"$dir/i386"
chmod +x "$dir/i386"
output=$("$rtmgrind" "$dir/i386" 2>&1)
status=$?
tap_ok "32-bit program: exit status $status" test "$status" -ne 0
tap_has "32-bit program: says so" "$output" "$dir/i386"

"$rtmgrind" --json="$dir/never.json" /nonexistent >/dev/null 2>&1
tap_is "no report is left by a run that did not begin" "$(ls "$dir")" i386

tap_is "the program's exit status is kept" \
    "$("$rtmgrind" --quiet -- sh -c 'exit 7'; echo $?)" 7
tap_is "-- ends the options" "$("$rtmgrind" --quiet -- /bin/echo --cores=0)" --cores=0
tap_is "a symbolic link finds its way" \
    "$(ln -s "$(realpath "$rtmgrind")" "$dir/link" && "$dir/link" --quiet /bin/echo ran)" ran
tap_is "JSON into a device stays a device" \
    "$("$rtmgrind" --quiet --json=/dev/stdout /bin/true | jq .totals.starts)" 0

# The README's options are those of --help, and the other way round.
options() { grep -oE -- '--[a-z][a-z-]*' | sort -u; }
help=$("$rtmgrind" --help | sed -n '/user options for rtmgrind/,/^$/p' | options)
manual=$(sed -n '/^## Options/,/^## [^O]/s/^| `\(.*\)` |.*/\1/p' rtmgrind/README.md | options)
tap_is "README.md lists the options of --help" "$manual" "$help"
tap_done
