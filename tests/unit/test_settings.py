"""Settings: the example is the defaults, the environment wins, a wrong key is named."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from vochi_integrations.errors import SettingsError
from vochi_integrations.settings import Secret, Settings, load, mask_dsn

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def write(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text)
    return file


def test_the_example_lists_every_key_with_its_default() -> None:
    assert load(EXAMPLE, {}) == Settings()
    listed = {name: set(table) for name, table in tomllib.loads(EXAMPLE.read_text()).items()}
    fields = msgspec.structs.fields
    assert listed == {item.name: {key.name for key in fields(item.type)} for item in fields(Settings)}
    assert all("#" in line for line in EXAMPLE.read_text().splitlines() if " = " in line and "ssh_user" not in line)


def test_every_key_can_come_from_the_environment(tmp_path: Path) -> None:
    file = write(tmp_path, "[server]\npublic_port = 1\n[cache]\nheartbeat = 2.0\n")
    environ = {
        "VOCHI_SERVER__PUBLIC_PORT": "8119",
        "VOCHI_DELIVERY__TIMEOUT": "0.1",
        "VOCHI_CRM__ALLOW_INSECURE_URLS": "true",
        "VOCHI_SECRETS__KEYS": "a, b,",
        "VOCHI_DATABASE__DSN": "postgresql://u:p@h/d",
        "VOCHI_SMART_REDIRECT__BUDGET_MS": "300",
        "PATH": "/bin",
        "VOCHI_OTHER": "ignored",
    }
    settings = load(file, environ)
    assert settings.server.public_port == 8119
    assert settings.cache.heartbeat == 2.0
    assert settings.delivery.timeout == 0.1
    assert settings.crm.allow_insecure_urls is True
    assert [key.reveal() for key in settings.secrets.keys] == ["a", "b"]
    assert settings.database.dsn.reveal() == "postgresql://u:p@h/d"
    assert settings.smart_redirect.budget_ms == 300


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(None, {}) == Settings()
    write(tmp_path, "[server]\npublic_port = 2\n")
    assert load(None, {}).server.public_port == 2
    other = tmp_path / "other.toml"
    other.write_text("[server]\npublic_port = 3\n")
    assert load(None, {"VOCHI_CONFIG": str(other)}).server.public_port == 3
    assert load(tmp_path / "config.toml", {"VOCHI_CONFIG": str(other)}).server.public_port == 2


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nport = 1", "server.port"),
        ("[serverr]\nx = 1", "serverr"),
        ("server = 3", "server"),
        ('[server]\npublic_port = "80"', "server.public_port"),
        ("[server]\npublic_port = 70000", "server.public_port"),
        ("[delivery]\ntimeout = 0", "delivery.timeout"),
        ("[secrets]\nkeys = [1]", "secrets.keys"),
        ('[calls]\nrecord_owner = "middle"', "calls.record_owner"),
        ('[retailcrm]\ntimezone = "Mars/Base"', "retailcrm.timezone"),
        ('[retailcrm]\nregion = "Belarus"', "retailcrm.region"),
        ('[server]\npublic_url = "bot.example.com"', "server.public_url"),
        ('[server]\npublic_url = "https://bot.example.com/vochi"', "server.public_url"),
        ('[server]\npublic_url = "ftp://bot.example.com"', "server.public_url"),
        ('[server]\npublic_url = "https://user@bot.example.com"', "server.public_url"),
        ('[server]\npublic_url = "https://bot.example.com "', "server.public_url"),
        ("[server", "config.toml"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load(write(tmp_path, text), {})


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("VOCHI_SERVER__PORT", "1", "server.port"),
        ("VOCHI_NOWHERE__X", "1", "nowhere"),
        ("VOCHI_BREAKER__FAILURES", "0", "breaker.failures"),
        ("VOCHI_DELIVERY__TIMEOUT", "soon", "delivery.timeout"),
        ("VOCHI_CRM__ALLOW_INSECURE_URLS", "perhaps", "crm.allow_insecure_urls"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load(None, {name: value})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nothing\.toml"):
        load(tmp_path / "nothing.toml", {})


def test_secrets_show_in_no_repr() -> None:
    environ = {
        "VOCHI_DATABASE__DSN": "postgresql://u:hidden@h/d",
        "VOCHI_AUTH__JWT_SECRET": "hidden",
        "VOCHI_SECRETS__KEYS": "hidden",
    }
    assert "hidden" not in repr(load(None, environ))
    assert "hidden" not in f"{Secret('hidden')}"


@pytest.mark.parametrize(
    ("dsn", "masked"),
    [
        ("postgresql://u:p@h:5/d?x=1", "postgresql://u:****@h:5/d?x=1"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgresql://postgres:@/postgres?host=/run", "postgresql://postgres:@/postgres?host=/run"),
    ],
)
def test_a_dsn_in_a_message_has_no_password(dsn: str, masked: str) -> None:
    assert mask_dsn(dsn) == masked


def test_the_public_address() -> None:
    assert Settings().public_url == "http://127.0.0.1:8019"
    assert load(None, {"VOCHI_SERVER__PUBLIC_URL": "https://bot.example.com/"}).public_url == "https://bot.example.com"
    for url in ("http://127.0.0.1:8119", "http://[::1]:8119", "https://Bot.example.com:443"):
        assert load(None, {"VOCHI_SERVER__PUBLIC_URL": url}).public_url == url


def test_credentials_of_systemd_beat_the_file_and_the_environment_beats_them(tmp_path: Path) -> None:
    file, folder = tmp_path / "config.toml", tmp_path / "credentials"
    file.write_text('[auth]\njwt_secret = "from the file"\n[database]\ndsn = "postgresql://file/"\n')
    folder.mkdir()
    (folder / "VOCHI_AUTH__JWT_SECRET").write_text("from systemd\n")
    (folder / "VOCHI_SECRETS__KEYS").write_text("one, two\n")
    (folder / "VOCHI_DATABASE__DSN").write_text("postgresql://systemd/\n")
    (folder / "pbx_key").write_text("not a setting")
    environ = {"CREDENTIALS_DIRECTORY": str(folder), "VOCHI_DATABASE__DSN": "postgresql://environment/"}
    settings = load(file, environ)
    assert settings.auth.jwt_secret.reveal() == "from systemd"
    assert [key.reveal() for key in settings.secrets.keys] == ["one", "two"]
    assert settings.database.dsn.reveal() == "postgresql://environment/"


def test_a_credential_of_a_setting_that_does_not_exist_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "VOCHI_AUTH__SALT").write_text("x")
    with pytest.raises(SettingsError, match=r"auth\.salt: unknown key"):
        load(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    with pytest.raises(SettingsError, match="credentials"):
        load(None, {"CREDENTIALS_DIRECTORY": str(tmp_path / "nowhere")})
