r"""Paths that a table names stay inside the table's folder, whatever is written there.

A path is taken word by word below the folder. It may not be absolute, climb up (`..`), or lead over a
symbolic link, and it ends at a plain file or a folder: no pipe and no device is ever opened. `\` parts words
as `/` does, for tables that were made on Windows.
"""

import re
import stat
from pathlib import Path

from studykit.catalog import InputError


def inside(root: Path, given: str, where: str) -> Path:
    """The file or folder that `given` names below `root`; only looked up, not opened.

    where: who names it, as the sentence begins: "Row 7 of cases.csv, column 'photo',".
    Raises InputError for a path that leads out of `root` and for one where nothing stands.
    """
    words = [word for word in re.split(r"[/\\]", given) if word not in ("", ".")]
    absolute = re.match(r"[/\\]|[A-Za-z]:", given)
    if absolute or ".." in words or not words:
        raise InputError(
            f"{where} names {shown(given)}, which is not inside {root}; "
            "put the file there and write its path from there."
        )
    path, mode = root, 0
    for word in words:
        path = path / word
        try:
            mode = path.lstat().st_mode
        except (OSError, ValueError):  # not there, too long a name, letters that no name can have
            raise InputError(
                f"{where} names {shown(given)}, which is not in {root}; restore the file or empty the cell."
            ) from None
        if stat.S_ISLNK(mode):
            raise InputError(
                f"{where} names {shown(given)}, where {shown(word)} is a link to another place; "
                f"put the file itself into {root}."
            )
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{where} names {shown(given)}, which is neither a file nor a folder; replace it.")
    return path


def files_in(folder: Path, where: str) -> list[Path]:
    """The plain files in `folder`, by name, without hidden ones and without those of its subfolders.

    Raises InputError where a link, a pipe or a device stands among them.
    """
    found = []
    for path in sorted(folder.iterdir()):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) and not path.name.startswith("."):
            found.append(path)
        elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(
                f"{where} names {shown(folder.name)}, where {shown(path.name)} is a link or no plain file; "
                "put the file itself there."
            )
    return found


def shown(text: object, most: int = 60) -> str:
    """A cell's text in quotes, on one line and not too long, as it may stand in a sentence."""
    text = str(text)
    return repr(text if len(text) <= most else f"{text[: most - 3]}...")
