"""Packages of npm as archives: nothing of them is installed or run."""

import subprocess
import tarfile


def unpack(package, folder, directory):
    """Fetches the package's archive and unpacks one folder of it. Where that lies."""
    packed = subprocess.run(
        ["npm", "pack", "--silent", package], cwd=directory, check=True, capture_output=True, text=True
    )
    archive = directory / packed.stdout.strip().splitlines()[-1]
    prefix = f"package/{folder}"
    with tarfile.open(archive) as tar:
        tar.extractall(directory, [m for m in tar.getmembers() if m.name.startswith(prefix + "/")], filter="data")
    archive.unlink()
    return directory / prefix
