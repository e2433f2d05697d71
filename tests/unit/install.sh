#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What `make install` gives a user: files, pkg-config, soname, symbol versions, a header that stands
# alone in C and C++, examples that compile and run, a command that answers.
set -u
. tests/tap.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
prefix=/opt/elision

tap_ok "make install" make -s --no-print-directory SETUP=0 install DESTDIR="$root" \
    PREFIX="$prefix"
files=$(cd "$root$prefix" && find . -type f -printf '%P\n' | LC_ALL=C sort | xargs)
tap_is "its files" "$files" "bin/elision include/elision/elision.h include/refcount/coalesce.h \
include/refcount/refcount.h lib/libelision-refcount.a lib/libelision.a lib/libelision.so.0.1.0 \
lib/pkgconfig/elision.pc share/man/man1/elision.1 share/man/man3/elision.3"
lib=$root$prefix/lib
export PKG_CONFIG_PATH=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root LD_LIBRARY_PATH=$lib

tap_is "pkg-config knows the version" "$(pkg-config --modversion elision)" 0.1.0
tap_is "soname" "$(objdump -p "$lib/libelision.so" | awk '$1 == "SONAME" { print $2 }')" \
    libelision.so.0
exported=$(nm -D --defined-only "$lib/libelision.so" | awk '$2 != "A" { print $3 }' | sort)
tap_is "only elision_ names are exported, all with a version" \
    "$(printf '%s\n' "$exported" | grep -v '^elision_.*@@ELISION_0\.1$')" ""
declared=$(grep -o '\belision_[a-z_]*(' elision/elision.h | tr -d '(' | sort -u)
missing=$(for name in $declared; do
    printf '%s\n' "$exported" | grep -q "^$name@" || echo "$name"
done | grep -v -e '^elision_lock_t$' || true)
tap_is "every declared function is exported" "$missing" ""
writable_got=$(readelf -d "$lib/libelision.so" | grep -c -e 'BIND_NOW' -e 'Flags: NOW')
tap_ok "the library binds at load" test "$writable_got" -gt 0
tap_is "static probes are in the library's notes" \
    "$(readelf -n "$lib/libelision.so" 2>/dev/null | grep -A 1 'Provider: elision$' |
        awk '$1 == "Name:" { print $2 }' | sort -u | xargs)" "abort fallback giveup reprobe"
tap_is "no call for a TLS address" "$(nm -D "$lib/libelision.so" | grep -c tls_get_addr)" 0

# A thread that has used the library ends after the last dlclose.
cat >"$work/close.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elision/elision.h>
#include <pthread.h>
static elision_lock_t lock = ELISION_LOCK_INIT;
static elision_site_t site = ELISION_SITE_INIT("close");
static pthread_barrier_t used, closed;
static void *library;
static void *
use(void *unused)
{
    enum elision_path (*enter)(elision_lock_t *, elision_site_t *) =
        (enum elision_path(*)(elision_lock_t *, elision_site_t *))dlsym(library, "elision_enter");
    void (*leave)(elision_lock_t *) = (void (*)(elision_lock_t *))dlsym(library, "elision_leave");
    enter(&lock, &site);
    leave(&lock);
    pthread_barrier_wait(&used);
    pthread_barrier_wait(&closed);
    return unused;
}
int
main(int argc, char **argv)
{
    pthread_t thread;
    library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (library == NULL) {
        return 2;
    }
    pthread_barrier_init(&used, NULL, 2);
    pthread_barrier_init(&closed, NULL, 2);
    pthread_create(&thread, NULL, use, NULL);
    pthread_barrier_wait(&used);
    dlclose(library);
    pthread_barrier_wait(&closed);
    return pthread_join(thread, NULL);
}
END
# shellcheck disable=SC2046 # the flags are words
tap_ok "a program that loads it at run time" gcc -std=c11 -pthread \
    $(pkg-config --cflags elision) "$work/close.c" -o "$work/close"
tap_ok "its thread ends after dlclose" "$work/close" "$lib/libelision.so"
tap_ok "a shared object with the static library in it" gcc -shared -pthread -Wl,-z,nodelete \
    -Wl,--whole-archive "$lib/libelision.a" -Wl,--no-whole-archive -o "$work/object.so"
tap_ok "the same, as the header has it linked" "$work/close" "$work/object.so"

cat >"$work/example.c" <<'END'
#include <elision/elision.h>
#include <stdio.h>
static elision_lock_t lock = ELISION_LOCK_INIT;
static elision_site_t site = ELISION_SITE_INIT("deposit");
int
main(void)
{
    long balance = 0;
    for (int i = 0; i < 1000; i++) {
        elision_enter(&lock, &site);
        balance += 2;
        elision_leave(&lock);
    }
    printf("%ld\n", balance);
    return 0;
}
END
# shellcheck disable=SC2046 # the flags are words
build() {
    "$1" "${@:2}" -Wall -Wextra -Werror "$work/example.c" -o "$work/example" \
        $(pkg-config --cflags --libs elision)
}
for compiler in gcc clang; do
    tap_ok "example, $compiler" build "$compiler" -std=c11
    tap_is "its answer, $compiler" "$("$work/example")" 2000
