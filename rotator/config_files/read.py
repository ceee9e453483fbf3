"""One file, read within limits, as what the rules look at."""

from __future__ import annotations

import os
import re
import stat
from itertools import islice
from pathlib import Path
from typing import Final

from rotator.config_files.dockerfile_form import read_dockerfile
from rotator.config_files.json_form import read_json
from rotator.config_files.problem import FileProblem
from rotator.config_files.toml_form import read_toml_with_comments
from rotator.domain.errors import InputError
from rotator.domain.posture.config_file import Comment, ConfigFile, ConfigForm, Table
from rotator.domain.posture.dockerfile import Dockerfile

MAX_BYTES: Final = 1024 * 1024
MAX_SCRIPTS: Final = 16

_SCRIPT: Final = re.compile(r"\.sh$|entry-?point", re.IGNORECASE)

_FORMS: Final = {
    ".toml": ConfigForm.TOML,
    ".json": ConfigForm.JSON,
    ".yaml": ConfigForm.YAML,
    ".yml": ConfigForm.YAML,
}


def shown(path: Path) -> str:
    """A path as findings name it: from the working directory where the file is below it."""
    full = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow symbolic links
    try:
        return full.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return full.as_posix()


def load_config(path: Path) -> ConfigFile:
    """A configuration file. Raises InputError, with line and column where the text is at fault."""
    text = _text(path)
    form = _FORMS[path.suffix.lower()]
    try:
        root, comments = _tree(text, form)
    except FileProblem as problem:
        raise _input_error(path, problem, form.value.upper()) from problem
    return ConfigFile(shown(path), form, root, comments)


def load_dockerfile(path: Path) -> Dockerfile:
    """A Dockerfile. Raises InputError, with line and column where the text is at fault."""
    try:
        return read_dockerfile(_text(path), shown(path))
    except FileProblem as problem:
        raise _input_error(path, problem, "a Dockerfile") from problem


def load_scripts(file: Dockerfile, folder: Path) -> str:
    """The scripts beside a Dockerfile that it copies in, as one text.

    They only ever take a finding away (an entry point that gives root up), so what can't be read
    is left out.
    """
    texts: list[str] = []
    copies = (i for stage in file.stages for i in stage.instructions if i.keyword == "COPY")
    names = (word.text for copy in copies if not copy.flag("from") for word in copy.words[:-1])
    for name in islice((n for n in names if _SCRIPT.search(n)), MAX_SCRIPTS):
        path = folder / name
        try:
            if path.resolve().is_relative_to(folder.resolve()):
                texts.append(_text(path))
        except (InputError, OSError):
            continue
    return "\n".join(texts)


def _tree(text: str, form: ConfigForm) -> tuple[Table, tuple[Comment, ...]]:
    if form is ConfigForm.TOML:
        return read_toml_with_comments(text)
    if form is ConfigForm.JSON:
        return read_json(text), ()
    # Only YAML needs PyYAML, and most apps have none.
    from rotator.config_files.yaml_form import read_yaml, yaml_comments

    root = read_yaml(text)
    return root, yaml_comments(text, root)


def _input_error(path: Path, problem: FileProblem, form: str) -> InputError:
    where = f"{shown(path)}:{problem.line}:{problem.column}"
    return InputError(f"it can't be read as {form}: {problem.what}", where=where)


def _text(path: Path) -> str:
    data = _bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise InputError("it is not UTF-8", where=f"{shown(path)}:{line}:{column}") from error


def _bytes(path: Path) -> bytes:
    """All of a regular file. A pipe would never end, and a device would answer with anything."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"it can't be read: {error.strerror}", where=shown(path)) from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InputError("it is no regular file", where=shown(path))
        try:
            data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise InputError(f"it can't be read: {error.strerror}", where=shown(path)) from error
    if len(data) > MAX_BYTES:
        raise InputError(f"it is larger than {MAX_BYTES // 1024} KiB", where=shown(path))
    return data
