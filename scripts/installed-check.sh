#!/bin/sh
# Unpacks and installs what make dist has made for this processor, each kind into a
# folder of its own, and looks: the command runs, its manual pages render, the
# completions are in place, and a package leaves nothing behind. Needs dpkg, rpm and
# mandoc, and root for what dpkg does.
#
#	scripts/installed-check.sh [dist]
set -eu
dist=$(cd "${1:-dist}" && pwd)
case $(uname -m) in x86_64) arch=amd64 ;; *) arch=arm64 ;; esac
for tool in dpkg rpm mandoc; do
	command -v $tool >/dev/null || {
		echo "installed-check: there is no $tool; install dpkg, rpm and mandoc" >&2
		exit 2
	}
done
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT INT TERM

wrong() {
	echo "installed-check: $*" >&2
	exit 1
}

# runs PROGRAM: it says what it is.
runs() {
	"$1" version | grep -q "linux/$arch" || wrong "$1 does not say that it is of linux/$arch"
}

# looks ROOT ZSH: what a package has put below ROOT is whole; zsh looks in ZSH.
looks() {
	runs "$1/usr/bin/hotreader"
	for file in doc/hotreader/copyright doc/hotreader/THIRD_PARTY_NOTICES.txt doc/hotreader/README.md doc/hotreader/docs/installing.md doc/hotreader/examples/pump.csv hotreader/schemas/config.schema.json hotreader/grafana/compose.yaml \
		bash-completion/completions/hotreader "zsh/$2/_hotreader" fish/vendor_completions.d/hotreader.fish man/man1/hotreader.1; do
		[ -s "$1/usr/share/$file" ] || wrong "$1 has no /usr/share/$file"
	done
}

(cd "$dist" && sha256sum --quiet -c SHA256SUMS)

mkdir "$temp/tar"
tar xzf "$dist/hotreader-linux-$arch.tar.gz" -C "$temp/tar"
runs "$temp/tar/hotreader"
"$temp/tar/hotreader" validate --project examples/azure-reads-aws >/dev/null
pages=0
for page in "$temp"/tar/man/*.1; do
	mandoc -W error -T html "$page" >"$temp/page" || wrong "$page does not render"
	grep -q SYNOPSIS "$temp/page" || wrong "$page has no synopsis"
	pages=$((pages + 1))
done

mkdir -p "$temp/deb/var/lib/dpkg/updates" "$temp/deb/var/lib/dpkg/info"
: >"$temp/deb/var/lib/dpkg/status"
dpkg --root="$temp/deb" --log=/dev/null --force-depends -i "$dist/hotreader-linux-$arch.deb" >"$temp/dpkg" 2>&1 || wrong "dpkg -i: $(cat "$temp/dpkg")"
looks "$temp/deb" vendor-completions
dpkg --root="$temp/deb" --log=/dev/null -P hotreader >"$temp/dpkg" 2>&1 || wrong "dpkg -P: $(cat "$temp/dpkg")"
[ ! -e "$temp/deb/usr" ] || wrong "the deb leaves behind: $(find "$temp/deb/usr")"

mkdir "$temp/rpm"
rpm --root "$temp/rpm" --dbpath /db --nodeps -i "$dist/hotreader-linux-$arch.rpm" 2>"$temp/said" || wrong "rpm -i: $(cat "$temp/said")"
looks "$temp/rpm" site-functions
rpm --root "$temp/rpm" --dbpath /db -e hotreader 2>"$temp/said" || wrong "rpm -e: $(cat "$temp/said")"
left=$(find "$temp/rpm/usr" -name '*hotreader*')
[ -z "$left" ] || wrong "the rpm leaves behind: $left"

echo "installed-check: archive, deb and rpm of linux/$arch are whole, $pages manual pages render"
