#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs the Debian packages that are missing: setup.sh STAMP PACKAGE...
# Silent, quick and without the network when none is. STAMP is rewritten only when packages were
# installed, which makes `make` read its fragments again. SETUP=0 installs nothing and only makes
# sure that there is a compiler. Exit status: 0 ready, 1 not ready (one line says what to do).
set -u -o pipefail

stamp=$1
shift
log=${stamp%.mk}.log

die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

finish() {
    mkdir -p "$(dirname "$stamp")" || die "cannot write $(dirname "$stamp"): check its permissions"
    if [ "$1" = changed ] || [ ! -e "$stamp" ]; then
        printf '# Packages were complete when this file was written.\n' >"$stamp"
    fi
    exit 0
}

if [ "${SETUP:-1}" = 0 ]; then
    # CC and CXX may carry flags: the first word is the command.
    for tool in "${CC%% *}" "${CXX%% *}" perl; do
        command -v "$tool" >/dev/null ||
            die "no '$tool' here and SETUP=0: install it, or run make without SETUP=0"
    done
    finish same
fi

command -v dpkg-query >/dev/null ||
    die "not a Debian system: install the counterparts of '$*' yourself, then use make SETUP=0"

present=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
    sed -n 's/^installed //p')
missing=()
for package in "$@"; do
    case $'\n'$present$'\n' in
        *$'\n'"$package"$'\n'*) ;;
        *) missing+=("$package") ;;
    esac
done
[ ${#missing[@]} -eq 0 ] && finish same

root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
        die "missing packages and neither root nor sudo; as root: apt-get install ${missing[*]}"
    root=(sudo)
    # Without a terminal sudo must not wait for a password.
    [ -t 0 ] || root=(sudo -n)
    "${root[@]}" true 2>/dev/null ||
        die "missing packages and sudo refuses; as root: apt-get install ${missing[*]}"
fi

printf 'setup: building and testing need %s; installing with apt (SETUP=0 skips this)\n' \
    "${missing[*]}" >&2
mkdir -p "$(dirname "$stamp")" || die "cannot write $(dirname "$stamp"): check its permissions"

apt() {
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 \
        -o Acquire::Retries=2 "$@" </dev/null >>"$log" 2>&1
}

install_missing() {
    apt install --no-install-recommends "${missing[@]}"
}

: >"$log"
# A fresh machine has empty package lists, an old one stale lists that name deleted files: either
# way one update and a second try. An update that fails for one source may still do for ours.
if ! install_missing; then
    apt update
    if ! install_missing; then
        reason=$(sed -n 's/^E: //p' "$log" | tail -n 1)
        die "apt could not install ${missing[*]} (${reason:-see $log}):" \
            "check network and package sources, then run make again; log in $log"
    fi
fi
finish changed
