#!/bin/sh
# Has Terraform (or OpenTofu: TERRAFORM=tofu) validate every root module of
# deploy/render/testdata/root, the modules for Azure and Google Cloud in all that they are
# rendered for, with the real providers. They come from the registry, or from where
# the CLI configuration says; where they cannot be had, it says so and exits with 2.
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
checked=0 wrong=0 missing=0
for cloud in ${1:-azure gcp}; do
	for root in deploy/render/testdata/root/"$cloud"-*.json; do
		name=$(basename "$root" .json)
		dir=$temp/$name
		mkdir -p "$dir/module" "$dir/package"
		cp "$root" "$dir/main.tf.json"
		cp deploy/terraform/common/*.tf deploy/terraform/"$cloud"/*.tf "$dir/module"
		for p in hotreader-azure-amd64.zip hotreader-cloudrun.tar; do : >"$dir/package/$p"; done
		if ! (cd "$dir" && "$terraform" init -backend=false -input=false -no-color >init.txt 2>&1); then
			if grep -Eqi 'failed to query|could not connect|no such host|no available releases|failed to resolve|timeout|registry service|dial tcp|403 Forbidden|503' "$dir/init.txt"; then
				echo "validate-modules: $cloud NOT CHECKED, its provider cannot be had:" >&2
				grep -m 3 -Ei 'error|provider' "$dir/init.txt" >&2 || true
				missing=$((missing + 1))
				break
			fi
			cat "$dir/init.txt" >&2
			wrong=$((wrong + 1))
			continue
		fi
		if (cd "$dir" && "$terraform" validate -no-color >validate.txt 2>&1); then
			checked=$((checked + 1))
		else
			echo "validate-modules: $name:" >&2
			cat "$dir/validate.txt" >&2
			wrong=$((wrong + 1))
		fi
	done
done
echo "validate-modules: $checked root modules are valid, $wrong are not, of $missing clouds the provider is missing"
[ "$wrong" -eq 0 ] || exit 1
[ "$missing" -eq 0 ] || exit 2
