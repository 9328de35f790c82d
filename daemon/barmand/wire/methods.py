"""Every request there is, by its method's name."""

from barmand.wire.check_messages import CheckServer
from barmand.wire.door_messages import DoorRequest
from barmand.wire.hook_messages import HookRequest
from barmand.wire.keep_messages import KeepRequest
from barmand.wire.messages import (
    AskStatus,
    Cancel,
    CheckBackup,
    Delete,
    ListBackups,
    ListServers,
    Ping,
    Reload,
    Restore,
    ShowBackup,
    ShowServers,
    StartBackup,
)
from barmand.wire.process_messages import ProcessRequest
from barmand.wire.proof_messages import ProofRequest
from barmand.wire.schedule_messages import ScheduleRequest
from barmand.wire.stream_messages import StreamRequest
from barmand.wire.wal_messages import WalRequest

OwnRequest = (
    Ping
    | AskStatus
    | StartBackup
    | Cancel
    | ListBackups
    | ShowBackup
    | CheckBackup
    | Delete
    | Restore
    | ListServers
    | ShowServers
    | Reload
)
"""All but those about WAL, and checks."""

BesideRequest = (
    CheckServer | HookRequest | KeepRequest | ProcessRequest | ProofRequest | ScheduleRequest
)
"""Those that have a desk of their own."""

AnyRequest = OwnRequest | BesideRequest | WalRequest | StreamRequest | DoorRequest

METHODS: dict[str, type[AnyRequest]] = {kind.method: kind for kind in AnyRequest.__args__}
