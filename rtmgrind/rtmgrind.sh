#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# rtmgrind [options] [--] program [arguments]: run a program under the RTM emulator.
# Options are the tool's and the Valgrind core's. Exit status: the program's; 125 when rtmgrind
# itself cannot run, 2 when it is called wrongly.

say() { echo "rtmgrind: $1" >&2; }

here=$(dirname "$(readlink -f "$0")")
lib=$here/../lib/rtmgrind
tool=$lib/rtmgrind-amd64-linux

case "$(uname -m)" in
x86_64) ;;
*) say "this machine is $(uname -m); rtmgrind emulates x86-64 on x86-64 only"; exit 125 ;;
esac
[ -x "$tool" ] || { say "$tool is missing; run 'make' first"; exit 125; }
valgrind=$(command -v valgrind) || {
    say "valgrind is missing; apt-get install valgrind"
    exit 125
}

# Valgrind looks for a tool beside its own files: a folder of ours that links to them.
for dir in "$VALGRIND_LIB" /usr/libexec/valgrind /usr/lib/valgrind \
    "$(dirname "$(dirname "$valgrind")")/libexec/valgrind"; do
    [ -n "$dir" ] && [ -e "$dir/default.supp" ] && break
done
[ -e "$dir/default.supp" ] || { say "valgrind's own files not found; set VALGRIND_LIB"; exit 125; }
for file in "$dir"/*.supp "$dir"/*.xml "$dir"/vgpreload_core-amd64-linux.so; do
    [ -e "$file" ] && [ ! -e "$lib/${file##*/}" ] && ln -sf "$file" "$lib/" 2>/dev/null
done

usage() {
    say "usage: rtmgrind [options] [--] program [arguments]; --help lists the options"
    exit 2
}

n=0
for arg; do
    case $arg in
    --help | --help-debug | --version)
        exec env VALGRIND_LIB="$lib" "$valgrind" --tool=rtmgrind "$arg"
        ;;
    --) n=$((n + 1)); break ;;
    --tool=*) say "--tool is fixed"; exit 2 ;;
    -*) n=$((n + 1)) ;;
    *) break ;;
    esac
done
[ "$n" -lt $# ] || usage

# A 32-bit program would ask Valgrind for a tool that does not exist. Byte 5 of an ELF file is its
# class.
skip() { shift "$n"; printf '%s\n' "$1"; }
program=$(skip "$@")
path=$(command -v -- "$program" 2>/dev/null)
if [ -f "$path" ] && [ "$(head -c 5 -- "$path" | od -An -tx1)" = " 7f 45 4c 46 01" ]; then
    say "$program is a 32-bit program; rtmgrind emulates x86-64"
    exit 126
fi

exec env VALGRIND_LIB="$lib" "$valgrind" --tool=rtmgrind --fair-sched=yes --vgdb=no \
    --run-libc-freeres=no --run-cxx-freeres=no "$@"
