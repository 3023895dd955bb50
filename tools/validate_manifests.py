"""Checks Kubernetes objects on standard input, strictly: an unknown field is an error. Usage: validate_manifests.py NAME"""

import sys

import kubernetes_validate
import yaml

VERSION = "1.34"
# A layer that lost its patches or its services would be valid and wrong.
EXPECTED = {
    ("Deployment", "penstock-gateway"),
    ("Deployment", "penstock-scheduler"),
    ("StatefulSet", "penstock-shard"),
    ("Deployment", "penstock-weight-loader"),
    ("PersistentVolumeClaim", "weights-cache"),
}


def main():
    layer = sys.argv[1]
    objects = [o for o in yaml.safe_load_all(sys.stdin) if o]
    for o in objects:
        kubernetes_validate.validate(o, VERSION, strict=True)
    found = {(o["kind"], o["metadata"]["name"]) for o in objects}
    if missing := EXPECTED - found:
        sys.exit(f"{layer}: missing {sorted(missing)}")
    for o in objects:
        if o["kind"] in ("Deployment", "StatefulSet"):
            pod = o["spec"]["template"]["spec"]
            container = pod["containers"][0]
            for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
                if probe not in container:
                    sys.exit(f"{layer}: {o['metadata']['name']} has no {probe}")
            if pod["serviceAccountName"] != o["metadata"]["name"]:
                sys.exit(f"{layer}: {o['metadata']['name']} runs as {pod['serviceAccountName']}")
    print(f"{layer}: {len(objects)} objects valid for Kubernetes {VERSION}")


if __name__ == "__main__":
    main()
