#!/bin/sh
# Packs what a bare GPU machine lacks into one folder: a Java runtime, our classes with their tests, the libraries they
# need, kernels where they were built.
#   bench/gpu/pack.sh OUT [extra file ...]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$1
shift
mkdir -p "$out/lib"
# What our own code and Quarkus ask for.
modules=java.base,java.compiler,java.instrument,java.logging,java.management,java.naming,java.net.http,java.security.jgss
modules=$modules,java.security.sasl,java.sql,java.xml,jdk.crypto.ec,jdk.incubator.vector,jdk.jfr,jdk.management,jdk.net
modules=$modules,jdk.httpserver,jdk.jcmd,jdk.unsupported,jdk.zipfs
if [ ! -f "$out/jre.txz" ]; then
    work=$(mktemp -d)
    "$JAVA_HOME/bin/jlink" --add-modules "$modules" \
        --strip-debug --no-man-pages --no-header-files --compress zip-0 --output "$work/jre"
    tar -C "$work" -cJf "$out/jre.txz" jre
    rm -r "$work"
fi
shard=$root/model-shard-service/target
rm -rf "$out/lib" && mkdir -p "$out/lib/shard" "$out/lib/model"
cp -r "$shard/classes/." "$shard/test-classes/." "$out/lib/shard/"
[ -d "$shard/cuda" ] && mkdir -p "$out/lib/shard/cuda" && cp "$shard/cuda/"* "$out/lib/shard/cuda/"
cp -r "$root/model/target/classes/." "$out/lib/model/"
repository=${MAVEN_REPOSITORY:-$HOME/.m2/repository}
for part in core annotations databind; do
    cp "$(ls "$repository"/com/fasterxml/jackson/core/jackson-$part/*/jackson-$part-*.jar | sort -V | tail -1)" "$out/lib/"
done
for jar in "$repository"/org/jcuda/jcuda/*/jcuda-*.jar "$repository"/org/jcuda/jcuda-natives/*/jcuda-natives-*-linux-x86_64.jar \
    "$repository"/org/jboss/logging/jboss-logging/*/jboss-logging-*.jar "$@"; do
    cp "$jar" "$out/lib/"
done
cp "$root"/bench/gpu/*.sh "$root"/bench/gpu/*.py "$root"/bench/gpu/*.csv "$out/"
du -sh "$out"
