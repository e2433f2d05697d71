#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The library and its tests with both compilers, without and with optimisation, warnings being
# errors, on each backend; linked statically, by another C library, with link-time optimisation; for
# another architecture; and with the thread and address sanitizers.
set -u
. tests/tap.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
warnings="-Wall -Wextra -Wundef -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror"
sources=$(ls elision/*.c fallback/*.c probes/*.c)

# shellcheck disable=SC2086 # lists of words
compile() { # compile OUTPUT CC FLAGS -- SOURCE...: links the library's sources with a test
    local output=$1 compiler=$2 flags=$3
    shift 4
    $compiler -std=c11 $warnings $flags -I. -pthread -ftls-model=initial-exec -o "$output" "$@" \
        $sources -lcmocka
}

for compiler in gcc clang; do
    for level in -O0 -O2; do
        name="$compiler $level"
        tap_ok "$name builds" compile "$work/api" "$compiler" "$level" -- tests/unit/api.c
        tap_ok "$name, lock" timeout 60 "$work/api"
        tap_ok "$name, rtm under rtmgrind" \
            timeout --kill-after=5 200 out/bin/rtmgrind --quiet -- "$work/api"
        tap_ok "$name, scripted builds" compile "$work/fault" "$compiler" \
            "$level -DELISION_TX_SCRIPTED -DELISION_STEPS -fno-pie -no-pie" -- \
            tests/fault/fault.c tests/fault/script.c
        tap_ok "$name, scripted" timeout 100 "$work/fault"
        tap_ok "$name, none builds" compile "$work/none" "$compiler" "$level -DELISION_TX_NONE" -- \
            tests/unit/api.c
        tap_ok "$name, none" timeout 60 "$work/none"
        tap_has "$name, none, which it says" "$(timeout 60 "$work/none" 2>&1)" \
            "# backend 0: the library was compiled without transactions"
    done
done
tap_ok "none, where there is RTM" \
    timeout --kill-after=5 100 out/bin/rtmgrind --quiet -- "$work/none"

standalone() { # standalone NAME COMPILER...
    local name=$1
    shift
    # shellcheck disable=SC2086 # lists of words
    tap_ok "$name builds" "$@" -std=c11 $warnings -O2 -I. -pthread -ftls-model=initial-exec \
        -o "$work/alone" docs/embedding.c $sources
    tap_ok "$name, lock" timeout 60 "$work/alone" 4
    tap_has "$name, rtm under rtmgrind" \
        "$(timeout --kill-after=5 100 out/bin/rtmgrind --quiet -- "$work/alone" 4 2>&1)" ", elided"
}
standalone "gcc -static" gcc -static
standalone "gcc -flto" gcc -flto
if command -v musl-gcc >/dev/null; then
    # Of Valgrind's header and sys/sdt.h it knows nothing by itself.
    standalone "musl-gcc -static" musl-gcc -static -idirafter /usr/include
else
    tap_skip "musl-gcc -static" "no musl-gcc here (package musl-tools)"
fi

# Another architecture, run by an emulator of its instructions. Without -pthread, since that makes
# glibc declare more than -std=c11 promises. Neither sys/sdt.h nor Valgrind's header is found.
cross=aarch64-linux-gnu
cross_compile() { # cross_compile ARGUMENT...
    # shellcheck disable=SC2086 # lists of words
    $cross-gcc -std=c11 $warnings -O2 -I. "$@"
}
cross_refcount() {
    local source
    for source in refcount/*.c; do
        cross_compile -c -o "$work/cross.o" "$source" || return
    done
}
if echo '#include <stdio.h>' | $cross-gcc -E - >/dev/null 2>&1; then
    # shellcheck disable=SC2086 # a list of words
    tap_ok "$cross builds" cross_compile -o "$work/cross" docs/embedding.c $sources
    tap_ok "$cross builds refcount" cross_refcount
    if command -v qemu-aarch64 >/dev/null; then
        said=$(ELISION_SHOW=1 timeout 100 qemu-aarch64 -L /usr/$cross "$work/cross" 4 2>&1)
        tap_has "$cross, lock, emulated" "$said" "tally exact"
        tap_has "and says why by the lock" "$said" \
            "does not elide: this architecture has no backend for transactions; remedy: use an x86"
    else
        tap_skip "$cross, lock, emulated" "no qemu-aarch64 here (package qemu-user)"
    fi
else
    tap_skip "$cross builds" \
        "no compiler for it here (packages gcc-aarch64-linux-gnu, libc6-dev-arm64-cross)"
fi

# The library once for each sanitizer, for all its programs.
sanitized_library() {
    local source
    rm -rf "$work/library" "$work/library.a"
    mkdir "$work/library" || return
    for source in $sources; do
        # shellcheck disable=SC2086 # lists of words
        gcc -std=c11 $warnings $flags -I. -pthread -ftls-model=initial-exec -c \
            -o "$work/library/$(basename "$source" .c).o" "$source" || return
    done
    ar rcs "$work/library.a" "$work"/library/*.o
}
sanitized() { # sanitized NAME ARGUMENT... -- SOURCE...: builds a program and runs it
    local name=$1 arguments=()
    shift
    while [ "$1" != -- ]; do
        arguments+=("$1")
        shift
    done
    shift
    # shellcheck disable=SC2086 # lists of words
    tap_ok "$sanitizer, $name builds" gcc -std=c11 $warnings $flags $wrap -I. -pthread \
        -o "$work/$name" "$@" "$work/library.a" -lcmocka
    # Children of the tests start threads.
    tap_ok "$sanitizer, $name" env ELISION_BACKEND=none TSAN_OPTIONS=die_after_fork=0 timeout 200 \
        "$work/$name" ${arguments[@]+"${arguments[@]}"}
}
for sanitizer in thread address,undefined; do
    flags="-g -O1 -fsanitize=$sanitizer -fno-sanitize-recover=all"
    parts="api length lock misuse queue threads"
    if [ $sanitizer = thread ]; then
        # gcc warns that it does not model fences; the races they order are on atomics anyway.
        flags="$flags -Wno-error=tsan"
    else
        # Not with the thread sanitizer: a child of a process with several threads starts threads,
        # and it ends there ("dup thread with used id"), since it takes its parent's for alive.
        parts="$parts lifecycle"
    fi
    tap_ok "$sanitizer, library builds" sanitized_library
    for part in $parts; do
        wrap=
        [ "$part" = queue ] && wrap=$(sed -n 's/^QUEUE_WRAP = //p' tests/unit/build.mk)
        sanitized "$part" -- "tests/unit/$part.c"
    done
    wrap=
    sanitized torture --lock=elision --ops=4000 --moves -- tests/stress/stress.c tests/locks/kinds.c
done
tap_done
