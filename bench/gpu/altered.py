"""A copy of the packed services whose shard has other kernels: what becomes of it where these are all that fits.

    altered.py HOME OUT ptx|sources|broken      broken: traps at position 60 of a sequence that runs alone
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

TRAP = """    __syncthreads();
    if (threadIdx.x == 0 && step.tokens() == 1 && step.tokenPosition()[0] == 60) __trap();
    const int* u = step.tableUpdate();"""


def broken(source, headers):
    text = source.replace("    __syncthreads();\n    const int* u = step.tableUpdate();", TRAP)
    assert text != source
    with tempfile.TemporaryDirectory() as folder:
        for name, content in headers.items():
            (pathlib.Path(folder) / name).write_bytes(content)
        path = pathlib.Path(folder) / "elementwise.cu"
        path.write_text(text)
        subprocess.run(["nvcc", "-O3", "-std=c++17", "-cubin", "-gencode", "arch=compute_90a,code=sm_90a", "-o",
                        path.with_suffix(".cubin"), path], check=True)
        return path.with_suffix(".cubin").read_bytes()


def main():
    home, out, mode = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    if out.exists():
        shutil.rmtree(out)
    shutil.copytree(home, out, copy_function=os.link)
    (jar,) = (out / "model-shard-service/target/quarkus-app/app").glob("*.jar")
    with zipfile.ZipFile(jar) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    jar.unlink()
    dropped = {"ptx": (".cubin",), "sources": (".cubin", ".ptx"), "broken": ()}[mode]
    if mode == "broken":
        headers = {name[len("cuda/"):]: entries[name] for name in entries if name.startswith("cuda/") and name.endswith(".cuh")}
        entries["cuda/elementwise.sm_90a.cubin"] = broken(entries["cuda/elementwise.cu"].decode(), headers)
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_STORED) as target:
        for name, content in entries.items():
            if not (name.startswith("cuda/") and name.endswith(dropped)):
                target.writestr(name, content)


main()
