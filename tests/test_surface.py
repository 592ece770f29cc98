"""What people write against is what the package says it is, and costs little to import."""

import inspect
import json
import subprocess
import sys
from importlib.metadata import version
from types import ModuleType

import receiver


def test_all_names_what_is_exported_in_order():
    exported = {
        name for name, value in vars(receiver).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(receiver.__all__) == exported
    assert receiver.__all__ == sorted(receiver.__all__)


def test_every_exported_name_says_what_it_is():
    assert [name for name in receiver.__all__ if not inspect.getdoc(getattr(receiver, name))] == []


def test_the_version_is_the_installed_one():
    assert receiver.__version__ == version("media-receiver")


def test_importing_the_receiver_brings_none_of_its_machinery():
    heavy = {"alembic", "asyncpg", "aiosqlite", "cryptography", "sqlalchemy", "starlette", "typer", "uvicorn"}
    script = "import json, sys, receiver; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert heavy & set(json.loads(loaded.stdout)) == set()
    assert loaded.stderr == ""


def test_importing_the_receiver_loads_no_handlers_and_no_providers():
    script = "import json, sys, receiver; print(json.dumps(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [name for name in json.loads(loaded.stdout) if name.startswith(("handlers", "receiver.sources."))] == []
