#!/bin/bash
# Builds both images of this checkout once, pushes them to Artifact Registry, and prints their digests for Terraform.
#   docker/publish.sh REGISTRY >terraform/images.auto.tfvars
# REGISTRY is Terraform's output image_registry. Docker must be signed in to it: gcloud auth configure-docker HOST.
set -euo pipefail

registry=${1:?'usage: docker/publish.sh REGISTRY, such as us-central1-docker.pkg.dev/my-project/fraudstream'}
cd "$(dirname "$0")/.."
revision=$(git rev-parse HEAD)
changed=$(git status --porcelain -- .dockerignore dags docker include plugins requirements.txt)
if [[ -n ${changed} ]]; then
  printf 'publish.sh: these files have uncommitted changes, so the images would have no revision; commit them first:\n%s\n' "${changed}" >&2
  exit 1
fi
metadata=$(mktemp)
trap 'rm -f "${metadata}"' EXIT
echo '# Written by docker/publish.sh.'
echo 'images = {'
for target in airflow site; do
  docker buildx build --file docker/Dockerfile --target "${target}" --platform linux/amd64 \
    --build-arg "REVISION=${revision}" --tag "${registry}/${target}:${revision}" \
    --push --metadata-file "${metadata}" . >&2
  digest=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["containerimage.digest"])' "${metadata}")
  echo "  ${target} = \"${registry}/${target}@${digest}\""
done
echo '}'
