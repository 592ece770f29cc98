"""What there is to choose from: voices, languages, presenters (until July 2026), entities (since)."""

from typing import Any

VOICES: dict[str, dict[str, Any]] = {
    voice: {
        "voiceId": voice,
        "languageCode": language,
        "displayName": name,
        "displayGender": gender,
        "accent": None,
        "description": None,
        "supportsDirectToolExecution": direct,
        "supportsAllLanguages": False,
        "isDeprecated": False,
    }
    for voice, language, name, gender, direct in (
        ("vg_voic_emulator_workflows", "en-GB", "Workflows only", "NEUTRAL", False),
        ("vg_voic_emulator_clara", "de-DE", "Clara", "FEMALE", True),
        ("vg_voic_emulator_matilda", "en-US", "Matilda", "FEMALE", True),
    )
}

LANGUAGES: list[dict[str, str]] = [
    {"languageCode": "de", "name": "German"},
    {"languageCode": "en", "name": "English"},
    {"languageCode": "es", "name": "Spanish"},
]

PRESENTERS: dict[str, dict[str, Any]] = {
    "vg_pres_emulator": {
        "avatarPresenterId": "vg_pres_emulator",
        "displayableGender": "NEUTRAL",
        "imageUrl": "https://storage.example.invalid/presenter.png",
        "thumbnailUrl": "https://storage.example.invalid/presenter-small.png",
        "previewVideoUrl": "https://storage.example.invalid/presenter.mp4",
    }
}

ENTITIES: dict[str, dict[str, Any]] = {
    "vg_enti_emulator": {
        "entityId": "vg_enti_emulator",
        "entityType": "ACTOR",
        "name": "Alex",
        "description": "",
        "actorConfig": {"voiceDisplayName": "Matilda", "hasVoice": True, "hasAvatarPresenter": True},
        "references": [],
        "createdAt": "2026-06-01T00:00:00Z",
        "updatedAt": "2026-06-01T00:00:00Z",
    }
}

ME: dict[str, Any] = {
    "apiKeyId": "vg_key_emulator",
    "apiKeyNickname": "emulator",
    "email": "emulator@example.com",
    "displayName": None,
    "teamId": "vg_team_emulator",
}
