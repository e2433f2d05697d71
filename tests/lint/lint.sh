#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# lint.sh [--root DIR] [CHECK...]: the rules of this house that a program can check, as TAP.
# Every file that git tracks or would track is read; without git, every file outside out/.
# CC, CXX and OUT are taken from the environment. Checks: see `checks` below, and `warnings`.
set -u -o pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/tap.sh
. "$here/../tap.sh"

checks="format text spdx layers intrinsics headers cxx words sizes shell readme"
root=.
if [ "${1-}" = --root ]; then
    root=${2:?--root needs a folder}
    shift 2
fi
[ $# -eq 0 ] || checks=$*
cd "$root" || exit 2
CC=${CC:-gcc}
CXX=${CXX:-g++}
OUT=${OUT:-out}
WARN=(-Wall -Wextra -Wundef -Wshadow -Wswitch-enum -Werror)
CWARN=(-Wstrict-prototypes -Wmissing-prototypes)

if [ -e .git ] && command -v git >/dev/null; then
    mapfile -t files < <(git ls-files -co --exclude-standard | sort -u)
else
    mapfile -t files < <(find . -path ./out -prune -o -type f -printf '%P\n' | sort)
fi
existing=()
for file in "${files[@]}"; do
    [ -f "$file" ] && existing+=("$file")
done
files=(${existing[@]+"${existing[@]}"})

# select_files PATTERN: those whose path matches the extended regular expression.
select_files() {
    [ ${#files[@]} -eq 0 ] || printf '%s\n' "${files[@]}" | grep -E "$1"
}

need() {
    command -v "$1" >/dev/null && return 0
    echo "no $1 here: install it, or run make lint without SETUP=0"
    return 1
}

# Each check prints what is wrong, one line each; its title is what holds when it prints nothing.
declare -A title

C_FILES='\.(c|h|cc)$'
TEXT='(\.(c|h|cc|sh|mk|py|S|awk|supp|def|txt)|(^|/)(Makefile|\.clang-format|\.gitignore|run))$'
ASSEMBLY='\b(__asm__|__asm|asm)\b *(volatile|__volatile__|goto)? *\('
LICENCE_TEXT='(^|/)(COPYING|LICENSE)$'

title[format]="C is laid out by .clang-format (make format)"
check_format() {
    need clang-format || return 0
    select_files "$C_FILES" | xargs -r clang-format --dry-run -Werror 2>&1 |
        awk -F: '/: error:/ { places[$1]++ }
            END { for (file in places) print file ": " places[file] " places" }'
}

title[text]="lines fit 100 columns and end cleanly"
check_text() {
    select_files "$TEXT" | xargs -r awk '
        FNR == 1 { tabs_fine = FILENAME ~ /(\.mk|Makefile|\.txt|\.gitignore)$/ }
        length($0) > 100 { print FILENAME ":" FNR ": longer than 100 columns" }
        /[ \t]$/ { print FILENAME ":" FNR ": trailing space" }
        /\r/ { print FILENAME ":" FNR ": carriage return" }
        /\t/ && !tabs_fine { print FILENAME ":" FNR ": tab" }'
}

# The identifier a file must carry, by its path.
title[spdx]="every file names its licence"
check_spdx() {
    local file wanted
    select_files "$TEXT" | grep -vE '\.gitignore$|\.txt$' | while read -r file; do
        case $file in
            rtmgrind/rtmgrind.h) wanted=MIT ;;
            rtmgrind/*) wanted=GPL-2.0-or-later ;;
            interp/cpython-*/*) wanted='(PSF-2.0|MIT)' ;;
            *) wanted=MIT ;;
        esac
        head -n 5 "$file" | grep -qE "SPDX-License-Identifier: $wanted( |\$)" ||
            echo "$file: no 'SPDX-License-Identifier: $wanted' in its first five lines"
    done
}

