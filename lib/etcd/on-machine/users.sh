#!/bin/bash
# A cluster that asks who may do what is told of new members and new sets.
# shellcheck source-path=SCRIPTDIR source=functions.sh
if [[ ! -e /usr/local/lib/cdktf-ha/etcd/tls.sh || ! -e /usr/local/lib/cdktf-ha/etcd/functions.sh ]]; then exit 0; fi
. /usr/local/lib/cdktf-ha/etcd/functions.sh
# what is in use, not what is to come
if [[ $(cat "$ETCD_TLS_STATE" 2>/dev/null || true) != required || ${ETCD_TLS:-none} != required ]]; then exit 0; fi
if ! etcd_is_running || ! etcd_answers "$ETCD_ADDRESS"; then exit 0; fi # the member's own turn comes
# shellcheck source=tls.sh
. /usr/local/lib/cdktf-ha/etcd/tls.sh
etcd_guard
