"""What ships: every query, migration, template, catalogue and static file of the checkout."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_package_holds_every_file_beside_the_code(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)], cwd=ROOT, check=True, timeout=60
    )
    for name in ("sql", "templates"):
        shipped = {file.relative_to(tmp_path / "vochi_integrations" / name) for file in files(tmp_path, name)}
        assert shipped == {file.relative_to(ROOT / name) for file in (ROOT / name).rglob("*") if file.is_file()}


def files(folder: Path, name: str) -> list[Path]:
    found = [file for file in (folder / "vochi_integrations" / name).rglob("*") if file.is_file()]
    assert found
    return found
