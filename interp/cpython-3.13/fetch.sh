#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Puts the CPython source archive this patch series is for at DEST: fetch.sh DEST
#
# In this order, the first that gives the right sum:
#   DEST itself, CPYTHON_TARBALL=file, the distribution's source package, and a copy of the archive
#   lying next to this checkout.
# The source package is asked for through an apt configuration of its own, below DEST's folder, made
# from the system's sources: the system's files and lists are read, never written.
# Exit status: 0 DEST is right, 1 no source gave it (one line says what to do), 2 bad usage.
set -u -o pipefail

package=python3.13
suite=trixie
archive=python3.13_3.13.5.orig.tar.xz
sum=93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640

die() {
    printf 'fetch: %s\n' "$*" >&2
    exit 1
}

[ $# -eq 1 ] || {
    echo "usage: fetch.sh DEST" >&2
    exit 2
}
dest=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 1
root=${here%/*/*}

sum_is_right() {
    [ -f "$1" ] && [ "$(sha256sum <"$1")" = "$sum  -" ]
}

# take FILE: copies a right archive to DEST and ends the script.
take() {
    if [ "$1" != "$dest" ]; then
        if ! cp -- "$1" "$dest.part" || ! mv -- "$dest.part" "$dest"; then
            die "cannot write $dest: check space and permissions"
        fi
    fi
    exit 0
}

mkdir -p "$(dirname "$dest")" || die "cannot write $(dirname "$dest"): check its permissions"
sum_is_right "$dest" && take "$dest"
rm -f -- "$dest"

if [ -n "${CPYTHON_TARBALL-}" ]; then
    [ -f "$CPYTHON_TARBALL" ] || die "CPYTHON_TARBALL=$CPYTHON_TARBALL: no such file"
    sum_is_right "$CPYTHON_TARBALL" ||
        die "CPYTHON_TARBALL=$CPYTHON_TARBALL is not $archive (sha256 must be $sum)"
    take "$CPYTHON_TARBALL"
fi

# --- The distribution's source package ------------------------------------------------------------
apt_dir=$(dirname "$dest")/apt
apt_log=$apt_dir/log
why=

# Prints the source lines for $suite: each archive the system uses for its own release, with the
# suite and the kind replaced. Updates, security and third-party sources have other suite names.
derive_sources() {
    local codename
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME-}")
    # shellcheck disable=SC2046 # the word splitting is wanted: no file name there has spaces
    awk -v codename="$codename" -v suite="$suite" '
        function wanted(name) {
            return name == codename || name == "stable" || name == "testing" || name == suite
        }
        function emit(options, uri) {
            if (!((options, uri) in seen)) {
                seen[options, uri] = 1
                print "deb-src " (options == "" ? "" : "[" options "] ") uri " " suite " main"
            }
        }
        function flush_stanza(    i, n, words, use, keyring) {
            n = split(suites, words, /[ \t]+/)
            for (i = 1; i <= n; i++) use = use || wanted(words[i])
            # A key may also stand in the stanza itself; only a path fits on one line.
            keyring = (signed ~ /^\//) ? "signed-by=" signed : ""
            if (use && enabled !~ /^(no|false|0)$/) {
                n = split(uris, words, /[ \t]+/)
                for (i = 1; i <= n; i++) if (words[i] != "") emit(keyring, words[i])
            }
            suites = uris = signed = enabled = field = ""
        }
        FNR == 1 { flush_stanza() }
        /^[ \t]*#/ { next }
        FILENAME ~ /\.sources$/ {
            if ($0 ~ /^[ \t]*$/) { flush_stanza(); next }
            value = $0
            if ($0 ~ /^[^ \t:]+:/) {
                field = tolower($0)
                sub(/:.*/, "", field)
                sub(/^[^:]*:[ \t]*/, "", value)
            }
            sub(/[ \t]+$/, "", value)
            if (field == "suites") suites = suites " " value
            if (field == "uris") uris = uris " " value
            if (field == "signed-by") signed = (signed == "") ? value : signed
            if (field == "enabled") enabled = tolower(value)
            next
        }
        $1 == "deb" || $1 == "deb-src" {
            options = ""
            line = $0
            if (match(line, /\[[^]]*\]/)) {
                options = substr(line, RSTART + 1, RLENGTH - 2)
                line = substr(line, 1, RSTART - 1) substr(line, RSTART + RLENGTH)
            }
            split(line, words, /[ \t]+/)
            if (!wanted(words[3])) next
            keyring = ""
            if (match(options, /signed-by=[^ ]+/)) keyring = substr(options, RSTART, RLENGTH)
            emit(keyring, words[2])
        }
        END { flush_stanza() }
    ' $(ls /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources \
        2>/dev/null) /dev/null
}

# The system's hooks clean its cache and write catalogues: not for lists of our own.
own_apt() {
    "$1" -q -y -c "$apt_dir/apt.conf" -o Dir::Etc::SourceList="$apt_dir/sources.list" \
        -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$apt_dir/state" -o Dir::State::status=/var/lib/dpkg/status \
        -o Dir::Cache="$apt_dir/cache" -o APT::Get::List-Cleanup=0 -o Acquire::Languages=none \
        -o Acquire::Retries=2 -o APT::Sandbox::User= "${@:2}" </dev/null >>"$apt_log" 2>&1
}

from_package() {
    command -v apt-get >/dev/null || { why="no apt-get here"; return 1; }
    rm -rf -- "$apt_dir"
    mkdir -p "$apt_dir"/state/lists/partial "$apt_dir"/cache/archives/partial "$apt_dir"/source ||
        die "cannot write $apt_dir: check its permissions"
    : >"$apt_log"
    printf '#clear APT::Update::%s;\n' Pre-Invoke Post-Invoke Post-Invoke-Success \
        >"$apt_dir/apt.conf"
    apt_dir=$(cd "$apt_dir" && pwd)
    apt_log=$apt_dir/log
    derive_sources >"$apt_dir/sources.list"
    [ -s "$apt_dir/sources.list" ] ||
        { why="no source in /etc/apt serves this system's own release"; return 1; }
    own_apt apt-get update
    if grep -q NO_PUBKEY "$apt_log"; then
        why="the keyring lacks $suite's key (apt-get install debian-archive-keyring brings it)"
        return 1
    fi
    (cd "$apt_dir/source" && own_apt apt-get source --download-only --only-source "$package")
    sum_is_right "$apt_dir/source/$archive" && return 0
    if [ -e "$apt_dir/source/$archive" ]; then
        why="the archive served a $archive with another sha256"
    else
        why=$(sed -n 's/^[EW]: //p' "$apt_log" | tail -n 1)
        why="apt did not get the source package $package of $suite (${why:-see $apt_log})"
    fi
    return 1
}

echo "fetch: getting CPython's source package ($package, $suite) with apt" >&2
if from_package; then
    mv -- "$apt_dir/source/$archive" "$dest" || die "cannot write $dest: check its permissions"
    rm -rf -- "$apt_dir"
    exit 0
fi

# A copy lying beside the checkout serves machines that reach no archive.
for copy in "$root/../$archive" "$root"/../*/"$archive"; do
    sum_is_right "$copy" && take "$copy"
done
die "$why; give the source yourself: make CPYTHON_TARBALL=path/to/$archive"
