"""Settings: where they come from, which wins, and what is said when one is wrong."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from kvandal.control import settings, settings_sources
from kvandal.control.settings_sources import keys, load_settings, variable
from kvandal.errors import SettingsError

SECRET = "hush-hush-4711"
ELSEWHERE = (
    "host = '0.0.0.0' is reached from elsewhere, which needs a table [oidc]; without one only 127.0.0.1, ::1 and localhost "
    "are allowed"
)


def refusal(
    tmp_path: Path, text: str = "", environment: dict[str, str] | None = None, **options: object
) -> str:
    """What is said to a file, variables and options that are wrong; the file's folder is written `HERE`."""
    file = tmp_path / "site.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(file if text else None, options, environment=environment or {})
    return str(caught.value).replace(str(tmp_path), "HERE")


def test_later_sources_win(tmp_path: Path) -> None:
    """Defaults, then the file, then the environment, then the command line."""
    file = tmp_path / "site.toml"
    file.write_text('speed = 2.0\nport = 2\nlog_level = "error"\n[limits]\nburst = 7\n', encoding="utf-8")
    environment = {"KVANDAL_CONFIG": str(file), "KVANDAL_SERVE_SPEED": "3", "KVANDAL_SERVE_PORT": "3"}

    found = load_settings(None, {"port": 4, "host": None}, environment=environment)

    assert (found.log_level, found.speed, found.port, found.host) == ("error", 3.0, 4, "127.0.0.1")
    assert (found.limits.burst, found.limits.body_kb) == (7, 1024)


def test_paths_of_the_file_are_relative_to_it(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(
        'data_dir = "kept"\nscenario = "my.toml"\ndatabase = "sqlite:///x.db"\n[oidc]\nissuer = "https://id.example"\n'
        'client_secret_file = "secret"\n',
        encoding="utf-8",
    )

    found = load_settings(file, environment={})

    assert found.data_dir == tmp_path / "kept"
    assert found.scenario == str(tmp_path / "my.toml")
    assert found.database_url == f"sqlite:///{tmp_path / 'x.db'}"
    assert found.oidc is not None
    assert found.oidc.client_secret_file == tmp_path / "secret"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('port = "x"', "HERE/site.toml: port: must be a whole number, got 'x' (Port to listen at; 0: any that is free)"),
        ("prot = 1", "HERE/site.toml: prot: unknown key; did you mean 'port'?"),
        ("[limits]\nburst = 0", "HERE/site.toml: limits.burst: must be at least 1, got 0 (Requests that may come at once)"),
        ('set_points = ["pump"]', "HERE/site.toml: set_points[0]: must be 'envelope_mw', got 'pump'"),
        ("data_dir = 5", "HERE/site.toml: data_dir: must be the name of a file or folder, got 5"),
        ('engine = "slurm"', "HERE/site.toml: engine = 'slurm' needs a table [slurm] with rest_url"),
        ("[oidc]", "HERE/site.toml: oidc.issuer: this key is missing"),
        (
            '[oidc]\nissuer = "http://id.example"',
            "HERE/site.toml: oidc.issuer: must begin with https:// (http:// only on this machine), got 'http://id.example'",
        ),
        (
            'host = "0.0.0.0"',
            f"HERE/site.toml: {ELSEWHERE}",
        ),
        (
            'database = "mysql://a@b/c"',
            "HERE/site.toml: database: must begin with sqlite:/// or postgresql://, e.g. postgresql://kvandal@db.example/kvandal",
        ),
        ("port =", "HERE/site.toml: is not TOML: Invalid value (at end of document)"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_name_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, said: str
) -> None:
    assert refusal(tmp_path, text) == said


def test_a_wrong_variable_or_option_is_refused_by_its_own_name(tmp_path: Path) -> None:
    assert refusal(tmp_path, environment={"KVANDAL_SERVE_PORT": "99999"}).startswith(
        "KVANDAL_SERVE_PORT: must be at most 65,535, got 99999"
    )
    assert (
        refusal(tmp_path, environment={"KVANDAL_SERVE_PROT": "1"})
        == "KVANDAL_SERVE_PROT: no such setting; did you mean KVANDAL_SERVE_PORT?"
    )
    assert refusal(tmp_path, speed=0.0).startswith("--speed: must be at least 0.1, got 0.0")
    assert refusal(tmp_path, "port = 1", {"KVANDAL_SERVE_HOST": "0.0.0.0"}).startswith(
        "HERE/site.toml with KVANDAL_SERVE_HOST: host = '0.0.0.0'"
    )


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: cannot be read: No such file"):
        load_settings(tmp_path / "nowhere.toml", environment={})


@pytest.mark.parametrize("key", settings.ONLY_IN_THE_ENVIRONMENT)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, key: str) -> None:
    said = refusal(tmp_path, f'{key} = "{SECRET}"')

    assert said == (
        f"HERE/site.toml: {key}: a secret does not stand in this file; name its file with {key}_file, or set {variable(key)}"
    )


def test_a_password_in_the_address_of_the_database_is_refused_in_the_file_only(tmp_path: Path) -> None:
    address = f"postgresql://kvandal:{SECRET}@db.example/kvandal"

    assert SECRET not in refusal(tmp_path, f'database = "{address}"')
    found = load_settings(environment={"KVANDAL_SERVE_DATABASE": address})
    assert found.database_url == address
    assert found.database_name == "postgresql://kvandal:***@db.example/kvandal"


def test_secrets_are_read_and_never_shown(tmp_path: Path) -> None:
    """By file or by environment; neither shows in the settings as text, nor in a refusal of other keys."""
    (tmp_path / "password").write_text(f"{SECRET}\n", encoding="utf-8")
    file = tmp_path / "site.toml"
    file.write_text(
        'database = "postgresql://kvandal@db.example/kvandal"\ndatabase_password_file = "password"\n',
        encoding="utf-8",
    )
    environment = {
        "KVANDAL_SERVE_OIDC__ISSUER": "https://id.example",
        "KVANDAL_SERVE_OIDC__CLIENT_SECRET": SECRET,
    }

    found = load_settings(file, environment=environment)

    assert found.oidc is not None
    assert found.oidc.secret() == SECRET
    assert found.database_url == f"postgresql://kvandal:{SECRET}@db.example/kvandal"
    for text in (repr(found), str(found), found.model_dump_json(), found.database_name):
        assert SECRET not in text


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"slurm\.token_file: is empty; it must hold the secret"):
        settings.SlurmSettings(rest_url="http://127.0.0.1:6820", token_file=tmp_path / "token").secret()


def test_every_setting_says_what_it_is_and_can_come_from_the_environment() -> None:
    said = {}
    for key, field in keys().items():
        assert field.description, key
        try:
            load_settings(environment={variable(key): "?"})
        except SettingsError as error:
            said[key] = str(error)

    assert [key for key, text in said.items() if "no such setting" in text] == []
    assert said["port"].startswith("KVANDAL_SERVE_PORT: must be a whole number, got '?'")
    assert said["slurm.partition"] == "slurm.rest_url: this key is missing"


def test_examples() -> None:
    for module in (settings, settings_sources):
        assert doctest.testmod(module).failed == 0
