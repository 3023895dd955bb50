#!/usr/bin/env python3
"""check.py FOLDER: whether the images of the four services in this folder are what they must be, and live.

Each is unpacked and its own entrypoint started with its own run time, in its own root as its own user where this user
may do that, until its liveness probe answers. Exits 1 with what is wrong.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

USER = "65532:65532"
HOME = "opt/penstock"
START_SECONDS = 120
PORTS = {
    "penstock-gateway": ["8080/tcp", "9080/tcp"],
    "penstock-scheduler": ["8081/tcp", "9081/tcp"],
    "penstock-shard": ["8082/tcp"],
    "penstock-weight-loader": ["8083/tcp", "9083/tcp"],
}
# What a service must be told before it starts; the others it needs may be away.
SETTINGS = {
    "penstock-gateway": {"PENSTOCK_GATEWAY_SCHEDULERS": "localhost:9", "PENSTOCK_GATEWAY_LOADER": "localhost:9"},
    "penstock-scheduler": {},
    "penstock-shard": {"PENSTOCK_SHARD_SCHEDULER": "localhost:9", "PENSTOCK_SHARD_LOADER": "localhost:9",
                       "PENSTOCK_SHARD_MODEL": "none"},
    "penstock-weight-loader": {"PENSTOCK_LOADER_CACHE": "/var/cache/penstock"},
}
# Without these a shard runs scalar kernels or none: docs/decisions/014.
SHARD_FLAGS = ["--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED",
               "-XX:CompileCommand=BackgroundCompilation,io.penstock.shard.backend.cpu.Vector*::*,false"]

# Said since Python 3.11.4, to be asked for from 3.14 on.
TRUSTED = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}


class Wrong(Exception):
    pass


def demand(truth, message):
    if not truth:
        raise Wrong(message)


def read(archive, name):
    return archive.extractfile(name).read()


def check_layout(name, archive, root):
    """Checks the image's parts, unpacks them to root, returns its configuration."""
    manifest = json.loads(read(archive, "manifest.json"))
    demand(len(manifest) == 1, f"{len(manifest)} images in one tar")
    config = json.loads(read(archive, manifest[0]["Config"]))
    settings = config["config"]
    demand(config["created"] == "1970-01-01T00:00:00Z", f"created {config['created']}: not reproducible")
    demand(settings["User"] == USER, f"user is {settings['User']}, not {USER}")
    demand(sorted(settings["ExposedPorts"]) == PORTS[name], f"ports are {sorted(settings['ExposedPorts'])}")
    demand(settings["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0", "no label for the licence")
    demand(settings["WorkingDir"] == "/" + HOME, f"works in {settings['WorkingDir']}")
    entrypoint = settings["Entrypoint"]
    demand(entrypoint[0] == "java" and entrypoint[-2:] == ["-jar", "quarkus-run.jar"], f"entrypoint is {entrypoint}")
    if name == "penstock-shard":
        for flag in SHARD_FLAGS:
            demand(flag in entrypoint, f"entrypoint lacks {flag}: {entrypoint}")
    digests = config["rootfs"]["diff_ids"]
    demand(len(digests) == len(manifest[0]["Layers"]), "as many digests as layers")
    for layer, digest in zip(manifest[0]["Layers"], digests):
        content = gzip.decompress(read(archive, layer))
        demand("sha256:" + hashlib.sha256(content).hexdigest() == digest, f"layer {layer} is not {digest}")
        with tarfile.open(fileobj=io.BytesIO(content)) as files:
            for file in files:
                demand(int(file.mtime) in (0, 1), f"{file.name} is dated {file.mtime}: not reproducible")
                demand(not file.mode & 0o6000, f"{file.name} is setuid or setgid")
                demand(file.uid in (0, 65532), f"{file.name} belongs to {file.uid}")
            files.extractall(root, **TRUSTED)
    return settings, manifest[0]["Layers"]


def check_jars(name, root):
    """Every jar on the class path is there, and the shard has its kernels."""
    app = root / HOME
    with zipfile.ZipFile(app / "quarkus-run.jar") as jar:
        manifest = jar.read("META-INF/MANIFEST.MF").decode().replace("\r\n ", "")
    path = next(line for line in manifest.splitlines() if line.startswith("Class-Path: ")).split()[1:]
    missing = [entry for entry in path if not (app / entry).is_file()]
    demand(len(path) > 50 and not missing, f"{len(path)} jars on the class path, missing {missing}")
    if name == "penstock-shard":
        with zipfile.ZipFile(next((app / "app").iterdir())) as jar:
            kernels = {Path(entry).name for entry in jar.namelist() if entry.startswith("cuda/")}
        for source in Path("model-shard-service/src/main/cuda").iterdir():
            demand(source.name in kernels, f"kernel source {source.name} is not in the image")
        binaries = Path("model-shard-service/target/cuda")
        for binary in binaries.iterdir() if binaries.is_dir() else []:
            demand(binary.name in kernels, f"kernel {binary.name} is not in the image")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def own_root():
    """Whether this user may give a process a root of its own."""
    return os.geteuid() == 0 and subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def start(name, settings, root, port, log):
    environment = dict(entry.split("=", 1) for entry in settings["Env"])
    environment |= SETTINGS[name] | {
        "QUARKUS_HTTP_PORT": str(port), "QUARKUS_GRPC_SERVER_PORT": str(free_port()), "QUARKUS_HTTP_HOST": "127.0.0.1"}
    command = settings["Entrypoint"][1:]
    if own_root():
        (root / "proc").mkdir()
        (root / "dev").mkdir()
        enter = f"mount -t proc proc {root}/proc && mount --bind /dev {root}/dev && cd {root} && exec env -i \"$@\""
        pairs = [f"{key}={value}" for key, value in environment.items()]
        # chroot leaves one in /, and the image has no shell to go elsewhere with.
        jar = ["-jar", f"/{HOME}/quarkus-run.jar"]
        line = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", enter, "bash", *pairs,
                shutil.which("chroot"), f"--userspec={USER}", str(root), "/opt/java/bin/java", *command[:-2], *jar]
        return subprocess.Popen(line, stdout=log, stderr=log, start_new_session=True)
    environment["PENSTOCK_LOADER_CACHE"] = str(root / "var/cache/penstock")
    return subprocess.Popen([root / "opt/java/bin/java", *command], cwd=root / HOME, env=environment, stdout=log,
                            stderr=log, start_new_session=True)


