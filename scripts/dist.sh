#!/bin/sh
# Builds dist/: the command for this platform, and the AWS bootstrap for both of
# Lambda's processors, zipped so that the same source gives the same bytes.
set -eu
cd "$(dirname "$0")/.."
go=${GO:-go}
rm -rf dist
mkdir -p dist
$go build -trimpath -ldflags='-s -w -buildid=' -o dist/hotreader ./cmd/hotreader
for arch in arm64 amd64; do
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch $go build -trimpath -tags lambda.norpc -buildvcs=false \
		-ldflags='-s -w -buildid=' -o dist/bootstrap ./cmd/hotreader-lambda
	$go run ./scripts/zip dist/hotreader-lambda-$arch.zip dist/bootstrap
	rm dist/bootstrap
done
(cd dist && sha256sum ./* >SHA256SUMS)
ls -l dist
