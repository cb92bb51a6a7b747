"""Settings of the service: one frozen tree, from a TOML file, the environment and the command line.

Later ones win: what stands here, the file (``--config`` or ``KVANDAL_CONFIG``), the environment (``KVANDAL_SERVE_PORT``,
``KVANDAL_SERVE_OIDC__ISSUER``), options of the command line. Secrets stand in files of their own, or in the environment, never
in the settings' file, and are never printed.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from kvandal.errors import SettingsError
from kvandal.scenario.base import Part

PREFIX = "KVANDAL_SERVE_"
"""Variables of the environment that are settings begin so; two underscores stand for the dot of a table."""
CONFIG = "KVANDAL_CONFIG"
"""Variable of the environment that names the file."""
ONLY_IN_THE_ENVIRONMENT = ("oidc.client_secret", "slurm.token", "database_password")
"""Secrets that may stand in the environment, never in the file or on the command line."""

SetPoint = Literal["envelope_mw"]
"""What people may set at the site by hand."""


def is_loopback(host: str) -> bool:
    """Say whether an address is this machine's own.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("example.org")
    (True, True, False, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _path(value: object) -> object:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"must be the name of a file or folder, got {value!r}")
    return Path(value)


def _secret(value: object) -> object:
    return SecretStr(value) if isinstance(value, str) else value


def _list(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _web_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.username or parts.password:
        raise ValueError("must not hold a name or a password")
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise ValueError(f"must be an address such as https://example.org, got {url!r}")
    return url


def _safe_address(url: str) -> str:
    parts = urlsplit(_web_address(url))
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"must begin with https:// (http:// only on this machine), got {url!r}")
    return url


def _slurm_address(url: str) -> str:
    return url if url.startswith("unix:/") else _web_address(url)


def _database_address(url: str) -> str:
    if url and not url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        raise ValueError(
            "must begin with sqlite:/// or postgresql://, e.g. postgresql://kvandal@db.example/kvandal"
        )
    return url


FilePath = Annotated[Path, BeforeValidator(_path)]
Secret = Annotated[SecretStr, BeforeValidator(_secret)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_list)]
SafeAddress = Annotated[str, AfterValidator(_safe_address)]
WebAddress = Annotated[str, AfterValidator(_web_address)]


class OidcSettings(Part):
    """The provider of identities (OpenID Connect)."""

    issuer: SafeAddress
    """Address of the provider, as its tokens name it; https, or http on this machine."""
    client_id: str = "kvandal"
    """Name under which the service is registered there."""
    client_secret_file: FilePath | None = None
    """File that holds the client's secret, readable by the service alone."""
    client_secret: Secret | None = None
    """The secret itself; from the environment only."""
    scopes: Texts = ("openid", "profile", "email")
    """What the service asks the provider for."""
    operators: Texts = ()
    """Mail addresses or subjects of those who are operators from their first sign-in on; they name the others."""
    groups_claim: str = "groups"
    """Claim in which the provider tells the groups of somebody."""
    groups: dict[str, Texts] = Field(default_factory=dict)
    """Roles by group, e.g. ``hpc-operators = ["operator"]``, ``ocean = ["member:norway/ocean"]``; renewed at each sign-in."""
    session_hours: float = Field(12.0, gt=0, le=720)
    """How long a sign-in at the pages lasts [h]."""
    session_idle_hours: float = Field(4.0, gt=0, le=720)
    """How long it lasts when nothing is asked with it [h]."""

    def secret(self) -> str:
        """Return the client's secret; empty for a public client.

        Raises
        ------
        SettingsError
            If its file cannot be read or is empty.

        """
        return _secret_of(self.client_secret, self.client_secret_file, "oidc.client_secret_file")


