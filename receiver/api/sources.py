"""The call about sources."""

from collections.abc import Mapping
from typing import Any

from ..settings import Settings
from ..sources import Source, Told, WebhookSource
from ..sources.profiles import PROFILES
from .call import Call, Said
from .models.sources import SourcesAnswer


class SourceCalls:
    """Sources: those in use, and those that are known."""

    def __init__(self, sources: Mapping[str, Source], settings: Settings) -> None:
        self._sources = sources
        self._settings = settings

    def calls(self) -> list[Call]:
        """Return what is answered."""
        return [
            Call(
                method="GET",
                path="/sources",
                does=self._list,
                summary="List the providers: those that call have a path for it, the others are asked",
                answer=SourcesAnswer,
            ),
        ]

    async def _list(self, _said: Said) -> Any:
        known: dict[str, Source] = {**{profile.name: profile for profile in PROFILES}, **self._sources}
        return {"sources": [self._row(source) for source in known.values()], "next": None}

    def _row(self, source: Source) -> dict[str, Any]:
        calls = isinstance(source, WebhookSource)
        return {
            "name": source.name,
            "path": f"/webhooks/{source.name}" if source.name in self._sources and calls else None,
            "api_key": "set" if self._settings.provider(source.name).api_key else "not set",
            "events": len(source.events) if isinstance(source, WebhookSource) else 0,
            "tools": len(source.tools),
            "scheme": source.scheme.kind if isinstance(source, Told) else None,
            "trust": source.scheme.trust if isinstance(source, Told) else None,
            **{name: getattr(source, name, None) for name in ("certainty", "answer", "waits", "facts")},
        }
