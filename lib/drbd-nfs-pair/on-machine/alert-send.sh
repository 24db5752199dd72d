#!/bin/bash
# Takes each message to whoever is to be told: by a webhook, by a command, or both. What nobody takes within some minutes
# is in the journal alone, and fails this unit.
set -uo pipefail
# shellcheck source=/dev/null
. /etc/cdktf-ha/drbd-nfs
webhook=/etc/cdktf-ha/drbd-nfs-webhook command=/usr/local/lib/cdktf-ha/drbd-nfs/alert-command
quoted() { sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/\t/ /g' | tr -d '\000-\010\013-\037' | tr '\n' ' ' | sed 's/ $//'; }

by_webhook() { # KIND TEXT
  printf '{"cluster":"%s","node":"%s","kind":"%s","text":"%s"}' "$PAIR_CLUSTER" "$PAIR_NODE" "$1" "$(quoted <<<"$2")" |
    curl --config <(printf 'url = "%s"\n' "$(quoted <"$webhook")") --silent --show-error --fail --max-time 10 \
      --retry 5 --retry-delay 20 --retry-all-errors --header 'Content-Type: application/json' --data-binary @-
}

by_command() { # KIND TEXT
  printf '%s: %s\n' "$PAIR_NODE" "$2" | HA_ALERT_KIND=$1 HA_ALERT_CLUSTER=$PAIR_CLUSTER timeout 60 bash "$command"
}

status=0
for message in /run/cdktf-ha-nfs-alerts/*.alert; do
  [[ -e $message ]] || continue
  { IFS= read -r kind && IFS= read -r text; } <"$message"
  rm "$message"
  if [[ -e $webhook ]] && ! by_webhook "$kind" "$text"; then
    echo "not told by the webhook: $kind: $text" >&2
    status=1
  fi
  if [[ -e $command ]] && ! by_command "$kind" "$text"; then
    echo "not told by the command: $kind: $text" >&2
    status=1
  fi
done
exit "$status"
