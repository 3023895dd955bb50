#!/usr/bin/env bash
# The loader's s3:// source and pushes to it against a real server that verifies signatures: S3Proxy (org.gaul:s3proxy,
# Maven Central). Needs curl and python3. Has the weight-loader push files there in parts, is killed in the middle of
# that and goes on, fetches what was pushed and what others have put there, compares, and tries a wrong key.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
java=${JAVA_HOME:?names a JDK 25}/bin/java
work=$(mktemp -d)
pids=()
"$root/penstock" help > /dev/null
stop() {
    kill "${pids[@]}" 2> /dev/null || true
    wait 2> /dev/null || true
    rm -rf "$work"
}
trap stop EXIT

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

cat > "$work/pom.xml" << 'POM'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>check</groupId><artifactId>s3</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.gaul</groupId><artifactId>s3proxy</artifactId><version>2.6.0</version>
  </dependency></dependencies>
</project>
POM
"$root/mvnw" -B -q -ntp -f "$work/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy-dependencies \
    -DoutputDirectory="$work/lib"

port=$(free_port)
mkdir -p "$work/data"
head -c 70000000 /dev/urandom > "$work/model.bin"
echo '{}' > "$work/config.json"
# One server that verifies signatures, one over the same folder that lets everybody in, to fill it by.
open_port=$(free_port)
serve() {
    printf '%s\n' "$@" "jclouds.provider=filesystem" "jclouds.filesystem.basedir=$work/data" > "$work/server-$#.conf"
    "$java" -cp "$work/lib/*" org.gaul.s3proxy.Main --properties "$work/server-$#.conf" > "$work/s3proxy.log" 2>&1 &
    pids+=($!)
}
serve s3proxy.endpoint="http://127.0.0.1:$port" s3proxy.authorization=aws-v4 s3proxy.identity=key s3proxy.credential=secret
serve s3proxy.endpoint="http://127.0.0.1:$open_port" s3proxy.authorization=none

# Starts a loader with a key; $loader is its address, $loader_pid its process.
start_loader() {
    local grpc
    grpc=$(free_port)
    loader=127.0.0.1:$grpc
    "$java" -Dquarkus.http.port=0 -Dquarkus.grpc.server.port="$grpc" -Dpenstock.loader.cache="$work/cache-$1" \
        -Dpenstock.loader.retries.attempts=3 -Dpenstock.loader.s3.endpoint="http://127.0.0.1:$port" \
        -Dpenstock.loader.s3.access-key=key -Dpenstock.loader.s3.secret-key="$1" \
        '-Dpenstock.loader.models."m".source=s3://models/m' '-Dpenstock.loader.models."p".source=s3://models/p' \
        -Dpenstock.loader.push.folder="$work/push" -Dpenstock.loader.push.part-size=5M -Dpenstock.loader.push.connections=1 \
        -jar "$root/weight-loader/target/quarkus-app/quarkus-run.jar" > "$work/loader-$1.log" 2>&1 &
    loader_pid=$!
    pids+=("$loader_pid")
    for _ in $(seq 300); do
        grep -q 'started in' "$work/loader-$1.log" && break
        sleep 0.1
    done
}

for each in "$port" "$open_port"; do
    for _ in $(seq 100); do
        (echo > "/dev/tcp/127.0.0.1/$each") 2> /dev/null && break
        sleep 0.1
    done
done
# Through its front door: the server keeps an ETag only of what came that way.
curl -sSf -X PUT "http://127.0.0.1:$open_port/models" > /dev/null
for file in model.bin config.json; do
    curl -sSf -T "$work/$file" "http://127.0.0.1:$open_port/models/m/$file" > /dev/null
done
start_loader secret
"$root/penstock" weights fetch m --loader "$loader"
cmp "$work/model.bin" "$work"/cache-secret/models/m/*/arriving/model.bin

mkdir -p "$work/push/p/sub"
head -c 83000001 /dev/urandom > "$work/push/p/weights.bin"
echo '{}' > "$work/push/p/sub/config.json"
"$root/penstock" weights push "$work/push/p" s3://models/p --loader "$loader" > "$work/pushed" 2>&1 &
pusher=$!
for _ in $(seq 1000); do
    # Some of 16 parts are there, not all: the server keeps each as a file beside the object's own.
    [ "$(find "$work/data" -name 'weights.bin-*' 2> /dev/null | wc -l)" -ge 4 ] && break
    sleep 0.01
done
kill -9 "$loader_pid"
wait "$pusher" || true
cat "$work/pushed"
rm -rf "$work/cache-secret"
start_loader secret
"$root/penstock" weights push "$work/push/p" s3://models/p --loader "$loader" | tee "$work/pushed"
grep -Eq '[1-9][0-9]* MB sent, [1-9][0-9]* MB were there' "$work/pushed"
"$root/penstock" weights push "$work/push/p" s3://models/p --loader "$loader" | tee "$work/pushed"
grep -q ' 0 MB sent' "$work/pushed"
"$root/penstock" weights fetch p --loader "$loader"
cmp "$work/push/p/weights.bin" "$work"/cache-secret/models/p/*/arriving/weights.bin
cmp "$work/push/p/sub/config.json" "$work"/cache-secret/models/p/*/arriving/sub/config.json

start_loader wrong
"$root/penstock" weights fetch m --loader "$loader" > "$work/refused" 2>&1 || true
cat "$work/refused"
grep -q 'refuses our credentials' "$work/refused"
echo "s3:// works against S3Proxy in both directions, and a wrong key is refused"
