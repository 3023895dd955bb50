#!/usr/bin/env bash
# base.sh OUT.tar [FOLDER ...]: a base image for the services, as `docker save` would write it, where no registry has one.
#
# It holds a run time linked from this machine's JDK, this machine's C library, and what is found in the given folders
# (libcublasLt, libnccl and the like), which go to /usr/local/lib; no shell, no package manager. The user is 65532.
# The same inputs make the same bytes.
set -euo pipefail

[ $# -ge 1 ] || {
    echo "usage: base.sh OUT.tar [FOLDER ...]" >&2
    exit 2
}
out=$(realpath -m "$1")
shift
: "${JAVA_HOME:?base.sh: set JAVA_HOME to a JDK 25}"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
root=$tmp/system
mkdir -p "$root"/{etc,opt,tmp,usr/local/lib}

# All that the libraries of the services ask for, and the tools to look into a running one (jcmd).
"$JAVA_HOME/bin/jlink" --output "$root/opt/java" --strip-debug --no-header-files --no-man-pages --add-modules \
    java.se,jdk.attach,jdk.charsets,jdk.crypto.ec,jdk.incubator.vector,jdk.jcmd,jdk.jfr,jdk.management,jdk.management.jfr,jdk.naming.dns,jdk.net,jdk.unsupported,jdk.zipfs
# What java starts with when it is not told otherwise; made here, as the image has no place to write it.
"$root/opt/java/bin/java" -Xshare:dump > /dev/null

# The C and C++ run time, and what glibc loads by name.
libraries=$tmp/libraries
ldd "$root/opt/java/bin/java" "$root/opt/java/lib/server/libjvm.so" | grep -o '/[^ ]*\.so[^ ]*' > "$libraries"
for name in libstdc++.so.6 libgcc_s.so.1 libm.so.6 librt.so.1 libdl.so.2 libpthread.so.0 libresolv.so.2 libnss_dns.so.2 libnss_files.so.2; do
    ldconfig -p | sed -n "s#.*$name .*x86-64.*=> ##p;s#.*$name .*AArch64.*=> ##p" | head -1 >> "$libraries"
done
sort -u "$libraries" | while read -r library; do
    [[ $library == "$tmp"* ]] && continue
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done

for folder in "$@"; do
    cp -rL "$folder"/. "$root/usr/local/lib/"
done

echo 'penstock:x:65532:65532::/home/penstock:/sbin/nologin' > "$root/etc/passwd"
echo 'penstock:x:65532:' > "$root/etc/group"
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
echo '/usr/local/lib' > "$root/etc/ld.so.conf"
chmod 1777 "$root/tmp"

# As layers: the C library, which changes with the machine; the run time, which changes with the JDK; the user's folders.
layer() {
    tar -C "$tmp/$1" --sort=name --mtime=@0 --owner="$2" --group="$2" --numeric-owner --format=gnu -cf "$tmp/$1.tar" \
        $(cd "$tmp/$1" && ls)
}
mkdir -p "$tmp"/{java/opt,user/home/penstock,user/var/cache/penstock}
mv "$root/opt/java" "$tmp/java/opt/java"
layer system 0
layer java 0
layer user 65532

sum() { sha256sum "$tmp/$1.tar" | cut -d' ' -f1; }
architecture=$(uname -m | sed 's/x86_64/amd64/;s/aarch64/arm64/')
version=$(sed -n 's/^JAVA_RUNTIME_VERSION="\(.*\)"/\1/p' "$JAVA_HOME/release")
cat > "$tmp/config.json" << JSON
{"architecture":"$architecture","os":"linux","created":"1970-01-01T00:00:00Z",
"config":{"User":"65532:65532","WorkingDir":"/home/penstock","Env":["PATH=/opt/java/bin","JAVA_HOME=/opt/java","LANG=C.UTF-8","LD_LIBRARY_PATH=/usr/local/lib","JAVA_VERSION=$version"]},
"rootfs":{"type":"layers","diff_ids":["sha256:$(sum system)","sha256:$(sum java)","sha256:$(sum user)"]},
"history":[{"created":"1970-01-01T00:00:00Z","created_by":"tools/images/base.sh: C library"},{"created":"1970-01-01T00:00:00Z","created_by":"tools/images/base.sh: Java $version"},{"created":"1970-01-01T00:00:00Z","created_by":"tools/images/base.sh: folders of the user"}]}
JSON
echo '[{"Config":"config.json","RepoTags":["penstock/base:local"],"Layers":["system.tar","java.tar","user.tar"]}]' > "$tmp/manifest.json"

mkdir -p "$(dirname "$out")"
tar -C "$tmp" --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -cf "$out.part" \
    manifest.json config.json system.tar java.tar user.tar
mv "$out.part" "$out"
