#!/bin/sh
# Starts the shop on a free port, asks it, and stops it.
set -eu
port_file=$(mktemp)
rm -f "$port_file"
python3 shop.py "$port_file" &
shop=$!
trap 'kill "$shop"; rm -f "$port_file"' EXIT
python3 - "$port_file" <<'EOF'
import json, os, sys, time, urllib.error, urllib.request

deadline = time.monotonic() + 20
while not (os.path.exists(sys.argv[1]) and open(sys.argv[1]).read()):
    if time.monotonic() > deadline:
        sys.exit("the shop did not start")
    time.sleep(0.05)
base = "http://127.0.0.1:" + open(sys.argv[1]).read()

def ask(path):
    try:
        with urllib.request.urlopen(base + path, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)

for path, expected in [
    ("/price?cents=1000", (200, {"cents": 1190})),
    ("/price?cents=1000&tax=7", (200, {"cents": 1070})),
    ("/price?cents=-1", (400, {"error": "prices and taxes are not negative"})),
    ("/other", (404, {"error": "there is only /price"})),
]:
    got = ask(path)
    assert got == expected, (path, got)
    print("ok", path, *got)
EOF
