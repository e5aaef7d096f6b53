#!/bin/sh
# Makes docs/page.png: the page for people over the demo, in Chromium. It needs what
# `make engines` brings.
set -eu
cd "$(dirname "$0")/.."
make --no-print-directory build engines
out=$(mktemp)
bin/hotreader demo --json --seed 7 --listen 127.0.0.1:0 >"$out" &
demo=$!
trap 'kill -INT $demo; wait $demo || true; rm -f "$out"' EXIT
until grep -q '"url"' "$out"; do
	kill -0 $demo
	sleep 0.2
done
node test/page/screenshot.mjs "$out" docs/page.png