def await_life(name, process, port, log):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        demand(process.poll() is None, f"ended with {process.poll()}:\n{Path(log.name).read_text()[-3000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/q/health/live", timeout=5) as answer:
                demand(answer.status == 200, f"liveness is {answer.status}")
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise Wrong(f"not alive after {START_SECONDS} s:\n{Path(log.name).read_text()[-3000:]}")


def check(name, folder, scratch):
    root = scratch / name
    root.mkdir(mode=0o755)
    with tarfile.open(folder / f"{name}.tar") as archive:
        settings, layers = check_layout(name, archive, root)
    check_jars(name, root)
    port = free_port()
    with open(scratch / f"{name}.log", "w") as log:
        process = start(name, settings, root, port, log)
        try:
            await_life(name, process, port, log)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return layers[:3]


def main():
    folder = Path(sys.argv[1])
    bases = set()
    with tempfile.TemporaryDirectory() as temporary:
        os.chmod(temporary, 0o755)
        for name in PORTS:
            try:
                bases.add(tuple(check(name, folder, Path(temporary))))
            except Wrong as wrong:
                sys.exit(f"{folder / name}.tar: {wrong}")
            print(f"{name}: as it must be, and alive{' in its own root' if own_root() else ''}")
    if len(bases) != 1:
        sys.exit(f"the services share no base layers: {bases}")


main()