done
tap_ok "example, as C++" build g++ -x c++ -std=c++17
# shellcheck disable=SC2086 # the compiler and its language are words
alone() { # alone HEADER COMPILER
    echo "#include <$1>" |
        $2 -pedantic -Wall -Wextra -Werror -I "$root$prefix/include" -fsyntax-only -
}
for header in $(cd "$root$prefix/include" && find . -name '*.h' -printf '%P\n'); do
    for language in "gcc -std=c11 -x c" "g++ -std=c++11 -x c++"; do
        tap_ok "$header alone, pedantic, $language" alone "$header" "$language"
    done
done
# shellcheck disable=SC2046 # the flags are words
tap_ok "example, linked statically" gcc -static "$work/example.c" -o "$work/static" \
    $(pkg-config --static --cflags --libs elision)
tap_is "its answer, linked statically" "$("$work/static")" 2000

# The examples as the documents have them: the header's first comment, the manual's EXAMPLES with
# the declarations of its SYNOPSIS. What they leave out, a balance and an amount, is added.
from_header() {
    sed -n '/^ \*     static elision_lock_t/,/^ \*     elision_leave/s/^ \* *//p' \
        elision/elision.h
}
from_manual() {
    sed -n 's/^\.B \(elision_[a-z]*_t .*;\)$/static \1/p' elision/man/elision.3
    sed -n '/^\.SH EXAMPLES/,/^\.SH SEE/{/^elision_\|^balance/p}' elision/man/elision.3
}
for document in header manual; do
    {
        echo '#include <elision/elision.h>'
        "from_$document" | grep '^static'
        echo 'int main(void) { long balance = 0, amount = 42;'
        "from_$document" | grep -v '^static'
        echo 'return balance == 42 ? 0 : 1; }'
    } >"$work/example.c"
    tap_is "the $document's example has an enter and a leave" \
        "$(grep -c 'elision_enter\|elision_leave' "$work/example.c")" 2
    tap_ok "it compiles" build gcc -std=c11
    tap_ok "and runs" "$work/example"
done

command=$root$prefix/bin/elision
"$command" probe >"$work/probe" 2>&1
tap_ok "elision probe answers with 0 or 1" test $? -le 1
tap_ok "and says why" grep -q elide "$work/probe"
"$command" nonsense >/dev/null 2>&1
tap_is "bad usage" $? 2
"$command" report /dev/null >/dev/null 2>&1
tap_is "report of what is none" $? 3
"$command" run --policy=nonsense true >/dev/null 2>&1
tap_is "run with a policy that is none" $? 2
sed -i 's/SITE_INIT("[a-z]*")/SITE_INIT("say \\"a\\\\b\\"")/' "$work/example.c"
tap_ok "a site whose name has quotes" build gcc -std=c11
"$command" run --output="$work/report" --json "$work/example" >/dev/null 2>&1
tap_is "run has the program's status" $? 0
tap_is "report reads what run wrote: a section, by site and in total" \
    "$("$command" report "$work/report" | awk '$(NF - 1) == 1 { NF -= 4; print }')" \
    'say "a\b"'$'\n'total
head -c 300 "$work/report" >"$work/half"
"$command" report "$work/half" >/dev/null 2>&1
tap_is "half a report is none" $? 3
cp "$command" "$work/setuid"
set_uid() { chown nobody "$work/setuid" && chmod u+s "$work/setuid"; }
case $(id -u),$(findmnt -no OPTIONS -T "$work" 2>/dev/null) in
    0,*nosuid*) tap_skip "a set-uid program ignores all knobs" "$work is on a nosuid file system" ;;
    0,*)
        tap_ok "made set-uid" set_uid
        tap_is "a set-uid program ignores all knobs" \
            "$(ELISION_SHOW=1 ELISION_TRIES=three ELISION_TRYS=3 "$work/setuid" --version 2>&1)" \
            "$("$command" --version)"
        ;;
    *) tap_skip "a set-uid program ignores all knobs" "only root can make one of another user" ;;
esac
if command -v man >/dev/null; then
    pages="elision/man/elision.1 elision/man/elision.3"
    # shellcheck disable=SC2086 # two words
    tap_is "man pages have no errors" "$(man --warnings -E UTF-8 -l $pages 2>&1 >/dev/null)" ""
else
    tap_skip "man pages have no errors" "no man command here"
fi
tap_done
