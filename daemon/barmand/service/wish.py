"""What a request for backups wishes, besides what the settings order."""

from barmand.model.order import Checksums, Reuse, Wish
from barmand.wire.messages import StartBackup


def wish_of(request: StartBackup) -> Wish:
    sums = request.manifest_checksums
    return Wish(
        immediate_checkpoint=request.immediate_checkpoint,
        retry_times=request.retry_times,
        retry_sleep=request.retry_sleep,
        bandwidth_limit=request.bwlimit,
        reuse=None if request.reuse_backup is None else Reuse(request.reuse_backup),
        jobs=request.jobs,
        jobs_start_batch_size=request.jobs_start_batch_size,
        jobs_start_batch_period=request.jobs_start_batch_period,
        makes_manifest=request.manifest,
        manifest_checksums=None if sums is None else Checksums(sums),
        keepalive_seconds=request.keepalive_interval,
        check_seconds=request.check_timeout,
        incremental=request.incremental,
    )
