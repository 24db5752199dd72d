#!/bin/bash
# shellcheck disable=SC2154 # CRM_alert_* is Pacemaker's environment
# What Pacemaker says of its cluster, as far as a person wants to be woken. Runs as its user, hacluster.
set -uo pipefail
say() { /usr/local/lib/cdktf-ha/drbd-nfs/notify.sh "$1" "$2"; }
case ${CRM_alert_kind:-} in
  node)
    case $CRM_alert_desc in
      member) say recovered "$CRM_alert_node is back in the cluster" ;;
      *) say degraded "$CRM_alert_node is not in the cluster any more" ;;
    esac
    ;;
  fencing)
    if [[ ${CRM_alert_rc:-0} == 0 ]]; then
      say fenced "$CRM_alert_desc"
    else
      say degraded "a node could not be switched off: $CRM_alert_desc"
    fi
    ;;
  resource)
    if [[ $CRM_alert_rc != "${CRM_alert_target_rc:-0}" ]]; then
      say degraded "$CRM_alert_rsc: $CRM_alert_task failed on $CRM_alert_node (${CRM_alert_desc:-$CRM_alert_rc})"
    elif [[ $CRM_alert_rsc == ha-vip && $CRM_alert_task == start ]]; then
      say failover "$CRM_alert_node serves"
    fi
    ;;
esac
