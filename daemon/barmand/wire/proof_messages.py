"""Requests that prove what is kept: verification, manifests; and the one that tells all."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from barmand.wire.messages import (
    BackupWord,
    ErrorView,
    Reply,
    Request,
    ServerName,
    VerificationView,
)


class VerifiedBackup(Struct, frozen=True, kw_only=True):
    """Either what it came to, or why it could not be verified."""

    server: str
    backup_id: str
    verification: VerificationView | None
    error: ErrorView | None


class VerifiedReply(Reply, frozen=True, kw_only=True):
    """`exit_code`: 8 where one is damaged, else that of an error, else 5 for an incomplete one."""

    backups: list[VerifiedBackup]
    exit_code: int = 0


class VerifyBackup(Request, frozen=True, kw_only=True):
    """Look through backups, one after another. `all` means every server, or every backup that can
    be restored.
    """

    method = "verify-backup"
    result = VerifiedReply
    servers: Annotated[list[ServerName], Meta(min_length=1, max_length=10_000)]
    backups: Annotated[list[BackupWord], Meta(min_length=1, max_length=10_000)]


class ManifestReply(Reply, frozen=True, kw_only=True):
    server: str
    backup_id: str
    path: str
    checksums: str
    files: int
    size_bytes: int
    seconds: float


class GenerateManifest(Request, frozen=True, kw_only=True):
    """`manifest_checksums`: else the server's setting."""

    method = "generate-manifest"
    result = ManifestReply
    server: ServerName
    backup: BackupWord
    manifest_checksums: Literal["crc32c", "sha256"] | None = None


class DiagnosisReply(Reply, frozen=True, kw_only=True):
    """For those who help: facts without a promise of their shape."""

    diagnosis: dict[str, Any]


class Diagnose(Request, frozen=True, kw_only=True):
    """No server means all. `check`: their checks are made too, which asks PostgreSQL."""

    method = "diagnose"
    is_look = True
    result = DiagnosisReply
    servers: list[ServerName] = field(default_factory=list)
    check: bool = True


ProofRequest = VerifyBackup | GenerateManifest | Diagnose
