"""Where the files that ship with the package are."""

from pathlib import Path

HERE = Path(__file__).parent


def folder(name: str) -> Path:
    """Return the path of `sql` or `templates` in a wheel, an editable install and a checkout alike."""
    inside = HERE / name
    return inside if inside.is_dir() else HERE.parent / name
