"""Telling what a file is."""

import pytest

from handlers._media import extension, media_type


@pytest.mark.parametrize(
    ("head", "declared", "kind", "ending"),
    [
        (b"\x89PNG\r\n\x1a\n....", "application/octet-stream", "image/png", "png"),
        (b"\xff\xd8\xff\xe0", "image/png", "image/jpeg", "jpg"),
        (b"GIF89a", "", "image/gif", "gif"),
        (b"RIFF\x00\n\x00\x00WEBPVP8 ", "", "image/webp", "webp"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/x-wav", "audio/wav", "wav"),
        (b"\x00\x00\x00\x18ftypmp42", "binary/octet-stream", "video/mp4", "mp4"),
        (b"\x00\x00\x00\x18ftypisom", "audio/mp4", "audio/mp4", "m4a"),
        (b"\x00\x00\x00\x18ftypM4A ", "", "audio/mp4", "m4a"),
        (b"\x00\x00\x00\x18ftypqt  ", "video/mp4", "video/quicktime", "mov"),
        (b"\x00\x00\x00\x18ftypavif", "", "image/avif", "avif"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "", "video/webm", "webm"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "audio/webm; codecs=opus", "audio/webm", "weba"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska", "", "video/x-matroska", "mkv"),
        (b"OggS\x00", "", "audio/ogg", "ogg"),
        (b"fLaC", "", "audio/flac", "flac"),
        (b"ID3\x04", "", "audio/mpeg", "mp3"),
        (b"\xff\xfb\x90", "", "audio/mpeg", "mp3"),
        (b"\xff\xf1\x50", "", "audio/aac", "aac"),
        (b"glTF\x02", "", "model/gltf-binary", "glb"),
        (b"PK\x03\x04", "", "application/zip", "zip"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "image/svg+xml", "image/svg+xml", "svg"),
        (b"\xef\xbb\xbf <?xml version='1.0'?>\n<!-- made -->\n<SVG>", "text/xml", "image/svg+xml", "svg"),
        (b'{"v": "5.7"}', "application/json", "application/json", "data.json"),
        (b"WEBVTT", "text/vtt; charset=utf-8", "text/vtt", "vtt"),
        (b"\x00\x01\x02", "Audio/MPEG", "audio/mpeg", "mp3"),
        (b"\x00\x01\x02", "image/../../etc/passwd", "application/octet-stream", "bin"),
        (b"\x00\x01\x02", "", "application/octet-stream", "bin"),
    ],
)
def test_first_bytes_tell_and_then_the_server(head: bytes, declared: str, kind: str, ending: str) -> None:
    assert media_type(head, declared=declared, wanted=None) == kind
    assert extension(kind) == ending


@pytest.mark.parametrize(
    ("head", "declared", "wanted"),
    [
        (b"<!doctype html><title>Sign in</title>", "video/mp4", "VIDEO"),
        (b"\n\n  <HTML>", "", None),
        (b"\xef\xbb\xbf<html><svg></svg></html>", "image/svg+xml", None),
        (b"<Error><Code>AccessDenied</Code></Error>", "application/xml", None),
        (b"Please sign in", "text/html; charset=utf-8", None),
        (b'{"error": "expired"}', "application/json", "VIDEO"),
        (b"expired", "text/plain", "image/png"),
    ],
)
def test_a_page_or_a_message_is_not_media(head: bytes, declared: str, wanted: str | None) -> None:
    assert media_type(head, declared=declared, wanted=wanted) is None


def test_bytes_of_media_count_more_than_a_server_that_says_html() -> None:
    assert media_type(b"\xff\xd8\xff\xe0", declared="text/html", wanted="IMAGE") == "image/jpeg"
