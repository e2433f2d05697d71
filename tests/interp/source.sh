#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Getting CPython's source: what is wrong with a given archive or tree, or with apt, is said in one
# line with the remedy, and the system's own lists are never written. No network: apt is a fake.
set -u -o pipefail
. tests/tap.sh

scripts=interp/cpython-3.13
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
unset CPYTHON_SRC CPYTHON_TARBALL

# refused NAME PART COMMAND...: exit status 1 and one line of complaint with PART in it.
refused() {
    local name=$1 part=$2 output status
    shift 2
    output=$(env "$@" 2>&1)
    status=$?
    tap_has "$name" "$output" "$part"
    tap_is "$name: one line, exit status 1" \
        "$(grep -vc '^fetch: getting' <<<"$output"), $status" "1, 1"
}

echo "not an archive" >"$work/other.tar.xz"
refused "an archive that is not there" "no such file" \
    CPYTHON_TARBALL="$work/none" "$scripts/fetch.sh" "$work/a"
refused "an archive with another sum" "sha256 must be" \
    CPYTHON_TARBALL="$work/other.tar.xz" "$scripts/fetch.sh" "$work/a"
refused "a folder without CPython" "no CPython source tree" \
    CPYTHON_SRC="$work" "$scripts/source.sh" "$work/a" "$work/t"
mkdir -p "$work/changed/Include"
: >"$work/changed/Include/patchlevel.h"
refused "a tree that is not the release" "not an untouched 3.13.5 tree" \
    CPYTHON_SRC="$work/changed" "$scripts/source.sh" "$work/a" "$work/t"

# A copy of the script has no archive lying beside its checkout. The fake apt keeps what it is told.
mkdir -p "$work/bin" "$work/checkout/$scripts"
cp "$scripts/fetch.sh" "$work/checkout/$scripts"
cat >"$work/bin/apt-get" <<'FAKE'
#!/bin/sh
echo "$@" >>"$FAKE_LOG"
for argument in "$@"; do
    case $argument in
        Dir::Etc::SourceList=*) cat "${argument#*=}" >>"$FAKE_LOG" ;;
    esac
done
echo "$FAKE_SAYS"
exit 100
FAKE
chmod +x "$work/bin/apt-get"
export FAKE_LOG=$work/log
refused "an archive that apt does not reach" "CPYTHON_TARBALL=path" \
    PATH="$work/bin:$PATH" FAKE_SAYS='E: Failed to fetch' "$work/checkout/$scripts/fetch.sh" \
    "$work/b"
refused "apt's reason is passed on" "Failed to fetch" \
    PATH="$work/bin:$PATH" FAKE_SAYS='E: Failed to fetch' "$work/checkout/$scripts/fetch.sh" \
    "$work/b"
refused "a keyring without the release's key" "apt-get install debian-archive-keyring" \
    PATH="$work/bin:$PATH" FAKE_SAYS='W: GPG error: NO_PUBKEY 0' \
    "$work/checkout/$scripts/fetch.sh" "$work/b"
log=$(cat "$FAKE_LOG")
tap_has "apt is pointed at sources of our own" "$log" "Dir::Etc::SourceParts=/dev/null"
tap_has "apt's lists and cache lie below the destination" "$log" "Dir::State=$work/apt/state"
tap_has "the system's hooks are not run" "$log" "-c $work/apt/apt.conf"
printf 'APT::Update::Post-Invoke {"touch %s";};\n' "$work/hook" >"$work/system.conf"
tap_is "they are in no configuration that is left" \
    "$(APT_CONFIG=$work/system.conf apt-config -c "$work/apt/apt.conf" dump |
        grep -c '^APT::Update::.*Invoke.*:: ')" 0
tap_ok "and they would be" grep -q '^APT::Update::Post-Invoke:: "touch' \
    <(APT_CONFIG=$work/system.conf apt-config dump)
tap_has "the sources are the release's, as source packages" "$log" " trixie main"
tap_is "and nothing else" "$(grep -c '^deb ' "$FAKE_LOG")" 0

tap_done
