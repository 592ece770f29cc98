"""Every variable is read, everything wrong is told at once, and nothing secret is shown."""

import os
import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from pydantic import SecretStr, ValidationError

from receiver.errors import ConfigError
from receiver.settings import Provider, Settings, load
from receiver.signatures import decode_secret

PLATFORMS = ("DYNO", "K_SERVICE", "RENDER", "RAILWAY_")
OURS = re.compile(rf"RECEIVER_.*|.*_(API_KEY|BASE_URL|WEBHOOK_SECRET)|DATABASE_URL|PORT|({'|'.join(PLATFORMS)}).*")


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """An environment without anything of ours. Return a function that sets variables."""
    for variable in [variable for variable in os.environ if OURS.fullmatch(variable.upper())]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)

    def set_variables(**variables):
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)

    return set_variables


def example(name):
    """Return a text to set a field to, and what it should become."""
    field = Settings.model_fields[name]
    if name in ("database_url", "public_url"):
        text = {"database_url": "postgresql://db/receiver", "public_url": "https://hooks.example.com"}[name]
        return text, text
    if name == "config":
        return "other.toml", Path("other.toml")
    if name == "metrics_port":
        return "9100", 9100
    if get_origin(field.annotation) is Literal:
        last = get_args(field.annotation)[-1]
        return last, last
    match field.default:
        case bool():
            return "true", True
        case int() | float():
            return str(field.default + 1), field.default + 1
        case tuple():
            return "one, two,", ("one", "two")
        case Path():
            return "elsewhere", Path("elsewhere")
    text = "some text that is long enough"
    return text, SecretStr(text) if SecretStr in get_args(field.annotation) else text


# Reading


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name != "providers"])
def test_every_setting_is_read_from_its_variable(name, environment):
    text, value = example(name)
    assert getattr(load(), name) != value
    environment(**{f"RECEIVER_{name.upper()}": text})
    assert getattr(load(), name) == value


def test_without_variables_it_runs_on_one_machine_for_itself():
    settings = load()
    assert (settings.database_url, settings.host, settings.port) == ("sqlite:///receiver.db", "127.0.0.1", 8000)
    assert (settings.handlers, settings.secret_keys, settings.providers) == (("handlers",), (), {})
    assert settings.throwaway_disk() is None


def test_every_setting_is_described():
    fields = Settings.model_fields | Provider.model_fields
    assert [name for name, field in fields.items() if not (field.description or "").endswith(".")] == []


def test_what_platforms_give_is_understood(environment):
    environment(DATABASE_URL="postgres://user:pw@db.example.com:5432/receiver?sslmode=require", PORT="5000")
    settings = load()
    assert settings.database_url == "postgresql://user:pw@db.example.com:5432/receiver?sslmode=require"
    assert (settings.host, settings.port) == ("0.0.0.0", 5000)


def test_our_own_variables_count_more_than_the_platform_s(environment):
    environment(
        DATABASE_URL="postgres://db/platform",
        RECEIVER_DATABASE_URL="sqlite:///own.db",
        PORT="5000",
        RECEIVER_PORT="6000",
        RECEIVER_HOST="127.0.0.2",
    )
    settings = load()
    assert (settings.database_url, settings.host, settings.port) == ("sqlite:///own.db", "127.0.0.2", 6000)


def test_a_list_has_no_empty_parts_because_an_empty_folder_name_would_mean_this_one(environment):
    environment(RECEIVER_HANDLERS="", RECEIVER_OUTBOUND_ALLOW=" 10.1.0.0/16 ,, 127.0.0.1,")
    settings = load()
    assert (settings.handlers, settings.outbound_allow) == ((), ("10.1.0.0/16", "127.0.0.1"))


def test_space_around_a_value_is_not_part_of_it(environment):
    environment(RECEIVER_DATABASE_URL=" sqlite:///own.db\n", RECEIVER_PUBLIC_URL="https://hooks.example.com\n")
    settings = load()
    assert (settings.database_url, settings.public_url) == ("sqlite:///own.db", "https://hooks.example.com")


