#!/bin/sh
# Packs all services as the build left them, and what checks them, for a machine that has nothing: OUT/services.txz, a
# repository's layout with libraries that services share stored once. Kernels are in it where tools/cuda/build.sh ran first.
#   bench/gpu/pack_services.sh OUT
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$1
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for module in gateway scheduler model-shard-service weight-loader; do
    mkdir -p "$work/home/$module/target"
    cp -r "$root/$module/target/quarkus-app" "$work/home/$module/target/"
done
# The bare engine's own checks and timings.
cp -r "$root/model-shard-service/target/test-classes" "$work/home/model-shard-service/target/"
mkdir -p "$work/home/cli/target"
cp -r "$root/cli/target/cli.jar" "$root/cli/target/lib" "$root/cli/target/test-classes" "$work/home/cli/target/"
repository=${MAVEN_REPOSITORY:-$HOME/.m2/repository}
cp "$repository"/org/assertj/assertj-core/*/assertj-core-*.jar "$repository"/net/bytebuddy/byte-buddy/*/byte-buddy-[0-9]*.jar "$work/home/cli/target/lib/"
find "$work" -name '*.jar' -exec sha1sum {} + | sort | while read -r sum file; do
    if [ "$sum" = "${last:-}" ]; then ln -f "$first" "$file"; else last=$sum first=$file; fi
done
# What is compressed already, xz cannot compress: jars without compression make an archive of less than half the size.
python3 - "$work/home" <<'PY'
import io, os, sys, zipfile
done = set()
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(folder, name)
        if not name.endswith(".jar") or os.stat(path).st_ino in done:
            continue
        done.add(os.stat(path).st_ino)
        plain = io.BytesIO()
        with zipfile.ZipFile(path) as jar, zipfile.ZipFile(plain, "w", zipfile.ZIP_STORED) as to:
            for entry in {each.filename: each for each in jar.infolist()}.values():
                # Of JCuda's libraries the driver's alone is loaded.
                if not name.startswith("org.jcuda.jcuda-natives") or "JCudaDriver" in entry.filename:
                    to.writestr(zipfile.ZipInfo(entry.filename, entry.date_time), jar.read(entry))
        # In place: other names of the same file follow.
        with open(path, "r+b") as file:
            file.truncate(0)
            file.write(plain.getvalue())
PY
tar -C "$work" -cf - home | xz -T0 -6 >"$out/services.txz"
du -sh "$out/services.txz"
