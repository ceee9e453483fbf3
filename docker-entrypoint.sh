#!/bin/sh
# Fly mounts volumes for root. The volume is handed over, then rotator runs without privileges.
set -eu
if [ "$(id -u)" = 0 ]; then
    chown rotator:rotator /data /data/rotator.db* 2>/dev/null || true
    exec setpriv --reuid=rotator --regid=rotator --init-groups --no-new-privs rotator "$@"
fi
exec rotator "$@"
