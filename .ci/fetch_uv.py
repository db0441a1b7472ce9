"""Fetch uv from PyPI with nothing but a bare Python 3: for machines whose Python has neither venv nor pip."""

import hashlib
import io
import json
import pathlib
import platform
import sys
import urllib.parse
import urllib.request
import zipfile

LIST = "https://pypi.org/pypi/uv/json"
ARM = platform.machine() in ("arm64", "aarch64")
if sys.platform == "darwin":
    WANTED = "macosx_11_0_arm64" if ARM else "macosx_10_12_x86_64"
else:
    WANTED = "manylinux_2_17_aarch64" if ARM else "manylinux_2_17_x86_64"


def main(folder):
    with urllib.request.urlopen(LIST, timeout=30) as answer:
        wheels = [file for file in json.load(answer)["urls"] if WANTED in file["filename"]]
    if not wheels:
        sys.exit(f"PyPI has no uv for this machine ({WANTED}).")
    with urllib.request.urlopen(urllib.parse.urljoin(LIST, wheels[0]["url"]), timeout=120) as answer:  # noqa: S310
        wheel = answer.read()
    if hashlib.sha256(wheel).hexdigest() != wheels[0]["digests"]["sha256"]:
        sys.exit("The uv that came is not the one PyPI lists.")
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(wheel)) as content:
        for name in content.namelist():
            if name.endswith(".data/scripts/uv"):
                (folder / "uv").write_bytes(content.read(name))
    (folder / "uv").chmod(0o755)


main(pathlib.Path(sys.argv[1]))
