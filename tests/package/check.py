"""Build the sdist and the wheel, look into them, and try them: `make package`.

    python -m tests.package.check [--python PYTHON] [--torch REQUIREMENT] [--out FOLDER] [EXTRA ...]

The wheel is installed with each extra that is named, or with none, into an environment of its own
that holds nothing else, and `smoke.py` runs there in an empty folder.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def tracked():
    """Files of the package in the repository, the recipes among them, by their names in a wheel."""
    listed = ["git", "ls-files", "qsnn_plugins", "recipes"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {
        f"qsnn_plugins/{name}" if name.startswith("recipes/") else name
        for name in names.split()
        if name not in ("qsnn_plugins/recipes", "recipes/README.md")
    }


def contents(wheel):
    """What a wheel holds: names and checksums."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.CRC for info in archive.infolist()}


def build(folder):
    """Build both, and return the wheel: the one from the sdist, like that from the checkout."""
    python = [sys.executable, "-m"]
    subprocess.run(
        [*python, "build", "-o", folder], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # setuptools takes what lies there
    direct = [*python, "build", "--wheel", "-o", folder / "direct"]
    subprocess.run(direct, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(ROOT / "build")
    held = contents(wheel)
    files = {name for name in held if ".dist-info/" not in name}
    assert files == tracked(), f"in the wheel or the repository alone: {files ^ tracked()}"
    (other,) = (folder / "direct").iterdir()
    records = {name for name, crc in contents(other).items() if held.get(name) != crc}
    assert not {name for name in records if not name.endswith("RECORD")}, records
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"} <= names
    subprocess.run([*python, "twine", "check", "--strict", sdist, wheel], check=True)
    return wheel


def try_out(wheel, python, torch, extra):
    """Install the wheel with an extra into an environment of its own and run the smoke test."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder, "environment")
        subprocess.run([python, "-m", "venv", environment], check=True)
        inside = environment / "bin" / "python"
        pip = [inside, "-m", "pip", "install", "-q"]
        # first, lest another build of it is asked for, and again, lest another version is
        subprocess.run([*pip, torch], check=True)
        subprocess.run([*pip, torch, f"{wheel}[{extra}]" if extra else str(wheel)], check=True)
        (place := Path(folder, "empty")).mkdir()
        words = [inside, "-I", HERE / "smoke.py", *([extra] if extra else [])]
        # not the kernels of the checkout, whose sources the wheel must bring
        own = {"QSNN_CACHE_DIR": f"{folder}/kernels"}
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run(words, cwd=place, env=kept | own, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extras", nargs="*")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--torch", default="torch")
    parser.add_argument("--out", type=Path, help="folder that keeps the sdist and the wheel")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(given.out or Path(folder))
        for extra in ["", *given.extras]:
            try_out(wheel, given.python, given.torch, extra)


if __name__ == "__main__":
    main()
