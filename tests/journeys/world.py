"""The whole world of a receiver on loopback: providers, a receiver that is registered there, and its commands."""

import json
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from videogen import VideoGen

from receiver.vault import new_key

from ..commands import Command
from .conftest import HANDLER, PATIENCE, PLAIN, Process, Server, free_port, query, until


class World:
    """An emulator, and a receiver whose webhook is registered there by the command."""

    def __init__(
        self, folder: Path, *, handlers: str = "handlers,handlers.download,handlers.log", **knobs: str
    ) -> None:
        self.folder = folder
        port = free_port()
        self.environment = {
            "VIDEOGEN_API_KEY": "any",
            "VIDEOGEN_BASE_URL": f"http://127.0.0.1:{port}",
            "FINEVOICE_API_KEY": "any",
            "FINEVOICE_BASE_URL": f"http://127.0.0.1:{port}",
            "VIDEOGENAPI_API_KEY": "any",
            "VIDEOGENAPI_BASE_URL": f"http://127.0.0.1:{port}/api/v1",
            "RECEIVER_OUTBOUND_ALLOW": "127.0.0.1",
            "RECEIVER_RECONCILE_AFTER": "2",
            "RECEIVER_ADMIN_TOKEN": "a-token-that-is-long-enough",
            "RECEIVER_SECRET_KEY": new_key(),
            "RECEIVER_HANDLERS": handlers,
            "RECEIVER_DATABASE_URL": f"sqlite:///{folder / 'receiver.db'}",
        }
        turned = {"seconds": "0.1", "retry_scale": "0.02"} | knobs
        options = [f"--{name.replace('_', '-')}={value}" for name, value in turned.items()]
        self.emulator = Process(folder, "emulator", "--port", str(port), *options)
        self.serve()
        self.webhook = f"{self.server.url}/webhooks/videogen"
        self.environment["RECEIVER_PUBLIC_URL"] = self.server.url
        self._http = httpx.Client(timeout=PATIENCE)
        self.sdk = VideoGen(api_key="any", base_url=self.environment["VIDEOGEN_BASE_URL"], http_client=self._http)
        until(self._emulates, "the emulator answers")
        self.server.ready()

    def serve(self) -> None:
        """Start the receiver; also again, after it was ended."""
        self.server = Server(self.folder, handlers=HANDLER, secret=None, **self.environment)

    def submit(self, source: str, tool: str, parameters: dict[str, object], **metadata: object) -> dict[str, object]:
        """Submit a job as an application does."""
        wish = {"source": source, "tool": tool, "parameters": parameters, "metadata": metadata}
        answer = self._http.post(f"{self.server.url}/api/v1/jobs", json=wish, headers=self._headers)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def job(self, id: str) -> dict[str, object]:
        """A job as applications see it."""
        return self._http.get(f"{self.server.url}/api/v1/jobs/{id}", headers=self._headers).json()

    @property
    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.environment['RECEIVER_ADMIN_TOKEN']}"}

    def jobs(self) -> dict[str, dict[str, object]]:
        """The ledger by id."""
        columns = "id, source, tool, job_id, state, event_id, asked, error"
        rows = query(self.folder, f"SELECT {columns} FROM jobs")
        return {row[0]: dict(zip(columns.split(", "), row, strict=True)) for row in rows}

    def states(self) -> list[str]:
        """How all jobs stand, sorted."""
        return sorted(job["state"] for job in self.jobs().values())

    def _emulates(self) -> bool:
        try:
            return httpx.get(self.environment["VIDEOGEN_BASE_URL"], **PLAIN).status_code > 0
        except httpx.TransportError:
            return False

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RECEIVER_", "VIDEOGEN", "FINEVOICE_", "COVERAGE_PROCESS"))
        }
        with TemporaryDirectory() as told:
            output, errors = Path(told, "output"), Path(told, "errors")
            command = Command(self.folder, arguments, inherited | self.environment, output=output, errors=errors)
            code = command.wait(PATIENCE)
            return subprocess.CompletedProcess(arguments, code, output.read_text(), errors.read_text())

    def register(self) -> None:
        ended = self.run("register-webhook", "--source", "videogen", "--url", self.webhook)
        assert ended.returncode == 0, ended.stderr

    def files(self) -> list[dict[str, object]]:
        return [json.loads(path.read_text()) for path in self.folder.glob("files/**/*.json")]

    def runs(self) -> dict[str, int]:
        return dict(query(self.folder, "SELECT state, count(*) FROM runs GROUP BY state"))

    def end(self) -> None:
        self._http.close()
        self.server.end()
        self.emulator.end()