def test_the_sqlite_file_is_known(environment):
    environment(RECEIVER_DATABASE_URL="sqlite:////var/data/receiver.db?timeout=5")
    assert load().sqlite_path == Path("/var/data/receiver.db")
    environment(RECEIVER_DATABASE_URL="postgresql://db/receiver")
    assert load().sqlite_path is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("https://hooks.example.com/", "https://hooks.example.com"),
        ("https://example.com/hooks/", "https://example.com/hooks"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_the_public_url_ends_without_a_slash(text, value, environment):
    environment(RECEIVER_PUBLIC_URL=text)
    assert load().public_url == value


def test_settings_do_not_change():
    with pytest.raises(ValidationError):
        load().port = 1


# Keys of the vault


@pytest.mark.parametrize(
    ("text", "keys"),
    [("", ()), (" , ", ()), ("new", ("new",)), ("new, old", ("new", "old")), ("new,,old,\n", ("new", "old"))],
)
def test_there_may_be_several_keys_and_empty_ones_are_none(text, keys, environment):
    environment(RECEIVER_SECRET_KEY=text)
    assert load().secret_keys == keys


# Providers


def test_each_provider_has_its_own_variables(environment):
    environment(
        VIDEOGEN_API_KEY=" key-1\n",
        VIDEOGEN_BASE_URL="http://127.0.0.1:1234",
        VIDEOGEN_WEBHOOK_SECRET="whsec_new,whsec_old",
        FINEVOICE_API_KEY="key-2",
        VIDEOGENAPI_BASE_URL="https://example.com",
    )
    settings = load()
    videogen = settings.provider("videogen")
    assert videogen.api_key.get_secret_value() == "key-1"
    assert (videogen.base_url, videogen.webhook_secrets) == ("http://127.0.0.1:1234", ("whsec_new", "whsec_old"))
    assert settings.provider("finevoice").api_key.get_secret_value() == "key-2"
    assert settings.provider("videogenapi").base_url == "https://example.com"
    assert settings.provider("unknown") == Provider()


def test_an_empty_key_or_address_is_not_set_but_an_empty_secret_is(environment):
    environment(VIDEOGEN_API_KEY=" ", VIDEOGEN_BASE_URL="", VIDEOGEN_WEBHOOK_SECRET="")
    videogen = load().provider("videogen")
    assert (videogen.api_key, videogen.base_url) == (None, None)
    # So that it is refused, rather than taken for a receiver without a secret.
    assert videogen.webhook_secrets == ("",)
    with pytest.raises(ConfigError):
        decode_secret(videogen.webhook_secrets[0])


def test_without_a_secret_there_is_none():
    assert Provider().webhook_secrets == ()


def test_providers_are_not_read_from_one_big_variable(environment):
    environment(RECEIVER_PROVIDERS='{"videogen": {"api_key": "hunter2"}', VIDEOGEN_API_KEY="key")
    assert list(load().providers) == ["videogen"]
    assert load().provider("videogen").api_key.get_secret_value() == "key"


def test_code_may_give_providers_in_place_of_the_environment_s(environment):
    environment(VIDEOGEN_API_KEY="key")
    assert Settings(providers={}).providers == {}


# What is wrong


def test_everything_wrong_is_told_at_once_by_its_variable_and_without_a_value(environment):
    wrong = {
        "DATABASE_URL": "mysql://user:hunter2@db/x",
        "PORT": "hunter2",
        "RECEIVER_PUBLIC_URL": "https://user:hunter2@hooks.example.com",
        "RECEIVER_MAX_BODY": "hunter2",
        "RECEIVER_LEASE": "0",
        "RECEIVER_GRACE": "inf",
        "RECEIVER_BODY_TIMEOUT": "nan",
        "RECEIVER_LOG_FORMAT": "hunter2",
        "RECEIVER_ACCEPT_THROWAWAY_DISK": "hunter2",
    }
    environment(**wrong)
    with pytest.raises(ConfigError) as caught:
        load()
    told = str(caught.value)
    assert sorted(re.findall(r"^  (\w+): .", told, re.MULTILINE)) == sorted(wrong)
    assert "hunter2" not in told
    assert caught.value.__suppress_context__
    assert "hunter2" not in f"{caught.value.__context__} {caught.value.__context__!r}"


def test_the_variable_that_counts_is_the_one_that_is_told(environment):
    environment(PORT="1", RECEIVER_PORT="no")
    with pytest.raises(ConfigError, match="RECEIVER_PORT"):
        load()


@pytest.mark.parametrize(
    "url", ["", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///?x=1", "receiver.db", "mysql://x"]
)
def test_a_database_is_a_file_or_postgresql(url, environment):
    environment(RECEIVER_DATABASE_URL=url)
    with pytest.raises(ConfigError, match="RECEIVER_DATABASE_URL: must"):
        load()


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example.com",
        "https://",
        "ftp://example.com",
        "https://[x",
        "https://:pw@example.com",
        "https://example.com/?a=b",
    ],
)
def test_a_public_url_is_one_that_providers_can_reach(url, environment):
    environment(RECEIVER_PUBLIC_URL=url)
    with pytest.raises(ConfigError, match=r"RECEIVER_PUBLIC_URL: must be a URL like https://"):
        load()


