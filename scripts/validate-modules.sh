#!/bin/sh
# Has Terraform (or OpenTofu: TERRAFORM=tofu) validate every root module of
# deploy/render/testdata/root, the modules for Azure and Google Cloud in all that they are
# rendered for, with the real providers. They come from the registry, or from where
# the CLI configuration says; where they cannot be had, it says NOT CHECKED and exits with 2.
# 1 = a module is not valid. An argument, azure or gcp, does one cloud alone; with
# -keep as the first one, the folders stay, for terraform providers schema -json.
set -eu
cd "$(dirname "$0")/.."
terraform=${TERRAFORM:-terraform}
temp=$(mktemp -d)
if [ "${1:-}" = -keep ]; then
	shift
	echo "validate-modules: the folders are in $temp" >&2
else
	trap 'rm -rf "$temp"' EXIT INT TERM
fi
command -v "$terraform" >/dev/null || {
	echo "validate-modules: there is no $terraform; install Terraform or OpenTofu 1.11 or newer" >&2
	exit 2
}

export TF_PLUGIN_CACHE_DIR="$temp/providers" TF_IN_AUTOMATION=1
mkdir "$TF_PLUGIN_CACHE_DIR"
checked=0 wrong=0
for cloud in ${1:-azure gcp}; do
	for root in deploy/render/testdata/root/"$cloud"-*.json; do
		dir=$temp/$(basename "$root" .json)
		mkdir -p "$dir/module" "$dir/package"
		cp "$root" "$dir/main.tf.json"
		cp deploy/terraform/common/*.tf deploy/terraform/"$cloud"/*.tf "$dir/module"
		for p in hotreader-azure-amd64.zip hotreader-cloudrun.tar; do : >"$dir/package/$p"; done
		cd "$dir"
		"$terraform" init -backend=false -input=false -no-color >init.txt 2>&1 || {
			cat init.txt >&2
			echo "validate-modules: $cloud NOT CHECKED, its provider cannot be had" >&2
			exit 2
		}
		checked=$((checked + 1))
		"$terraform" validate -no-color >&2 || wrong=$((wrong + 1))
		cd - >/dev/null
	done
done
echo "validate-modules: $wrong of $checked root modules are not valid"
[ "$wrong" -eq 0 ]
