# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# TAP for shell tests; source it, make points, end with tap_done:
#
#   . tests/tap.sh
#   tap_is "answer" "$(compute)" 42
#   tap_ok "file is there" test -e file
#   tap_done

tap_count=0
tap_bad=0

tap_pass() {
    tap_count=$((tap_count + 1))
    printf 'ok %d - %s\n' "$tap_count" "$1"
}

# tap_fail NAME [DETAIL]: the detail is shown as diagnostics.
tap_fail() {
    tap_count=$((tap_count + 1))
    tap_bad=$((tap_bad + 1))
    printf 'not ok %d - %s\n' "$tap_count" "$1"
    [ -z "${2-}" ] || printf '%s\n' "$2" | sed 's/^/# /'
}

tap_skip() {
    tap_count=$((tap_count + 1))
    printf 'ok %d - %s # SKIP %s\n' "$tap_count" "$1" "$2"
}

# tap_ok NAME COMMAND...: passes when the command does; what it printed is shown when it does not.
tap_ok() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        tap_pass "$name"
    else
        tap_fail "$name" "$output"
    fi
}

# tap_is NAME GOT WANTED
tap_is() {
    if [ "$2" = "$3" ]; then
        tap_pass "$1"
    else
        tap_fail "$1" "got:    $2"$'\n'"wanted: $3"
    fi
}

# tap_has NAME TEXT PART
tap_has() {
    case $2 in
        *"$3"*) tap_pass "$1" ;;
        *) tap_fail "$1" "no '$3' in:"$'\n'"$2" ;;
    esac
}

# Prints the plan and ends the script; the status is 1 when any point failed.
tap_done() {
    printf '1..%d\n' "$tap_count"
    [ "$tap_bad" -eq 0 ]
    exit
}

# tap_skip_all REASON: the whole file is skipped.
tap_skip_all() {
    printf '1..0 # SKIP %s\n' "$1"
    exit 0
}