@pytest.mark.parametrize("port", ["-1", "65536", "8000.5", ""])
def test_a_port_is_a_port(port, environment):
    environment(PORT=port)
    with pytest.raises(ConfigError, match="  PORT: "):
        load()


# What is shown


def test_nothing_shows_a_secret_or_the_database_s_password(environment):
    environment(
        RECEIVER_DATABASE_URL="postgresql://user:hunter2@db/receiver",
        RECEIVER_SECRET_KEY="hunter2",
        VIDEOGEN_API_KEY="hunter2",
        VIDEOGEN_BASE_URL="https://user:hunter2@api.example.com",
        VIDEOGEN_WEBHOOK_SECRET="hunter2",
    )
    settings = load()
    shown = f"{settings!r} {settings} {list(settings.__rich_repr__())} {settings.provider('videogen')!r}"
    assert "hunter2" not in shown
    assert "8000" in shown


# Disks that are lost


@pytest.mark.parametrize("platform", ["DYNO", "K_SERVICE", "RENDER", "RAILWAY_ENVIRONMENT", "RAILWAY_ENVIRONMENT_NAME"])
def test_sqlite_on_a_platform_whose_disk_is_lost_is_noticed(platform, environment):
    environment(**{platform: "web.1"})
    assert load().throwaway_disk() == platform


def test_postgresql_and_an_operator_who_knows_are_fine_everywhere(environment):
    environment(DYNO="web.1", DATABASE_URL="postgres://db/receiver")
    assert load().throwaway_disk() is None
    environment(DATABASE_URL="sqlite:///receiver.db", RECEIVER_ACCEPT_THROWAWAY_DISK="1")
    assert load().throwaway_disk() is None


def test_a_volume_helps_only_if_the_database_is_on_it(environment, tmp_path):
    environment(RAILWAY_ENVIRONMENT_NAME="production", RAILWAY_VOLUME_MOUNT_PATH=str(tmp_path / "volume"))
    assert load().throwaway_disk() == "RAILWAY_ENVIRONMENT_NAME"
    for inside in (f"{tmp_path}/volume/receiver.db", "volume/deeper/receiver.db"):
        environment(RECEIVER_DATABASE_URL=f"sqlite:///{inside}")
        assert load().throwaway_disk() is None
    environment(RECEIVER_DATABASE_URL=f"sqlite:///{tmp_path}/volume/../receiver.db")
    assert load().throwaway_disk() == "RAILWAY_ENVIRONMENT_NAME"
