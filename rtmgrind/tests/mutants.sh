#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Known-wrong emulators. Each entry of mutants.txt changes a line of the emulator's source; the
# emulator is built with it, into $OUT/mutants/NAME, and the test point that the entry names must
# fail there, as it must pass with the right emulator. mutants.sh [NAME...] runs only these.
# OUT, COMPILE, LINK and LIBS come from the Makefile.
set -u

here=rtmgrind/tests
dir=$OUT/mutants

# patch FILE ENTRY: FILE with the entry's lines changed; fails unless each is there exactly once.
patch() {
    perl -e '
        my ($file, $entry) = @ARGV;
        local $/;
        open my $in, "<", $file or die; my $text = <$in>;
        open $in, "<", $entry or die; my $hunks = <$in>;
        my $n = 0;
        while ($hunks =~ /^- (.*)\n(?:\+ ?(.*)\n)?/mg) {
            my ($old, $new) = ($1, $2 // "");
            my $count = () = $text =~ /\Q$old\E/g;
            die "$count places for: $old\n" if $count != 1;
            $text =~ s/\Q$old\E/$new/;
            $n++;
        }
        die "nothing to change\n" if !$n;
        print $text;' "$1" "$2"
}

# field NAME ENTRY
field() { sed -n "s/^$1: *//p" "$2"; }

# passes POINT TAP: the point, or one that begins with these words, passed.
passes() { grep -qE "^ok [0-9]+ - $1(\$|[^A-Za-z0-9_])" "$2"; }

# One mutant, for xargs: prints a line `caught`, `SURVIVED` or `broken`, with its reason.
if [ "${1-}" = --one ]; then
    name=$2
    home=$dir/$name
    file=$(field file "$home/entry")
    test=$(field test "$home/entry")
    point=$(field point "$home/entry")
    read -ra words <<<"$test"
    say() { echo "$1" >"$home/result"; }
    mkdir -p "$home/bin" "$home/lib/rtmgrind"
    # The changed copy finds its headers in rtmgrind/.
    if ! patch "rtmgrind/$file" "$home/entry" >"$home/$file" 2>"$home/log" ||
        ! $COMPILE -O1 -g0 -w -Irtmgrind -c -o "$home/mutant.o" "$home/$file" 2>"$home/log"; then
        say "broken: $(tail -n 1 "$home/log")"
        exit 0
    fi
    objects=()
    for object in rtmgrind/rtm_*.c; do
        object=$(basename "$object" .c)
        if [ "$object.c" = "$file" ]; then
            objects+=("$home/mutant.o")
        else
            objects+=("$OUT/obj/rtmgrind/$object.o")
        fi
    done
    tool=$home/lib/rtmgrind/rtmgrind-amd64-linux
    if ! $LINK -o "$tool" "${objects[@]}" $LIBS 2>"$home/log"; then
        say "broken: $(tail -n 1 "$home/log")"
        exit 0
    fi
    cp "$OUT/bin/rtmgrind" "$home/bin/"
    # A mutant may hang: that is no pass of the point either. Those that do say when to give up; the
    # signal goes to its children, too.
    limit=$(field seconds "$home/entry")
    {
        RTMGRIND=$home/bin/rtmgrind timeout --signal=KILL "${limit:-60}" "${words[@]}" \
            >"$home/tap" 2>&1
    } </dev/null 2>/dev/null # and what the shell says of crashes
    if passes "$point" "$home/tap"; then
        say "SURVIVED"
    else
        say "caught"
    fi
    rm -rf "${home:?}/lib" "$home/mutant.o"
    exit 0
fi

. tests/tap.sh

# One folder for each entry.
rm -rf "$dir"
mkdir -p "$dir"
awk -v dir="$dir" '
    /^#/ { next }
    /^mutant: / { name = $2; system("mkdir -p " dir "/" name); order = order name "\n" }
    NF { print > (dir "/" name "/entry") }
    END { printf "%s", order > (dir "/order") }' "$here/mutants.txt"
if [ $# -gt 0 ]; then
    printf '%s\n' "$@" >"$dir/order"
fi

# The right emulator passes each point that a mutant must fail.
while read -r name; do
    test=$(field test "$dir/$name/entry")
    tap=$dir/right.$(echo "$test" | tr -c 'a-z0-9\n' _)
    if [ ! -e "$tap" ]; then
        read -ra words <<<"$test"
        "${words[@]}" >"$tap" 2>&1 </dev/null
    fi
    if ! passes "$(field point "$dir/$name/entry")" "$tap"; then
        echo "broken: the right emulator does not pass" >"$dir/$name/result"
    fi
done <"$dir/order"

while read -r name; do
    [ -e "$dir/$name/result" ] || echo "$name"
done <"$dir/order" | xargs -r -P "$(nproc)" -n 1 "$here/mutants.sh" --one

# The kill table.
while read -r name; do
    result=$(cat "$dir/$name/result" 2>/dev/null || echo "broken: no result")
    test=$(field test "$dir/$name/entry")
    line="$name: ${test##*/}: $(field point "$dir/$name/entry")"
    case $result in
        caught) tap_pass "$line" ;;
        *) tap_fail "$line" "$result" ;;
    esac
done <"$dir/order"
tap_done
