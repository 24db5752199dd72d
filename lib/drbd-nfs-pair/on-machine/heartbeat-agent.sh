#!/bin/sh
# nfs-server, nfs-clients {start|stop|status}: the agents that Pacemaker is given, for a line of haresources.
# shellcheck source=/dev/null
. /etc/cdktf-ha/drbd-nfs
OCF_RESKEY_state=$PAIR_STATE
OCF_RESKEY_ip=$PAIR_ADDRESS
export OCF_RESKEY_state OCF_RESKEY_ip
agent=/usr/lib/ocf/resource.d/cdktf-ha/${0##*/}
case $1 in
  start | stop)
    # Pacemaker's nodes have a timer for quotas; here a volume that has come is given them. A walk through all files holds nobody up.
    if [ "${0##*/} $1" = "nfs-clients start" ]; then
      systemd-run --quiet --collect --unit=cdktf-ha-nfs-quotas /bin/bash /usr/local/lib/cdktf-ha/drbd-nfs/quotas.sh || true
    fi
    exec "$agent" "$1"
    ;;
  status) if "$agent" monitor; then echo running; else echo stopped; fi ;;
  *)
    echo "usage: $0 {start|stop|status}" >&2
    exit 1
    ;;
esac