class SlurmSettings(Part):
    """The Slurm cluster that runs the jobs."""

    rest_url: Annotated[str, AfterValidator(_slurm_address)]
    """Address of slurmrestd: http://host:port, or unix:/path of its socket."""
    user: str = "root"
    """Who submits for everybody: SlurmUser or root."""
    token_file: FilePath | None = None
    """File that holds the JSON Web Token of that user, readable by the service alone; read again whenever it changes."""
    token: Secret | None = None
    """The token itself; from the environment only."""
    token_command: str = ""
    """Command that prints such a token, e.g. scontrol token username=root lifespan=3600; instead of a file."""
    commands: FilePath | None = None
    """Folder of squeue, scontrol, scancel and sacct; none: those on the path."""
    conf: FilePath | None = None
    """slurm.conf for those commands; none: where Slurm looks for it."""
    job_user: str = ""
    """Who owns a job, e.g. kvandal-{tenant}; empty: user. Here and below {tenant} and {project} stand for those of the job."""
    account: str = "{tenant}"
    """Account of a job."""
    qos: dict[str, str] = Field(default_factory=dict)
    """QOS by tier (firm, assured, lent); a tier that is not named leaves the choice to Slurm."""
    gpu_type: str = ""
    """Type of the GPUs in Gres, e.g. gb200; empty: any."""
    working_directory: str = "/tmp"  # noqa: S108 - the one folder that every node has
    """Where jobs run."""
    output: str = ""
    """File of their output, as sbatch names it; empty: slurm-NUMBER.out where they run."""
    record_folder: FilePath | None = None
    """Folder that all nodes share, in which each run leaves how it ended; without one a start may be lost with slurmctld."""
    partition: str = "main"
    """Partition that takes the jobs."""
    timeout_s: float = Field(5.0, gt=0, le=120)
    """Longest wait for one answer [s]."""

    def secret(self) -> str:
        """Return the token; empty where the socket needs none.

        Raises
        ------
        SettingsError
            If its file cannot be read or is empty.

        """
        return _secret_of(self.token, self.token_file, "slurm.token_file")


class LimitSettings(Part):
    """How much one caller may ask for."""

    requests_per_second: float = Field(50.0, gt=0, le=100_000)
    """Requests of one person or token, on average."""
    burst: int = Field(200, ge=1, le=1_000_000)
    """Requests that may come at once."""
    sign_ins_per_minute: float = Field(20.0, gt=0, le=10_000)
    """Tries to sign in, or requests with a wrong token, from one address."""
    body_kb: int = Field(1024, ge=16, le=65_536)
    """Largest body of a request [kB]."""
    streams: int = Field(200, ge=1, le=10_000)
    """Event streams that are open at once."""


