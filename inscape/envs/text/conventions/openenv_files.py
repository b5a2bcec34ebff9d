"""A world as a folder that OpenEnv's tools take: `openenv.yaml`, `pyproject.toml`, `server/app.py`."""

from __future__ import annotations

import re
from pathlib import Path

from inscape.envs.text.registry import text_env
from inscape.errors import UsageError

INSTALL = "inscape[openenv]"


def write_openenv(what: str, folder: str | Path, port: int = 8000) -> Path:
    """Writes a folder that OpenEnv's tools take: `openenv.yaml`, `pyproject.toml` and `server/app.py`; returns it.

    Raises:
        UsageError: the folder is there and not empty, or `what` is no text environment.
    """
    name = re.sub(r"\W+", "_", text_env(what).name).strip("_").lower()
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty", expected="a folder that is empty, or not there")
    manifest = (
        f"spec_version: 1\nname: {name}\nversion: 0.1.0\ntype: space\nruntime: fastapi\n"
        f"app: server.app:app\nport: {port}\n"
    )
    project = (
        f'[project]\nname = "{name.replace("_", "-")}"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'
        f'dependencies = ["{INSTALL}", "openenv>=0.10"]\n\n[project.scripts]\nserver = "server.app:main"\n'
    )
    app = (
        "import uvicorn\n\nfrom inscape.envs.text.conventions.openenv_server import openenv_app\n\n"
        f"app = openenv_app({what!r}, local=False)\n\n\ndef main() -> None:\n"
        f'    uvicorn.run(app, host="127.0.0.1", port={port})\n\n\nif __name__ == "__main__":\n    main()\n'
    )
    for path, text in {"openenv.yaml": manifest, "pyproject.toml": project, "server/app.py": app}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "server" / "__init__.py").write_text("")
    return folder
