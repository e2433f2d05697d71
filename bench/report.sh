#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# report.sh DIR: from the JSON files in DIR, report.md and, by gnuplot, the plots that it shows.
# Exit status: 0, or 2 with a line that says what could not be made.
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/common.sh" bench

dir=$1

scratch=$(mktemp -d) || die "cannot make a temporary folder"
trap 'rm -rf "$scratch"' EXIT

# plot KIND NAME: DIR/NAME-KIND.svg and a line of Markdown, where there is data for it.
plot() {
    local kind=$1 name=$2 file=$dir/$2-$1.svg
    jq -r -L "$here" --arg plot "$name" -f "$here/plots.jq" "$dir/$kind.json" >"$scratch/script" ||
        die "cannot read what is to be plotted from $dir/$kind.json"
    [ -s "$scratch/script" ] || return 0
    gnuplot "$scratch/script" >"$scratch/svg" 2>"$scratch/error" && [ -s "$scratch/svg" ] ||
        die "gnuplot does not plot $name: $(tail -n 1 "$scratch/error")"
    mv "$scratch/svg" "$file"
    printf '\n![%s, %s](%s)\n' "$name" "$kind" "${file##*/}"
}

{
    echo "# Benchmarks"
    echo
    echo "Made by \`make bench\`, suites of \`bench/README.md\`. Losing rows are left in."
    for kind in hardware native emulated; do
        [ -e "$dir/$kind.json" ] || continue
        jq -r -L "$here" -f "$here/report.jq" "$dir/$kind.json" || die "cannot read $dir/$kind.json"
        if ! command -v gnuplot >/dev/null; then
            printf '\nNo plots: gnuplot is not installed.\n'
            continue
        fi
        for name in speed-up transactions aborts policy refcount capacity interp; do
            plot "$kind" "$name"
        done
    done
} >"$dir/report.md" || exit
