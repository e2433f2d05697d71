#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# other_valgrind.sh ROOT: the emulator built against the Valgrind unpacked in ROOT (as by dpkg -x of
# Debian's package), and its tests run with that. Exit status: 0 all passed, 1 not, 2 bad use.
# COMPILE and LINK come from the Makefile.
set -u

root=${1:-}
lib=$root/usr/lib/x86_64-linux-gnu/valgrind
if [ $# != 1 ] || [ ! -f "$lib/libcoregrind-amd64-linux.a" ]; then
    echo "usage: make check-valgrind VALGRIND=ROOT; ROOT/usr/lib/... holds an unpacked valgrind" >&2
    exit 2
fi
root=$(cd "$root" && pwd)
lib=$root/usr/lib/x86_64-linux-gnu/valgrind
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# As `make` lays it out, and a `valgrind` that is ROOT's.
tool=$dir/lib/rtmgrind/rtmgrind-amd64-linux
mkdir -p "$dir/bin" "$dir/obj" "${tool%/*}"
for file in rtmgrind/rtm_*.c; do
    # ROOT's headers come before the system's.
    ${COMPILE/-isystem/-isystem $root/usr/include/valgrind -isystem} -Irtmgrind \
        -c -o "$dir/obj/$(basename "$file" .c).o" "$file" || exit 1
done
$LINK -o "$tool" "$dir"/obj/*.o "$lib/libcoregrind-amd64-linux.a" \
    "$lib/libvex-amd64-linux.a" -lgcc "$lib/libgcc-sup-amd64-linux.a" || exit 1
install -m 755 rtmgrind/rtmgrind.sh "$dir/bin/rtmgrind"
ln -s "$root/usr/bin/valgrind.bin" "$dir/bin/valgrind"
export PATH=$dir/bin:$PATH VALGRIND_LIB=$root/usr/libexec/valgrind RTMGRIND=$dir/bin/rtmgrind
"$RTMGRIND" --version

failed=0
for test in out/tests/rtmgrind/*.t rtmgrind/tests/{model,time,report,usage,peers}.sh; do
    case $test in */mutants.t) continue ;; esac
    if "$test" >"$dir/tap" 2>&1; then
        echo "ok $test ($(grep -c '^ok' "$dir/tap"))"
    else
        echo "not ok $test"
        grep -A 3 '^not ok' "$dir/tap"
        failed=1
    fi
done
exit $failed
