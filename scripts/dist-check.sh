#!/bin/sh
# Makes dist/, makes it again from a copy of this tree in another folder, in
# another time zone and with nothing of the first in its build cache (which would
# hand out the first's results), compares, and installs what was made. Takes half an
# hour: twelve programs are built twice.
set -eu
cd "$(dirname "$0")/.."
go=${GO:-go}
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT INT TERM
copy=$temp/quite/another/folder

$go run ./scripts/dist
git clone -q --shared . "$copy"
git ls-files -dz | (cd "$copy" && xargs -0r rm -f)
git ls-files -coz --exclude-standard | xargs -0 ls -d 2>/dev/null | tar cf - -T - | tar xf - -C "$copy"
(umask 077 && cd "$copy" && TZ=Asia/Kathmandu GOCACHE=$temp/cache $go run ./scripts/dist -o "$temp/dist")
diff dist/SHA256SUMS "$temp/dist/SHA256SUMS"
(cd dist && sha256sum --quiet -c SHA256SUMS)
scripts/installed-check.sh dist
echo "dist-check: $(wc -l <dist/SHA256SUMS) files, the same both times"
