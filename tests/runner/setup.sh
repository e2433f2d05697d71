#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Setting up, against fakes of dpkg-query, apt-get and sudo: what is missing is installed, nothing
# else is done, and each failure is one line with a remedy.
set -u
. tests/tap.sh

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/bin"

fake() {
    printf '#!/bin/bash\n%s\n' "$2" >"$dir/bin/$1"
    chmod +x "$dir/bin/$1"
}

# Installed packages are the lines of $dir/installed; apt-get fails while $dir/stale exists, and
# `update` removes that unless the network is down.
fake dpkg-query "shift 2; for p; do grep -qx \$p $dir/installed && echo installed \$p; done"
fake apt-get "echo \"apt-get \$*\" >>$dir/calls
for a; do last=\$a; done
case \" \$* \" in
    *' update '*) [ -e $dir/down ] || rm -f $dir/stale ;;
    *)
        if [ -e $dir/stale ]; then echo 'E: no candidate'; exit 100; fi
        echo \$last >>$dir/installed
        ;;
esac"
fake id "cat $dir/uid"
fake sudo "[ -e $dir/nosudo ] && exit 1
[ \"\$1\" = -n ] && shift
echo \"sudo \$*\" >>$dir/calls
exec \"\$@\""

setup() {
    : >"$dir/calls"
    output=$(PATH=$dir/bin:$PATH CC=gcc CXX=g++ SETUP=${SETUP_VALUE-} \
        tools/setup.sh "$dir/setup.mk" "$@" 2>&1 </dev/null)
    status=$?
    calls=$(cat "$dir/calls")
}

echo 0 >"$dir/uid"
echo present >"$dir/installed"

setup present
tap_is "nothing missing: silent" "$status:$output:$calls" "0::"
tap_ok "the stamp is written" test -e "$dir/setup.mk"
touch -d 2001-01-01 "$dir/setup.mk"
setup present
tap_is "the stamp is left alone" "$(stat -c %Y "$dir/setup.mk")" "$(date -d 2001-01-01 +%s)"

setup present absent
tap_is "missing as root" "$status" 0
tap_has "says what" "$output" "absent"
tap_has "says how to skip" "$output" "SETUP=0"
tap_is "one line" "$(wc -l <<<"$output")" 1
tap_is "one call" "$(wc -l <<<"$calls")" 1
tap_ok "the stamp is renewed" test "$(stat -c %Y "$dir/setup.mk")" != "$(date -d 2001-01-01 +%s)"

echo present >"$dir/installed"
touch "$dir/stale"
setup absent
tap_is "empty or stale lists: updated, tried again" "$status:$(wc -l <<<"$calls")" "0:3"

echo present >"$dir/installed"
touch "$dir/stale" "$dir/down"
setup absent
tap_is "no archive: fails" "$status" 1
tap_has "no archive: apt's reason" "$output" "no candidate"
tap_has "no archive: remedy" "$output" "run make again"
rm "$dir/stale" "$dir/down"

echo 1000 >"$dir/uid"
setup absent
tap_has "through sudo" "$status:$calls" "0:sudo true"
echo present >"$dir/installed"
touch "$dir/nosudo"
setup absent
tap_is "sudo refuses" "$status:$calls" "1:"
tap_has "sudo refuses: remedy" "$output" "as root: apt-get install absent"

SETUP_VALUE=0 setup absent
tap_is "SETUP=0 installs nothing" "$status:$output:$calls" "0::"
output=$(CC=no-such-cc CXX=g++ SETUP=0 tools/setup.sh "$dir/setup.mk" 2>&1)
tap_has "SETUP=0 without a compiler" "$?:$output" "1:setup: no 'no-such-cc' here"
tap_done