class Settings(Part):
    """All that the service can be told."""

    scenario: str = "stargate-norway"
    """The site: a preset's name or a TOML file; read when a store is made, and kept in it."""
    data_dir: FilePath = Path("kvandal-data")
    """Folder of what the service keeps on this machine: the SQLite database, the key of sessions."""
    database: Annotated[str, AfterValidator(_database_address)] = Field("", repr=False)
    """sqlite:///file or postgresql://user@host/name; empty: kvandal.sqlite in data_dir. A password in it: by environment only."""
    database_password_file: FilePath | None = None
    """File that holds the password of the database."""
    database_password: Secret | None = None
    """The password itself; from the environment only."""
    engine: Literal["twin", "slurm"] = "twin"
    """Where jobs run: the twin, or a Slurm cluster."""
    speed: float = Field(1.0, ge=0.1, le=3600)
    """Seconds of the twin in one second of real time; a real engine knows only 1."""
    cycle_s: float = Field(1.0, ge=0.05, le=60)
    """Time from the start of one turn of the loop to the start of the next [s]."""
    telemetry_timeout_s: float = Field(30.0, gt=0, le=3600)
    """Without news of the engine for this long, the loop fails safe: no new lent work, caps stay [s]."""
    host: str = "127.0.0.1"
    """Address to listen at; other than this machine's own only with a provider of identities."""
    port: int = Field(8440, ge=0, le=65_535)
    """Port to listen at; 0: any that is free."""
    public_url: SafeAddress | None = None
    """Address under which people reach the service; https, or http on this machine."""
    trusted_proxies: Texts = ()
    """Addresses of reverse proxies whose X-Forwarded headers are believed."""
    set_points: Annotated[tuple[SetPoint, ...], BeforeValidator(_list)] = ("envelope_mw",)
    """Set-points that may be written; an empty list: none."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """One JSON object a line, or lines for people; auto: for people on a terminal."""
    metrics_token_file: FilePath | None = None
    """File that holds the token with which other machines read /metrics; none: only this machine may."""
    otlp_endpoint: WebAddress | None = None
    """Base address of an OpenTelemetry collector that takes OTLP over HTTP; none: no traces."""
    shutdown_s: float = Field(10.0, ge=0, le=300)
    """Longest wait for open requests when the service is told to stop [s]."""
    oidc: OidcSettings | None = None
    """The provider of identities; none: local mode, everybody at this machine may do everything."""
    slurm: SlurmSettings | None = None
    """The Slurm cluster; needed where engine is slurm."""
    limits: LimitSettings = LimitSettings()
    """How much one caller may ask for."""

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if self.engine == "slurm" and self.slurm is None:
            raise ValueError("engine = 'slurm' needs a table [slurm] with rest_url")
        if self.engine != "twin" and self.speed != 1:
            raise ValueError(
                f"speed = {self.speed:g}: only the twin runs faster; engine = {self.engine!r} needs speed = 1"
            )
        if not is_loopback(self.host) and self.oidc is None:
            raise ValueError(
                f"host = {self.host!r} is reached from elsewhere, which needs a table [oidc]; without one only 127.0.0.1, "
                "::1 and localhost are allowed"
            )
        return self

    @property
    def is_local(self) -> bool:
        """Whether everybody who reaches the service may do everything: no provider of identities."""
        return self.oidc is None

    @property
    def base_url(self) -> str:
        """Address for people, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def database_url(self) -> str:
        """Address of the database, with its password: not for logs, see :attr:`database_name`.

        Raises
        ------
        SettingsError
            If the password's file cannot be read or is empty.

        """
        if not self.database:
            return f"sqlite:///{self.data_dir / 'kvandal.sqlite'}"
        password = _secret_of(self.database_password, self.database_password_file, "database_password_file")
        return with_password(self.database, password) if password else self.database

    @property
    def database_name(self) -> str:
        """Address of the database without its password."""
        return without_password(self.database or f"sqlite:///{self.data_dir / 'kvandal.sqlite'}")


def without_password(url: str) -> str:
    """Write an address of a database so that it can be shown.

    >>> without_password("postgresql://kvandal:secret@db.example/kvandal?password=secret")
    'postgresql://kvandal:***@db.example/kvandal?***'
    >>> without_password("sqlite:////var/lib/kvandal/kvandal.sqlite")
    'sqlite:////var/lib/kvandal/kvandal.sqlite'
    """
    if url.startswith("sqlite:"):
        return url
    parts = urlsplit(url)
    place = parts.netloc
    if "@" in place:
        who, _, where = place.rpartition("@")
        place = f"{who.split(':')[0]}{':***' if ':' in who else ''}@{where}"
    return urlunsplit(parts._replace(netloc=place, query="***" if parts.query else ""))


def with_password(url: str, password: str) -> str:
    """Put a password into an address of a database.

    >>> with_password("postgresql://kvandal@db.example/kvandal", "p@ss")
    'postgresql://kvandal:p%40ss@db.example/kvandal'
    """
    parts = urlsplit(url)
    who, at, where = parts.netloc.rpartition("@")
    if not at:
        return url
    return urlunsplit(parts._replace(netloc=f"{who.split(':')[0]}:{quote(password, safe='')}@{where}"))


def holds_password(url: str) -> bool:
    """Say whether an address of a database holds a password."""
    parts = urlsplit(url)
    return ":" in parts.netloc.rpartition("@")[0] or "password=" in parts.query


def read_secret(file: Path, key: str) -> str:
    """Read a secret's file: its text without space around it.

    Parameters
    ----------
    file : the file
    key : the setting that names it, for errors

    Raises
    ------
    SettingsError
        If it cannot be read or holds nothing.

    """
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}", file=file, key=key) from None
    except UnicodeDecodeError:
        raise SettingsError("is not text in UTF-8", file=file, key=key) from None
    if not text:
        raise SettingsError("is empty; it must hold the secret", file=file, key=key)
    return text


def _secret_of(value: SecretStr | None, file: Path | None, key: str) -> str:
    if value is not None:
        return value.get_secret_value()
    return "" if file is None else read_secret(file, key)
