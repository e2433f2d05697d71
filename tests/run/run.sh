#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The main job, small: it measures, it notices a wrong result, and each failure says what to do.
set -u
. tests/tap.sh

python=$PWD/out/python/bin/python3
site=$PWD/out/regex/site
if [ ! -x "$python" ] || [ ! -d "$site" ]; then
    echo "Bail out! no interpreter or no mrab-regex: make out/regex/stamp builds them"
    exit 1
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# job NAME STATUS ARGUMENT...: runs it and keeps what it printed.
job() {
    local name=$1 status=$2
    shift 2
    output=$("$python" -B interp/run/run.py --python "$python" --site "$site" --out "$dir/out" \
        --rtmgrind out/bin/rtmgrind --files 4 "$@" 2>&1 </dev/null)
    tap_is "$name: status" "$?" "$status"
    [ "$status" = 0 ] || tap_is "$name: no traceback" "$(grep -c Traceback <<<"$output")" 0
}

ask() {
    "$python" -c "import json; d = json.load(open('$dir/out/run.json')); print($1)"
}

job "one and two threads" 0 --threads 1,2
tap_has "the kind of evidence is said" "$output" "evidence: "
tap_has "the table has commits" "$output" "commits"
tap_is "six rows, all exact" "$(grep -c ' exact$' <<<"$output")" 6
tap_is "json: every row has a time" "$(ask 'all(c["seconds"] > 0 for c in d["cases"])')" True
tap_is "json: two threads did speculate" \
    "$(ask '[c["commits"] > 0 for c in d["cases"] if c["mode"] == "elided GIL"][1]')" True
tap_is "json: the plain GIL never does" \
    "$(ask 'sum(c["starts"] for c in d["cases"] if c["mode"] == "plain GIL")')" 0
tap_ok "the plot is an SVG" grep -q '<svg' "$dir/out/run.svg"

# An extension that loses a token under elision must be noticed.
cp -r "$site" "$dir/lossy"
cat >>"$dir/lossy/regex/__init__.py" <<'EOF'
import os as _os
_compile = compile
class _Lossy:
    def __init__(self, pattern):
        self.pattern = pattern
    def finditer(self, *args, **kwargs):
        yield from list(self.pattern.finditer(*args, **kwargs))[:-1]
def compile(*args, **kwargs):
    pattern = _compile(*args, **kwargs)
    return _Lossy(pattern) if _os.environ.get("PYTHON_ELISION") == "1" else pattern
EOF
site=$dir/lossy job "a lost token" 1 --threads 1
tap_has "a lost token: the row says so" "$output" "WRONG"
tap_has "a lost token: and how many" "$output" "4 of 4 texts differ"

job "no numbers of threads" 2 --threads many
tap_has "no numbers: says so" "$output" "--threads wants numbers"
job "more threads than files" 2 --threads 8
tap_has "more threads: says so" "$output" "give each thread a file"
job "more files than there are" 2 --files 9999
tap_has "more files: remedy" "$output" "use --files"
printf '#!/bin/sh\nexit 1\n' >"$dir/python"
chmod +x "$dir/python"
output=$("$python" -B interp/run/run.py --python "$dir/python" --site "$site" --out "$dir/out" \
    --rtmgrind out/bin/rtmgrind 2>&1)
tap_has "an interpreter without elision" "$?:$output" "2:run: $dir/python cannot elide its GIL"
if grep -q '"evidence": "hardware"' "$dir/out/run.json"; then
    tap_skip "no RTM and no emulator" "this machine has RTM"
else
    output=$("$python" -B interp/run/run.py --python "$python" --site "$site" \
        --out "$dir/out" --rtmgrind "$dir/none" 2>&1)
    tap_has "no RTM and no emulator" "$?:$output" "2:run: no RTM on this machine"
fi

# Fetching the extension: no index, then a wrong sum.
cp -r interp/run "$dir/job"
output=$(PIP_INDEX_URL=file://$dir/no-index PIP_FIND_LINKS='' PIP_RETRIES=0 \
    "$dir/job/regex.sh" "$python" "$dir/regex" 2>&1)
tap_has "no package index" "$?:$output" "1:regex: the package index gave no setuptools"
tap_is "no package index: one line" "$(wc -l <<<"$output")" 1
cp -r out/regex/archives "$dir/tampered"
echo "changed" >>"$(echo "$dir"/tampered/regex-*.tar.gz)"
output=$(PIP_INDEX_URL=file://$dir/no-index PIP_FIND_LINKS=$dir/tampered PIP_RETRIES=0 \
    "$dir/job/regex.sh" "$python" "$dir/regex" 2>&1)
tap_has "a wrong sum" "$?:$output" "1:regex: regex does not have the pinned sum"
cp -r out/regex/archives "$dir/regex/"
output=$(PIP_INDEX_URL=file://$dir/no-index PIP_FIND_LINKS='' PIP_RETRIES=0 \
    "$dir/job/regex.sh" "$python" "$dir/regex" 2>&1)
tap_is "with the archives there no index is needed" "$?" 0
tap_done
