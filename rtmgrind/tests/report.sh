#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The report says what happened, where, as text and as JSON; client requests steer it.
set -u

. rtmgrind/tests/runs.sh

run causes causes -- >/dev/null
run neighbours neighbours -- --heap=yes >/dev/null
run counter counter 4 300 -- >/dev/null
run requests requests -- >/dev/null

# --- The form ---
tap_is "JSON has the documented top-level keys" "$(field causes 'keys | join(" ")')" \
    "conflicts histograms sites threads totals unfriendly"
tap_is "totals have theirs" \
    "$(field causes '.totals | [has("starts", "commits", "aborts", "makespan_cycles")] | all')" true
tap_is "figures say their evidence" "$(field causes .totals.evidence)" emulated
tap_is "no left-over of an unfinished report" "$(find "$dir" -name '*.part')" ""

# --- Counts ---
tap_is "7 starts, 1 commit" "$(field causes '"\(.totals.starts) \(.totals.commits)"')" "7 1"
tap_is "starts are commits and aborts" \
    "$(field counter '.totals | .starts == .commits + .aborts.total')" true
tap_is "each abort by its cause" \
    "$(field causes '.totals.aborts | "\(.explicit) \(.instruction) \(.fault) \(.syscall) \(
        .capacity_write) \(.capacity) \(.nesting) \(.conflict)"')" "1 1 1 1 1 1 1 0"
tap_is "sites add up to the totals" \
    "$(field counter '.totals.starts == ([.sites[].starts] | add)')" true
tap_is "threads add up to the totals" \
    "$(field counter '.totals.starts == ([.threads[].starts] | add)')" true
run relay relay 5 10 -- >/dev/null
tap_is "threads that have ended keep their rows" \
    "$(field relay '[.threads[].starts] | join(" ")')" "10 10 10 10 0 10"
tap_is "cycles add up" "$(field counter '.totals.cycles_committed == ([.sites[].cycles_committed] |
    add) and .totals.cycles_aborted == ([.sites[].cycles_aborted] | add)')" true
tap_is "histograms count each commit once" \
    "$(field counter '.totals.commits == (.histograms.write_set_log2 | add)')" true
tap_is "set pressure: 13 lines in one set" "$(field causes '.histograms.set_pressure[13]')" 1

# --- Places ---
tap_has "a site is a function and a line" "$(field counter '.sites[0].where')" "add_one"
tap_is "with file" "$(field counter '.sites[0].where | test("\\.[ch]:[0-9]+")')" true
tap_is "the conflict is over shared_counter" \
    "$(field counter '[.conflicts[].data | startswith("shared_counter")] | any')" true
tap_is "a conflict names both accesses" "$(field counter '.conflicts[0] |
    [.victim_access, .requester_access] | map(test("add_one.*schedule.c:[0-9]+")) | all')" true
tap_is "same word: true sharing" "$(field counter '[.conflicts[] |
    select(.data | startswith("shared_counter")) | .sharing] | unique | join(" ")')" true
tap_is "other word: false sharing, at offset 56" \
    "$(field neighbours '.conflicts[0] | "\(.sharing) \(.offset_in_line)"')" "false 56"
tap_has "--heap=yes says who allocated the block" "$(field neighbours '.conflicts[0]')" make_block
tap_is "unfriendly instructions by name" \
    "$(field causes '[.unfriendly[].what] | sort | join(", ")')" \
    "CPUID, getpid, page fault (SIGSEGV)"
tap_has "and by place" "$(field causes '.unfriendly[] | select(.what == "CPUID") | .where')" \
    asks_for_cpuid

# --- Labels ---
tap_is "labels group sites, quotes survive" \
    "$(field causes '[.sites[].label | select(.)] | sort | join(", ")')" 'outer, say "hello"'

# --- Text ---
text=$(cat "$dir/counter.txt")
tap_has "text has totals" "$text" "transactions,"
tap_has "text names the conflict" "$text" "shared_counter"
tap_has "text has a site's cycles" "$text" ", waiting "
tap_has "text has virtual time" "$text" "virtual time:"
run top causes -- --top=1 >/dev/null
tap_is "--top=1 bounds the lists" \
    "$(field top '"\(.sites | length) \(.unfriendly | length)"')" "1 1"
quiet=$("$rtmgrind" --quiet "$program" counter 1 1 2>&1)
tap_is "--quiet prints nothing of its own" "$quiet" 1

# --- Characters that JSON has not ---
run label label $'a\xff"\xc3\xa9\x01\xed\xa0\x80\xe2\x82\xac\xe2\x82' -- >/dev/null
tap_is "labels are text, whatever their bytes" "$(jq -a '.sites[0].label' "$dir/label.json")" \
    '"a\ufffd\"\u00e9\u0001\ufffd\ufffd\ufffd\u20ac\ufffd\ufffd"'
tap_ok "as a strict reader sees it" iconv -f UTF-8 -t UTF-8 -o /dev/null "$dir/label.json"

# --- Forked children ---
run alone fork -- >/dev/null
tap_is "a forked child reports nothing" "$(grep -c transactions, "$dir/alone.txt")" 1
run family fork -- --report-children=yes >/dev/null
tap_is "--report-children=yes: it does, too" "$(grep -c transactions, "$dir/family.txt")" 2
tap_is "its JSON file has its number, and its counts" \
    "$(jq -c '[.totals.starts, (.threads | length), .conflicts, [.sites[].starts]]' \
        "$dir"/family.json.*)" '[1,1,[],[1]]'
tap_is "the parent's is its own" "$(field family .totals.starts)" 2

# --- Requests ---
tap_has "a dump is headed by its name" "$(cat "$dir/requests.txt")" "first part: 10 transactions"
tap_is "a reset forgets what was before" \
    "$(field requests '"\(.totals.starts) \(.totals.commits)"')" "2 1"
tap_is "and a conflict as before is a new one" "$(field requests '[.conflicts[].count] | add')" 1
tap_done