title[layers]="includes run one way (docs/layers.txt)"
check_layers() {
    select_files "$C_FILES" | xargs -r awk '
        FILENAME ~ /layers\.txt$/ {
            if ($0 ~ /^#/ || !NF) next
            known[$1] = 1
            for (i = 2; i <= NF; i++) may[$1, $i] = 1
            next
        }
        FNR == 1 { split(FILENAME, part, "/"); folder = part[1] }
        /^[ \t]*#[ \t]*include/ {
            where = FILENAME ":" FNR ": "
            target = $0
            sub(/^[ \t]*#[ \t]*include[ \t]*[<"]/, "", target)
            sub(/[>"].*/, "", target)
            if (target ~ /^(Python\.h|pycore_)/ && FILENAME !~ /^(tests\/)?interp\//)
                print where "Python.h outside interp/"
            split(target, part, "/")
            other = part[1]
            if (index(target, "/") == 0 || !(other in known)) next
            if (!(folder in known)) { print where folder "/ is not in docs/layers.txt"; next }
            if (folder == other || target == "rtmgrind/rtmgrind.h") next
            if (!((folder, other) in may) && !((folder, "*") in may))
                print where folder "/ may not include " other "/"
            else if (target ~ /_priv\.h$/ && folder != "tests")
                print where target " is private to " other "/"
        }' "$here/../../docs/layers.txt"
}

# Tests break rules on purpose: known-bad locks are made of bare transactions.
title[intrinsics]="assembly and RTM intrinsics stay in the transaction backends"
check_intrinsics() {
    select_files "$C_FILES" | grep -vE '^(elision/tx[a-z_]*\.[ch]|rtmgrind/.*|tests/.*)$' |
        xargs -r grep -nE "(immin|x86in|rtmin)trin\.h|$ASSEMBLY|_x(begin|end|abort|test) *\("
}

# The flags a file needs besides -I. ; Valgrind's tool headers want to know the platform.
flags_of() {
    case $1 in
        rtmgrind/tests/peer_libitm.c) echo "-fgnu-tm" ;;
        rtmgrind/rtmgrind.h | rtmgrind/tests/*) ;;
        rtmgrind/*)
            echo "-isystem /usr/include/valgrind -DVGA_amd64=1 -DVGO_linux=1 -DVGP_amd64_linux=1" \
                "-DVGPV_amd64_linux_vanilla=1 -Wno-switch-enum" # VEX's enums have many values
            ;;
        tests/fault/*) echo "-DELISION_TX_SCRIPTED -DELISION_STEPS" ;;
        tests/stress/*) echo "-DELISION_STEPS" ;;
    esac
}

compile() {
    local file=$1
    shift
    # shellcheck disable=SC2046  # flags are words
    "$@" -I. $(flags_of "$file") "$file" 2>&1 | grep -E 'error|warning' | head -n 3
}

# Headers and sources for the interpreter are compiled as part of it.
title[headers]="every header compiles alone in C11"
check_headers() {
    local file
    select_files '\.h$' | grep -vE '^(tests/)?interp/' | while read -r file; do
        compile "$file" "$CC" -std=c11 "${WARN[@]}" "${CWARN[@]}" -fsyntax-only -x c
    done
}

title[cxx]="public headers compile in C++11"
check_cxx() {
    local file
    select_files '^(elision/elision|rtmgrind/rtmgrind|probes/probes|refcount/refcount)\.h$' |
        while read -r file; do
            compile "$file" "$CXX" -std=c++11 -Wall -Wextra -Werror -fsyntax-only -x c++
        done
}

title[warnings]="no source draws a warning"
check_warnings() {
    local file
    select_files '\.c$' | grep -vE '^(tests/)?interp/' | while read -r file; do
        compile "$file" "$CC" -std=c11 -O2 "${WARN[@]}" "${CWARN[@]}" -fPIC -c -o /dev/null
    done
}

title[words]="no left-overs, machine paths, or words about development"
check_words() {
    local pattern what
    grep -vE '^(#|$)' "$here/words.txt" | while IFS=$'\t' read -r pattern what; do
        select_files '.' | grep -vE "^tests/lint/|$LICENCE_TEXT" |
            if [ "$what" = "a left-over" ]; then grep -vE '\.(patch|md)$'; else cat; fi |
            xargs -r grep -nIE -- "$pattern" | sed "s|^\(.\{1,140\}\).*|\1  ($what)|"
    done
}

# limit[PATH NAME]: the exceptions.
declare -A limit
while read -r path name lines _; do
    [ "$path" = '#' ] || limit[$path $name]=$lines
done <"$here/limits.txt"

title[sizes]="files stay under 500 lines and functions under 60"
check_sizes() {
    need ctags || return 0
    local file count begin end name
    select_files '\.(c|h|cc|py|sh)$' | xargs -r wc -l | while read -r count file; do
        [ "$file" = total ] && continue
        [ "$count" -le "${limit[$file *]:-500}" ] || echo "$file: $count lines"
    done
    # Without -I ctags takes _Alignas for a function's name.
    select_files '\.(c|h)$' |
        xargs -r ctags -x -I _Alignas+ --kinds-C=f --fields=+ne \
            --_xformat='%n %{end} %N %F' 2>/dev/null |
        while read -r begin end name file; do
            count=$((end - begin + 1))
            [ "$count" -le "${limit[$file $name]:-60}" ] ||
                echo "$file:$begin: $name has $count lines"
        done
}

title[shell]="shellcheck finds nothing"
check_shell() {
    need shellcheck || return 0
    select_files '(\.sh|^\.ci/run)$' | xargs -r shellcheck -x -S warning -f gcc
}

title[readme]="every folder has a README of at most 30 lines"
check_readme() {
    local folder lines
    select_files '/' | cut -d/ -f1 | grep -v '^\.' | sort -u | while read -r folder; do
        case $folder in docs | tools) continue ;; esac
        if [ ! -f "$folder/README.md" ]; then
            echo "$folder: no README.md"
        else
            lines=$(wc -l <"$folder/README.md")
            [ "$lines" -le "${limit[$folder/README.md *]:-30}" ] ||
                echo "$folder/README.md: $lines lines, 30 at most"
        fi
    done
}

for check in $checks; do
    if ! declare -F "check_$check" >/dev/null; then
        echo "lint.sh: unknown check '$check'" >&2
        exit 2
    fi
    wrong=$("check_$check")
    if [ -z "$wrong" ]; then
        tap_pass "${title[$check]}"
    else
        tap_fail "${title[$check]}" "$wrong"
    fi
done
tap_done
