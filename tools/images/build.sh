#!/usr/bin/env bash
# build.sh [MAVEN ARGUMENT ...]: the images of the four services as tars in target/images, without a registry. Arguments
# replace those of Maven: by default it packages the services.
#
# With a registry none of this is needed: ./mvnw package -Dquarkus.container-image.push=true, with
# quarkus.jib.base-jvm-image naming a base image there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

[ $# -gt 0 ] || set -- -q -pl gateway,scheduler,model-shard-service,weight-loader -am package -DskipTests
export PENSTOCK_IMAGES=$PWD/target/images
mkdir -p "$PENSTOCK_IMAGES"
base=$PENSTOCK_IMAGES/base.tar
[ "$base" -nt tools/images/base.sh ] || tools/images/base.sh "$base"

# The extension writes to a registry or to a docker daemon: here, to a program that keeps what it is given.
./mvnw -B -ntp "$@" \
    -Dquarkus.container-image.build=true \
    -Dquarkus.jib.base-jvm-image="tar://$base" \
    -Dquarkus.jib.docker-executable-name="$PWD/tools/images/docker" \
    -Dquarkus.jib.offline-mode=true
